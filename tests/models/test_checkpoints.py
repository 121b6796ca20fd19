"""Loading and saving of weights. tests/faults/ has more damaged ones."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import random_base, random_unet
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from omf.models.checkpoints import load_base, load_demosaic_net, load_network, load_networks, save_network
from omf.models.registry import find_model
from omf.networks.demosaic_net import DemosaicNet
from omf.networks.global_net import QUANTILES, SEGMENTS
from omf.networks.nafnet import LocalNAFNet
from omf.networks.packed_unet import PackedUNet
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


@pytest.mark.parametrize(
    "network",
    [
        random_unet((4,), 1),
        random_unet((4, 6, 8), 1),
        random_unet((3, 5, 7, 9, 11), 1),
        LocalNAFNet((3, 5, 7)),
        PackedUNet((3, 5)).eval(),
        DemosaicNet(6, 4),
    ],
)
def test_round_trip(tmp_path, network):
    x, load, arguments, tolerance = torch.rand(1, 4, 20, 20), load_network, ("widths",), 2e-3  # float16
    if isinstance(network, DemosaicNet):
        torch.nn.init.normal_(network.tail.weight)
        x, load, arguments, tolerance = x[:, :1], load_demosaic_net, ("width", "depth"), 0
    save_network(network, tmp_path / "net.safetensors")
    loaded = load(tmp_path / "net.safetensors")
    assert type(loaded) is type(network) and not loaded.training
    assert all(getattr(loaded, name) == getattr(network, name) for name in arguments)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(x), network(x), atol=tolerance, rtol=0)


@pytest.mark.parametrize("holds", [False, True])
def test_round_trip_of_a_base_network_with_its_mean_isp(tmp_path, holds):
    network = random_base(0)
    if holds:
        network.hold_exposure(torch.linspace(0, 1, SEGMENTS + 1), torch.rand(3, 3))
    save_network(network, tmp_path / "base.safetensors")
    loaded = load_base(tmp_path / "base.safetensors")
    assert loaded.state_dict().keys() == network.state_dict().keys()
    summary = torch.rand(1, 4, 64, 64), torch.rand(1, 3, len(QUANTILES))
    with torch.inference_mode():
        for part, original in zip(loaded(*summary), network(*summary)):
            assert (part == original).all()


def test_the_architecture_is_in_the_header_and_without_it_is_a_unet(tmp_path, network):
    save_network(network, path := tmp_path / "net.safetensors")
    with safe_open(path, "pt") as file:
        assert file.metadata()["architecture"] == "unet" and file.metadata()["widths"] == "4,6,8"
        assert file.get_tensor("Conv1.conv.0.weight").dtype == torch.float16
        assert file.get_tensor("Conv1.conv.1.running_var").dtype == torch.float32
    save_file(load_file(path), tmp_path / "plain.safetensors")
    loaded, original = load_network(tmp_path / "plain.safetensors"), load_network(path)
    assert loaded.widths == original.widths == (4, 6, 8)
    assert all((value == original.state_dict()[key]).all() for key, value in loaded.state_dict().items())


NAFNET, DEMOSAIC = {"architecture": "nafnet"}, {"architecture": "demosaic", "width": "6"}


@pytest.mark.parametrize(
    ("load", "header", "problem"),
    [
        (load_network, {"architecture": "resnet"}, "resnet; the method takes unet, packed_unet,"),
        (load_network, {}, "not a U-Net checkpoint"),
        (load_network, DEMOSAIC, "architecture demosaic; the method takes unet, packed_unet, nafnet"),
        (load_network, NAFNET, "does not specify the widths"),
        (load_network, NAFNET | {"widths": "4,,5"}, "does not specify the widths"),
        (load_network, NAFNET | {"widths": "4,6", "in_channels": "four"}, "does not specify the in_channels"),
        (
            load_network,
            NAFNET | {"widths": "4,6", "in_channels": "4", "out_channels": "3"},
            "not a valid LocalNAFNet checkpoint; missing",
        ),
        (load_demosaic_net, {}, "architecture unet; expected a Demosaic Net"),
        (load_demosaic_net, DEMOSAIC, "does not specify the depth"),
        (load_demosaic_net, DEMOSAIC | {"depth": "3"}, "the depth even"),
        (load_demosaic_net, DEMOSAIC | {"depth": "99998"}, "depth 99998"),
        (load_demosaic_net, DEMOSAIC | {"depth": "4"}, "not a valid DemosaicNet checkpoint; missing"),
        (load_base, {}, "architecture unet; expected a base network"),
        (load_base, {"architecture": "base"}, "not a valid GlobalNet checkpoint; missing"),
    ],
)
def test_invalid_headers_are_refused(tmp_path, load, header, problem):
    save_file({"a": torch.zeros(2)}, tmp_path / "net.safetensors", header)
    with pytest.raises(InputError, match=rf"net\.safetensors: .*{problem}"):
        load(tmp_path / "net.safetensors")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"Up2.up.1.bias": None, "surplus.weight": torch.zeros(1)},
            r"missing: Up2\.up\.1\.bias; not of this network: surplus\.weight",
        ),
        ({"Conv2.conv.0.bias": torch.zeros(5)}, r"Conv2\.conv\.0\.bias is \(5,\), not \(6,\)"),
        # one number in the file, a terabyte in memory
        ({"Conv.bias": torch.zeros(1).expand(2**40)}, "not a state_dict"),
        ({"Conv.bias": torch.zeros(4, 4).to_sparse()}, "not a state_dict"),
        ({"Conv.bias": torch.zeros(4, device="meta")}, "not a state_dict"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, network, change, problem):
    state = {key: value for key, value in (network.state_dict() | change).items() if value is not None}
    with pytest.raises(InputError, match=rf"net\.pt: .*{problem}"):
        load_network(save_state(tmp_path / "net.pt", state))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_pickles_cannot_execute_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    (tmp_path / "a.pt").write_bytes(pickle.dumps(Evil()))
    for path in (tmp_path / "a.pt", save_state(tmp_path / "b.pt", {"Conv.weight": Evil()})):
        with pytest.raises(InputError, match=path.name):
            load_network(path)
    assert not (tmp_path / "executed").exists()


def test_branches_may_differ_in_architecture_but_not_in_channels_or_depth(tmp_path, network):
    save_network(network, tmp_path / "oe.safetensors")
    save_network(LocalNAFNet((3, 5, 7)), tmp_path / "noe.safetensors")
    model = find_model(str(tmp_path))
    load_networks(model)
    with pytest.raises(InputError, match=r"widths \(4, 6, 8\), but \(4, 6, 9\) are listed"):
        load_networks(replace(model, widths=(4, 6, 9)))
    save_network(LocalNAFNet((3, 5)), tmp_path / "noe.safetensors")
    with pytest.raises(InputError, match="same number of levels"):
        load_networks(model)
    save_network(UNet((4, 6), in_channels=3), tmp_path / "oe.safetensors")
    with pytest.raises(InputError, match="3 in, 3 out; the model needs 4 in"):
        load_networks(model)


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
