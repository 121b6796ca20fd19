"""Weights in and out: safetensors, and the published `.pt` state dicts."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from omf.errors import InputError
from omf.files import written_whole
from omf.fusion import Fusion
from omf.models import Model, check_files
from omf.unet import UNet


def load_fusion(model: Model, device: torch.device) -> Fusion:
    """Check and load both branches. Raises InputError where a file is missing, wrong or damaged."""
    check_files(model)
    oe, noe = load_unet(model.oe.path), load_unet(model.noe.path)
    for file, network in ((model.oe, oe), (model.noe, noe)):
        if model.widths not in (None, network.widths):
            raise InputError(f"{file.path}: widths {network.widths}, but models.yaml says {model.widths}; correct the list")
        if (network.in_channels, network.out_channels) != (4, 3):
            channels = f"{network.in_channels} in, {network.out_channels} out"
            raise InputError(f"{file.path}: {channels}; the method needs 4 in (R, G, B, mask), 3 out")
    return Fusion(oe, noe, device)


def load_unet(path: Path) -> UNet:
    """Load one U-Net, its widths told by the shapes of its weights.

    A `.pt` file is read with `weights_only=True`: nothing in it can run.

    Raises:
        InputError: unreadable, missing or extra keys, wrong shapes, or values that are not finite.
    """
    state = read_state(path)
    network = UNet(*architecture(path, state))
    expected = network.state_dict()
    problems = [
        f"{word}: {', '.join(sorted(keys))}"
        for word, keys in (("missing", expected.keys() - state.keys()), ("not of this network", state.keys() - expected.keys()))
        if keys
    ]
    problems += [
        f"{key} is {tuple(state[key].shape)}, not {tuple(value.shape)}"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    problems += [f"{key} holds values that are not finite" for key, value in state.items() if not torch.isfinite(value).all()]
    if problems:
        raise InputError(f"{path}: not a whole U-Net checkpoint; {'; '.join(problems)}")
    network.load_state_dict(state)
    return network.eval()


def read_state(path: Path) -> Mapping[str, Tensor]:
    """{parameter name: tensor} on the CPU."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, SafetensorError, pickle.UnpicklingError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{path}: can't be read as weights ({reason}); fetch or copy the file again") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: not a state_dict; save the network's state_dict() and nothing else")
    return state


def architecture(path: Path, state: Mapping[str, Tensor]) -> tuple[tuple[int, ...], int, int]:
    """(widths, in_channels, out_channels) by the shapes of the weights."""
    widths, level = [], 1
    while (weight := state.get(f"Conv{level}.conv.0.weight")) is not None and weight.ndim == 4:
        widths.append(weight.shape[0])
        level += 1
    last = state.get("Conv.weight")
    if not widths or last is None:
        raise InputError(f"{path}: not a U-Net checkpoint; it has no Conv1.conv.0.weight or no Conv.weight")
    return tuple(widths), state["Conv1.conv.0.weight"].shape[1], last.shape[0]


def save_unet(network: UNet, path: Path) -> None:
    """Write safetensors: convolutions in float16 (half the bytes), the rest in float32."""
    convolutions = {name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}
    state = {
        key: value.half() if key.rpartition(".")[0] in convolutions and key.endswith("weight") else value
        for key, value in network.state_dict().items()
    }
    metadata = {
        "format": "pt",
        "architecture": "unet",
        "widths": ",".join(map(str, network.widths)),
        "in_channels": str(network.in_channels),
        "out_channels": str(network.out_channels),
    }
    with written_whole(path) as temporary:
        temporary.write_bytes(save({key: value.contiguous() for key, value in state.items()}, metadata))
