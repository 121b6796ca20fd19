"""Load and save weights: safetensors, and the published `.pt` state dicts."""

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
from omf.networks.build import NETWORKS, build, name_of
from omf.networks.demosaic_net import DemosaicNet
from omf.networks.global_net import BASE_CHANNELS, SEGMENTS, GlobalNet
from omf.networks.spread_net import SpreadNet
from omf.networks.unet import shape_of
from omf.utils.errors import InputError
from omf.utils.files import atomic_write

# dtypes of weights; int64 is that of BatchNorm's num_batches_tracked
WEIGHT_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64)
MAX_LISTED = 4  # keys or problems named in an error message
# Architectures in the headers of a Demosaic Net, of a base network and of a spread network
DEMOSAIC, BASE, SPREAD = "demosaic", "base", "spread"

Network = TypeVar("Network", bound=nn.Module)


def load_networks(
    model: Model,
) -> tuple[PaddedNetwork, PaddedNetwork | None, GlobalNet | None, SpreadNet | None]:
    """Check and load the networks of a model.

    Returns:
        OE, NOE, the base and the spread network; a model with a base network may lack NOE and the spread.

    Raises:
        InputError: a file is missing, wrong or damaged, or the networks do not match.
    """
    check_files(model)
    base = load_base(model.base.path) if model.base else None
    spread = load_spread(model.spread.path) if model.spread else None
    oe, noe = (load_network(file.path) if file else None for file in (model.oe, model.noe))
    expected, inputs = (BASE_CHANNELS, "R, G, B, mask, base RAW") if base else (4, "R, G, B, mask")
    for file, network in ((model.oe, oe), (model.noe, noe)):
        if network is None:
            continue
        if model.widths not in (None, network.widths):
            raise InputError(
                f"{file.path}: widths {network.widths}, but {model.widths} are listed; correct the list"
            )
        if (network.in_channels, network.out_channels) != (expected, 3):
            channels = f"{network.in_channels} in, {network.out_channels} out"
            raise InputError(f"{file.path}: {channels}; the model needs {expected} in ({inputs}), 3 out")
    if noe and oe.depth != noe.depth:
        raise InputError(
            f"{model.oe.path}: widths {oe.widths}, but NOE's are {noe.widths}; "
            "both need the same number of levels"
        )
    return oe, noe, base, spread


def load_network(path: Path) -> PaddedNetwork:
    """Load one network of the method.

    The header of a safetensors file specifies the architecture and the widths. A file without them, or a
    `.pt` file, is a U-Net whose widths follow from the shapes of its weights.

    Raises:
        InputError: the file is unreadable or not a network of the method, keys are missing or unexpected,
            shapes are wrong, or values are not finite.
    """
    state, header = read_weights(path)
    name = header.get("architecture")
    if name is None:
        shape = shape_of(state)
        if shape is None:
            raise InputError(f"{path}: not a U-Net checkpoint; it has no Conv1.conv.0.weight or Conv.weight")
        return build_with_weights(partial(build, "unet", *shape), state, path)
    if name not in NETWORKS:
        raise InputError(f"{path}: weights of architecture {name}; the method takes {', '.join(NETWORKS)}")
    widths = header_numbers(path, header, "widths")
    channels = [header_numbers(path, header, key, 1)[0] for key in ("in_channels", "out_channels")]
    return build_with_weights(partial(build, name, widths, *channels), state, path)


def load_demosaic_net(path: Path) -> DemosaicNet:
    """Load a Demosaic Net. Raises InputError as `load_network` does."""
    state, header = read_weights(path, DEMOSAIC, "a Demosaic Net")
    width, depth = (header_numbers(path, header, key, 1)[0] for key in ("width", "depth"))
    return build_with_weights(partial(DemosaicNet, width, depth), state, path)


def load_base(path: Path) -> GlobalNet:
    """Load a base network. Raises InputError as `load_network` does."""
    state, _ = read_weights(path, BASE, "a base network")

    def make() -> GlobalNet:
        network = GlobalNet()
        if "mean_curve" in state:
            network.hold_exposure(torch.empty(SEGMENTS + 1), torch.empty(3, 3))
        return network

    return build_with_weights(make, state, path)


def load_spread(path: Path) -> SpreadNet:
    """Load a spread network. Raises InputError as `load_network` does."""
    state, _ = read_weights(path, SPREAD, "a spread network")
    return build_with_weights(SpreadNet, state, path)


