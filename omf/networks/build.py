"""Registry of the networks, by the names that checkpoints and settings use."""

from collections.abc import Sequence

from omf.networks.base import PaddedNetwork
from omf.networks.nafnet import LocalNAFNet
from omf.networks.packed_unet import PackedUNet
from omf.networks.unet import UNet
from omf.utils.errors import InputError

MAX_LEVELS = 16  # each level halves the image
NETWORKS = {"unet": UNet, "packed_unet": PackedUNet, "nafnet": LocalNAFNet}


def build(name: str, widths: Sequence[int], in_channels: int = 4, out_channels: int = 3) -> PaddedNetwork:
    """Build a network with random weights. Raises InputError if the name or the widths are not valid."""
    if name not in NETWORKS:
        raise InputError(f"network {name}: there is none of that name; known networks: {', '.join(NETWORKS)}")
    if not 1 <= len(widths) <= MAX_LEVELS or min(widths) < 1:
        raise InputError(
            f"network {name}: widths {tuple(widths)}; give the channels of each level, 1 or more, "
            f"the shallowest first; {MAX_LEVELS} levels at most"
        )
    return NETWORKS[name](widths, in_channels, out_channels)


def name_of(network: PaddedNetwork) -> str:
    """Return the name under which `build` creates a network of this class."""
    return next(name for name, kind in NETWORKS.items() if type(network) is kind)
