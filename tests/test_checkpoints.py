import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import random_unet
from safetensors import safe_open

from omf.checkpoints import load_fusion, load_unet, save_unet
from omf.errors import InputError
from omf.models import find_model
from omf.unet import UNet


@pytest.fixture
def network() -> UNet:
    return random_unet((4, 6, 8), 0)


def save_state(path: Path, state: object) -> Path:
    torch.save(state, path)
    return path


def test_published_files_load_as_they_are(published_model):
    for name in ("final_yuv_OE_mask-220.pt", "final_yuv_OE_NOE_mask-220.pt"):
        loaded = load_unet(published_model / name)
        original = torch.load(published_model / name, weights_only=True)
        assert loaded.widths == (64, 128, 256, 512, 1024)
        assert not loaded.training
        assert all((value == original[key]).all() for key, value in loaded.state_dict().items())


@pytest.mark.parametrize("widths", [(4,), (4, 6, 8), (3, 5, 7, 9, 11)])
def test_round_trip(tmp_path, widths):
    network = random_unet(widths, 1)
    save_unet(network, tmp_path / "net.safetensors")
    loaded = load_unet(tmp_path / "net.safetensors")
    assert loaded.widths == widths
    x = torch.rand(1, 4, 20, 20)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(x), network(x), atol=2e-3, rtol=0)  # convolutions are stored in float16


def test_the_architecture_is_in_the_header(tmp_path, network):
    save_unet(network, tmp_path / "net.safetensors")
    with safe_open(tmp_path / "net.safetensors", "pt") as file:
        metadata = file.metadata()
        assert metadata["architecture"] == "unet"
        assert metadata["widths"] == "4,6,8"
        assert file.get_tensor("Conv1.conv.0.weight").dtype == torch.float16
        assert file.get_tensor("Conv1.conv.1.running_var").dtype == torch.float32


def test_missing_and_extra_keys_are_named(tmp_path, network):
    state = network.state_dict()
    del state["Up2.up.1.bias"]
    state["surplus.weight"] = torch.zeros(1)
    with pytest.raises(InputError, match=r"net\.pt.*missing: Up2\.up\.1\.bias; not of this network: surplus\.weight"):
        load_unet(save_state(tmp_path / "net.pt", state))


def test_wrong_shapes_are_named(tmp_path, network):
    state = network.state_dict()
    state["Conv2.conv.0.bias"] = torch.zeros(5)
    with pytest.raises(InputError, match=r"Conv2\.conv\.0\.bias is \(5,\), not \(6,\)"):
        load_unet(save_state(tmp_path / "net.pt", state))


def test_values_that_are_not_finite_are_refused(tmp_path, network):
    state = network.state_dict()
    state["Conv.bias"][1] = float("nan")
    with pytest.raises(InputError, match=r"Conv\.bias holds values that are not finite"):
        load_unet(save_state(tmp_path / "net.pt", state))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_can_not_run_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "was_run",))

    (tmp_path / "net.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError, match=r"net\.pt"):
        load_unet(tmp_path / "net.pt")
    save_state(tmp_path / "net.pt", {"Conv.weight": Evil()})
    with pytest.raises(InputError, match=r"net\.pt"):
        load_unet(tmp_path / "net.pt")
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("length", [0, 10, 2000])
def test_truncated_files_are_refused(tmp_path, network, suffix, length):
    path = tmp_path / f"net{suffix}"
    save_unet(network, path) if suffix == ".safetensors" else save_state(path, network.state_dict())
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match="can't be read as weights"):
        load_unet(path)


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {"a": torch.zeros(2)}])
def test_other_contents_are_refused(tmp_path, content):
    with pytest.raises(InputError, match=r"net\.pt"):
        load_unet(save_state(tmp_path / "net.pt", content))


def test_a_pair_of_other_channels_or_widths_is_refused(tmp_path, tiny_model):
    for branch in ("oe", "noe"):
        save_unet(UNet((4, 6), in_channels=3), tmp_path / f"{branch}.safetensors")
    with pytest.raises(InputError, match="3 in, 3 out; the method needs 4 in"):
        load_fusion(find_model(str(tmp_path)), torch.device("cpu"))
    other = replace(find_model(str(tiny_model)), widths=(4, 6, 9))
    with pytest.raises(InputError, match=r"widths \(4, 6, 8\), but models\.yaml says \(4, 6, 9\)"):
        load_fusion(other, torch.device("cpu"))