def build_with_weights(make: Callable[[], Network], state: Mapping[str, Tensor], path: Path) -> Network:
    """Build a network in evaluation mode with its weights. Raises InputError if they are those of another."""
    try:
        # shapes only: a damaged header may request any amount of memory, and random weights change the state
        # of PyTorch's generator
        with torch.device("meta"):
            network = make()
    except (InputError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: {error}; copy the file again from where it came") from error
    kind, expected = type(network).__name__, network.state_dict()
    missing, surplus = expected.keys() - state.keys(), state.keys() - expected.keys()
    problems = [
        f"{word}: {join_first(sorted(keys), ', ')}"
        for word, keys in (("missing", missing), ("not of this network", surplus))
        if keys
    ]
    problems += [
        f"{key} is {tuple(state[key].shape)}, not {tuple(value.shape)}"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    problems = problems or list(filter(None, map(find_value_problem, state, state.values())))
    if problems:
        raise InputError(
            f"{path}: not a valid {kind} checkpoint; {join_first(problems, '; ')}; "
            "give the weights of this network"
        )
    state = {
        key: value.to(torch.float32 if value.is_floating_point() else value.dtype, copy=True)
        for key, value in state.items()
    }
    network.load_state_dict(state, assign=True)
    return network.eval()


def join_first(items: list[str], separator: str) -> str:
    """Join the first `MAX_LISTED` items, followed by the number of the others."""
    if len(items) > MAX_LISTED:
        items = [*items[:MAX_LISTED], f"and {len(items) - MAX_LISTED} more"]
    return separator.join(items)


def find_value_problem(key: str, value: Tensor) -> str:
    """Return why the values of a tensor cannot be weights; empty if they can."""
    if value.dtype not in WEIGHT_TYPES:
        return f"{key} holds {str(value.dtype).removeprefix('torch.')}, not numbers of 16, 32 or 64 bits"
    return "" if torch.isfinite(value).all() else f"{key} holds values that are not finite"


def read_weights(
    path: Path, architecture: str | None = None, network: str = ""
) -> tuple[Mapping[str, Tensor], dict[str, str]]:
    """Read a weights file, of an architecture if one is given; `network` describes that to the user.

    Returns {parameter name: tensor} on the CPU, and the header of a safetensors file (empty for others).

    Raises InputError if it is unreadable, contains anything but plain tensors, or has another architecture.
    """
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                state, header = {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118 - not a dict
        else:
            state, header = torch.load(path, map_location="cpu", weights_only=True), {}
    except Exception as error:  # the unpickler raises almost anything on a damaged file
        reason = str(error).strip().partition("\n")[0] or "it is empty"
        # PyTorch's own message recommends weights_only=False, which would execute code from the file
        if isinstance(error, pickle.UnpicklingError):
            reason = "not tensors alone"
        raise InputError(
            f"{path}: can't be read as weights ({reason}); fetch or copy the file again"
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and is_plain(value) for key, value in state.items()
    ):
        raise InputError(f"{path}: not a state_dict; save the network's state_dict() and nothing else")
    given = header.get("architecture", "unet")
    if architecture not in (None, given):
        raise InputError(f"{path}: weights of architecture {given}; expected {network}")
    return state, header


def is_plain(value: object) -> bool:
    """Return True for a dense CPU tensor whose values are all stored in the file."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        return False
    return value.numel() * value.itemsize <= value.untyped_storage().nbytes()  # not expanded


def header_numbers(path: Path, header: Mapping[str, str], key: str, count: int = 0) -> tuple[int, ...]:
    """Return the numbers under a key of a header. Raises InputError unless there are some, or `count`."""
    found = re.fullmatch(r"\d{1,5}(,\d{1,5})*", header.get(key, ""))
    numbers = tuple(map(int, header[key].split(","))) if found else ()
    if not numbers or count not in (0, len(numbers)):
        fault = f"specifies {len(numbers)} {key}" if numbers else f"does not specify the {key}"
        raise InputError(f"{path}: its header {fault} of the network; copy the file again from where it came")
    return numbers


def save_network(
    network: PaddedNetwork | DemosaicNet | GlobalNet | SpreadNet, path: Path, camera: str | None = None
) -> None:
    """Write a network as safetensors, in float32, and the convolutions of OE and NOE in float16.

    `camera`, if known, is that of the RAW which it predicts; see `omf.models.registry.find_model`.
    """
    halves = isinstance(network, PaddedNetwork)
    state = {  # four axes: kernels of convolutions
        key: (value.half() if halves and value.ndim == 4 else value).contiguous()
        for key, value in network.state_dict().items()
    }
    header = {"format": "pt", **architecture_of(network)} | ({"camera": camera} if camera else {})
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(state, header))


def architecture_of(network: nn.Module) -> dict[str, str]:
    """Return the header from which the `load` functions build a network."""
    if isinstance(network, PaddedNetwork):
        return {
            "architecture": name_of(network),
            "widths": ",".join(map(str, network.widths)),
            "in_channels": str(network.in_channels),
            "out_channels": str(network.out_channels),
        }
    if isinstance(network, DemosaicNet):
        return {"architecture": DEMOSAIC, "width": str(network.width), "depth": str(network.depth)}
    return {"architecture": BASE if isinstance(network, GlobalNet) else SPREAD}
