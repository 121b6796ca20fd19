"""Weights in and out: safetensors, and the published `.pt` state dicts."""

import pickle
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from omf.models.registry import Model, check_files
from omf.networks.base import PaddedNetwork
from omf.networks.demosaic_net import DemosaicNet
from omf.networks.registry import NETWORKS, build, name_of
from omf.networks.unet import shape_of
from omf.utils.errors import InputError
from omf.utils.files import atomic_write

NUMBERS = (
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.int64,
)  # the last: BatchNorm's count of batches
SHOWN = 4  # keys, or problems, of a file
DEMOSAIC = "demosaic"  # the architecture of a Demosaic Net's file

Network = TypeVar("Network", bound=nn.Module)


def load_pair(model: Model) -> tuple[PaddedNetwork, PaddedNetwork]:
    """Check and load the OE and the NOE network of a model. Raises InputError where a file is missing, wrong or damaged."""
    check_files(model)
    oe, noe = load_network(model.oe.path), load_network(model.noe.path)
    for file, network in ((model.oe, oe), (model.noe, noe)):
        if model.widths not in (None, network.widths):
            raise InputError(
                f"{file.path}: widths {network.widths}, but models.yaml says {model.widths}; correct the list"
            )
        if (network.in_channels, network.out_channels) != (4, 3):
            channels = f"{network.in_channels} in, {network.out_channels} out"
            raise InputError(f"{file.path}: {channels}; the method needs 4 in (R, G, B, mask), 3 out")
    if oe.depth != noe.depth:
        raise InputError(
            f"{model.oe.path}: widths {oe.widths}, but NOE's are {noe.widths}; both need the same number of levels"
        )
    return oe, noe


def load_network(path: Path) -> PaddedNetwork:
    """Load one network of the method.

    Its architecture and widths are told by the header of a safetensors file. A file without them, or a
    `.pt`, is a U-Net, its widths told by the shapes of its weights. A `.pt` file is read with
    `weights_only=True`: nothing in it can run.

    Raises:
        InputError: unreadable, not a network of the method, missing or extra keys, wrong shapes, or
            values that are not finite.
    """
    state, header = read_weights(path)
    name = header.get("architecture")
    if name is None:
        if (shape := shape_of(state)) is None:
            raise InputError(
                f"{path}: not a U-Net checkpoint; it has no Conv1.conv.0.weight or no Conv.weight"
            )
        return build_filled(partial(build, "unet", *shape), state, path)
    if name not in NETWORKS:
        raise InputError(f"{path}: weights of architecture {name}; the method takes {' or '.join(NETWORKS)}")
    widths = header_numbers(path, header, "widths")
    in_channels, out_channels = (header_number(path, header, key) for key in ("in_channels", "out_channels"))
    return build_filled(partial(build, name, widths, in_channels, out_channels), state, path)


def load_demosaic_net(path: Path) -> DemosaicNet:
    """Load a Demosaic Net. Raises InputError as `load_network` does."""
    state, header = read_weights(path)
    if header.get("architecture") != DEMOSAIC:
        raise InputError(
            f"{path}: weights of architecture {header.get('architecture', 'unet')}; a Demosaic Net is needed"
        )
    width, depth = (header_number(path, header, key) for key in ("width", "depth"))
    return build_filled(partial(DemosaicNet, width, depth), state, path)


