"""Loading and saving of weights."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import ROOT, random_unet
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from omf.models.checkpoints import (
    load_demosaic_net,
    load_network,
    load_networks,
    save_demosaic_net,
    save_network,
)
from omf.models.registry import find_model
from omf.networks.demosaic_net import DemosaicNet
from omf.networks.nafnet import LocalNAFNet
from omf.networks.unet import UNet
from omf.utils.errors import InputError


@pytest.fixture
def network() -> UNet:
    return random_unet((4, 6, 8), 0)


def save_state(path: Path, state: object) -> Path:
    torch.save(state, path)
    return path


def test_published_files_load_unchanged(published_model):
    for name in ("final_yuv_OE_mask-220.pt", "final_yuv_OE_NOE_mask-220.pt"):
        loaded = load_network(published_model / name)
        original = torch.load(published_model / name, weights_only=True)
        assert loaded.widths == (64, 128, 256, 512, 1024)
        assert not loaded.training
        assert all((value == original[key]).all() for key, value in loaded.state_dict().items())


@pytest.mark.parametrize("widths", [(4,), (4, 6, 8), (3, 5, 7, 9, 11)])
def test_round_trip(tmp_path, widths):
    network = random_unet(widths, 1)
    save_network(network, tmp_path / "net.safetensors")
    loaded = load_network(tmp_path / "net.safetensors")
    assert loaded.widths == widths
    x = torch.rand(1, 4, 20, 20)
    with torch.inference_mode():
        # convolutions are stored in float16
        torch.testing.assert_close(loaded(x), network(x), atol=2e-3, rtol=0)


def test_the_architecture_is_in_the_header(tmp_path, network):
    save_network(network, tmp_path / "net.safetensors")
    with safe_open(tmp_path / "net.safetensors", "pt") as file:
        metadata = file.metadata()
        assert metadata["architecture"] == "unet"
        assert metadata["widths"] == "4,6,8"
        assert file.get_tensor("Conv1.conv.0.weight").dtype == torch.float16
        assert file.get_tensor("Conv1.conv.1.running_var").dtype == torch.float32


def test_round_trip_of_a_nafnet(tmp_path):
    network = LocalNAFNet((3, 5, 7))
    save_network(network, tmp_path / "net.safetensors")
    loaded = load_network(tmp_path / "net.safetensors")
    assert type(loaded) is LocalNAFNet
    assert loaded.widths == (3, 5, 7)
    assert not loaded.training
    x = torch.rand(1, 4, 20, 20)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(x), network(x), atol=2e-3, rtol=0)


def test_round_trip_of_a_demosaic_net(tmp_path):
    network = DemosaicNet(6, 4)
    torch.nn.init.normal_(network.tail.weight)
    save_demosaic_net(network, tmp_path / "net.safetensors")
    loaded = load_demosaic_net(tmp_path / "net.safetensors")
    assert (loaded.width, loaded.depth, loaded.training) == (6, 4, False)
    x = torch.rand(1, 1, 20, 20)
    with torch.inference_mode():
        assert (loaded(x) == network(x)).all()


def test_a_file_without_the_architecture_is_a_unet(tmp_path):
    path = ROOT / "trained_models" / "samsung_s7" / "oe.safetensors"
    save_file(load_file(path), tmp_path / "net.safetensors")
    loaded, original = load_network(tmp_path / "net.safetensors"), load_network(path)
    assert loaded.widths == original.widths == (16, 32, 64, 128, 256)
    assert all((value == original.state_dict()[key]).all() for key, value in loaded.state_dict().items())


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ({"architecture": "resnet"}, "architecture resnet; the method takes unet or nafnet"),
        ({"architecture": "demosaic"}, "architecture demosaic; the method takes unet or nafnet"),
        ({"architecture": "nafnet"}, "does not specify the widths"),
        ({"architecture": "nafnet", "widths": "4,,5"}, "does not specify the widths"),
        (
            {"architecture": "nafnet", "widths": "4,6", "in_channels": "four"},
            "does not specify the in_channels",
        ),
        (
            {"architecture": "nafnet", "widths": "4,6", "in_channels": "4", "out_channels": "3"},
            "not a valid LocalNAFNet checkpoint; missing",
        ),
    ],
)
def test_invalid_headers_are_refused(tmp_path, header, problem):
    save_file({"a": torch.zeros(2)}, tmp_path / "net.safetensors", header)
    with pytest.raises(InputError, match=rf"net\.safetensors: .*{problem}"):
        load_network(tmp_path / "net.safetensors")


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ({}, "architecture unet; expected a Demosaic Net"),
        ({"architecture": "demosaic", "width": "6"}, "does not specify the depth"),
        ({"architecture": "demosaic", "width": "6", "depth": "3"}, "the depth even"),
        (
            {"architecture": "demosaic", "width": "6", "depth": "4"},
            "not a valid DemosaicNet checkpoint; missing",
        ),
    ],
)
def test_files_without_a_demosaic_net_are_refused(tmp_path, header, problem):
    save_file({"a": torch.zeros(2)}, tmp_path / "net.safetensors", header)
    with pytest.raises(InputError, match=rf"net\.safetensors: .*{problem}"):
        load_demosaic_net(tmp_path / "net.safetensors")


def test_missing_and_extra_keys_are_named(tmp_path, network):
    state = network.state_dict()
    del state["Up2.up.1.bias"]
    state["surplus.weight"] = torch.zeros(1)
    with pytest.raises(
        InputError, match=r"net\.pt.*missing: Up2\.up\.1\.bias; not of this network: surplus\.weight"
    ):
        load_network(save_state(tmp_path / "net.pt", state))


def test_wrong_shapes_are_named(tmp_path, network):
    state = network.state_dict()
    state["Conv2.conv.0.bias"] = torch.zeros(5)
    with pytest.raises(InputError, match=r"Conv2\.conv\.0\.bias is \(5,\), not \(6,\)"):
        load_network(save_state(tmp_path / "net.pt", state))


def test_non_finite_values_are_refused(tmp_path, network):
    state = network.state_dict()
    state["Conv.bias"][1] = float("nan")
    with pytest.raises(InputError, match=r"Conv\.bias holds values that are not finite"):
        load_network(save_state(tmp_path / "net.pt", state))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_pickles_cannot_execute_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    (tmp_path / "net.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError, match=r"net\.pt"):
        load_network(tmp_path / "net.pt")
    save_state(tmp_path / "net.pt", {"Conv.weight": Evil()})
    with pytest.raises(InputError, match=r"net\.pt"):
        load_network(tmp_path / "net.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("length", [0, 10, 2000])
def test_truncated_files_are_refused(tmp_path, network, suffix, length):
    path = tmp_path / f"net{suffix}"
    save_network(network, path) if suffix == ".safetensors" else save_state(path, network.state_dict())
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match="can't be read as weights"):
        load_network(path)


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {"a": torch.zeros(2)}])
def test_other_contents_are_refused(tmp_path, content):
    with pytest.raises(InputError, match=r"net\.pt"):
        load_network(save_state(tmp_path / "net.pt", content))


def test_a_pair_with_wrong_channels_or_widths_is_refused(tmp_path, tiny_model):
    for branch in ("oe", "noe"):
        save_network(UNet((4, 6), in_channels=3), tmp_path / f"{branch}.safetensors")
    with pytest.raises(InputError, match="3 in, 3 out; the model needs 4 in"):
        load_networks(find_model(str(tmp_path)))
    other = replace(find_model(str(tiny_model)), widths=(4, 6, 9))
    with pytest.raises(InputError, match=r"widths \(4, 6, 8\), but \(4, 6, 9\) are listed"):
        load_networks(other)


def test_branches_may_differ_in_architecture_but_not_in_depth(tmp_path, network):
    save_network(network, tmp_path / "oe.safetensors")
    save_network(LocalNAFNet((3, 5, 7)), tmp_path / "noe.safetensors")
    load_networks(find_model(str(tmp_path)))
    save_network(LocalNAFNet((3, 5)), tmp_path / "noe.safetensors")
    with pytest.raises(InputError, match="same number of levels"):
        load_networks(find_model(str(tmp_path)))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        # 300 GB, which must not be allocated
        ({"widths": "99999,99999"}, r"Conv1\.conv\.0\.weight is .*, not \(99999, 4, 3, 3\)"),
        ({"widths": "0,0"}, "give the channels of each level"),
        ({"widths": ",".join(["4"] * 3000)}, "16 levels at most"),
        ({"in_channels": "4,4"}, "its header specifies 2 in_channels of the network"),
        ({"out_channels": "x"}, "its header does not specify the out_channels"),
    ],
)
def test_a_header_of_another_network_is_reported(tmp_path, network, header, message):
    save_network(network, path := tmp_path / "net.safetensors")
    with safe_open(path, "pt") as file:
        header = file.metadata() | header
    save_file(load_file(path), path, header)
    with pytest.raises(InputError, match=message) as caught:
        load_network(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_huge_demosaic_net_is_reported(tmp_path):
    save_demosaic_net(DemosaicNet(4, 4), path := tmp_path / "net.safetensors")
    with safe_open(path, "pt") as file:
        header = file.metadata() | {"depth": "99998"}
    save_file(load_file(path), path, header)
    with pytest.raises(InputError, match=r"net\.safetensors: .*depth 99998"):
        load_demosaic_net(path)


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(1).expand(2**40),  # one number in the file, a terabyte in memory
        torch.zeros(4, 4).to_sparse(),
        torch.zeros(3, dtype=torch.complex64),
        torch.zeros(4, device="meta"),
    ],
)
def test_tensors_other_than_plain_numbers_are_refused(tmp_path, network, value):
    path = save_state(tmp_path / "net.pt", network.state_dict() | {"Conv.bias": value})
    with pytest.raises(
        InputError, match=r"net\.pt: (not a state_dict|can't be read as weights|not a valid UNet)"
    ):
        load_network(path)


def test_damaged_pickles_are_reported(tmp_path, network):
    """The unpickler raises KeyError, IndexError, TypeError or AssertionError on damaged bytes."""
    torch.save(network.state_dict(), path := tmp_path / "net.pt", _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    for index in range(0, 1200, 7):
        path.write_bytes(content[:index] + bytes([content[index] ^ 0x15]) + content[index + 1 :])
        try:
            load_network(path)
        except InputError as error:
            assert str(path) in str(error)