def build_filled(make: Callable[[], Network], state: Mapping[str, Tensor], path: Path) -> Network:
    """A network with these weights, for evaluation. Raises InputError unless they are just the ones that it has."""
    try:
        with torch.device("meta"):  # shapes and no memory, of which a damaged header may ask any amount
            empty = make()
    except (InputError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: {error}; copy the file again from where it came") from error
    kind, expected = type(empty).__name__, empty.state_dict()
    problems = [
        f"{word}: {some(sorted(keys), ', ')}"
        for word, keys in (
            ("missing", expected.keys() - state.keys()),
            ("not of this network", state.keys() - expected.keys()),
        )
        if keys
    ]
    problems += [
        f"{key} is {tuple(state[key].shape)}, not {tuple(value.shape)}"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    if not problems:
        problems = [
            f"{key} holds {problem}" for key, value in state.items() if (problem := value_problem(value))
        ]
    if problems:
        raise InputError(
            f"{path}: not a whole {kind} checkpoint; {some(problems, '; ')}; give the weights of this network"
        )
    network = make()
    network.load_state_dict(state)
    return network.eval()


def some(of: list[str], between: str) -> str:
    """The first of them, and how many there are besides."""
    return between.join(of if len(of) <= SHOWN else [*of[:SHOWN], f"and {len(of) - SHOWN} more"])


def value_problem(value: Tensor) -> str | None:
    """What of a tensor's values no network takes; None where nothing is."""
    if value.dtype not in NUMBERS:
        return f"{str(value.dtype).removeprefix('torch.')}, not numbers of 16, 32 or 64 bits"
    return None if torch.isfinite(value).all() else "values that are not finite"


def read_weights(path: Path) -> tuple[Mapping[str, Tensor], dict[str, str]]:
    """{parameter name: tensor} on the CPU, and the header of a safetensors file (empty for others)."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                state, header = {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118 - not a dict
        else:
            state, header = torch.load(path, map_location="cpu", weights_only=True), {}
    except Exception as error:  # whatever the unpickler stumbles over in a damaged file
        reason = str(error).strip().partition("\n")[0] or "it is empty"
        if isinstance(
            error, pickle.UnpicklingError
        ):  # PyTorch's advice is to load it nevertheless, which may run what it holds
            reason = "not tensors alone"
        raise InputError(
            f"{path}: can't be read as weights ({reason}); fetch or copy the file again"
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and is_plain(value) for key, value in state.items()
    ):
        raise InputError(f"{path}: not a state_dict; save the network's state_dict() and nothing else")
    return state, header


def is_plain(value: object) -> bool:
    """Whether it is a tensor whose values are all in the file."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        return False
    return value.numel() * value.itemsize <= value.untyped_storage().nbytes()  # and not one of them repeated


def header_number(path: Path, header: Mapping[str, str], key: str) -> int:
    """The one number that a header holds under a key. Raises InputError where there is none, or more."""
    numbers = header_numbers(path, header, key)
    if len(numbers) > 1:
        raise InputError(
            f"{path}: its header tells {len(numbers)} {key} of the network; copy the file again from where it came"
        )
    return numbers[0]


def header_numbers(path: Path, header: Mapping[str, str], key: str) -> tuple[int, ...]:
    """The numbers that a header holds under a key. Raises InputError where there are none."""
    if not re.fullmatch(r"\d{1,5}(,\d{1,5})*", header.get(key, "")):
        raise InputError(
            f"{path}: its header does not tell the {key} of the network; copy the file again from where it came"
        )
    return tuple(map(int, header[key].split(",")))


def save_network(network: PaddedNetwork, path: Path, camera: str | None = None) -> None:
    """Write safetensors: the weights of convolutions in float16 (half the bytes), the rest in float32.

    Args:
        network: of the method.
        path: of the file.
        camera: whose RAW it gives, where that is known; see `omf.models.registry.find_model`.
    """
    convolutions = {name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}
    state = {
        key: value.half() if key.rpartition(".")[0] in convolutions and key.endswith("weight") else value
        for key, value in network.state_dict().items()
    }
    header = {
        "architecture": name_of(network),
        "widths": ",".join(map(str, network.widths)),
        "in_channels": str(network.in_channels),
        "out_channels": str(network.out_channels),
        **({"camera": camera} if camera else {}),
    }
    write_weights(state, header, path)


def save_demosaic_net(network: DemosaicNet, path: Path) -> None:
    """Write safetensors, all in float32."""
    header = {"architecture": DEMOSAIC, "width": str(network.width), "depth": str(network.depth)}
    write_weights(network.state_dict(), header, path)


def write_weights(state: Mapping[str, Tensor], header: Mapping[str, str], path: Path) -> None:
    with atomic_write(path) as temporary:
        temporary.write_bytes(
            save({key: value.contiguous() for key, value in state.items()}, {"format": "pt", **header})
        )
