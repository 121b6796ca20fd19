"""The base class of all networks, and their input."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

BORDER = 4  # pixels that the published network pads on each side
PAD_VALUE = 1.0


def network_input(rgb: np.ndarray, mask: np.ndarray) -> Tensor:
    """uint8 or uint16 (H, W, 3) and bool (H, W) -> float32 (1, 4, H, W), values in [0, 1]."""
    x = torch.empty(1, 4, *mask.shape)
    x[0, :3] = torch.from_numpy(np.moveaxis(rgb.astype(np.float32), -1, 0)) / np.iinfo(rgb.dtype).max
    x[0, 3] = torch.from_numpy(mask)
    return x


class PaddedNetwork(nn.Module):
    """What the networks share: a body that works on a grid, and padding that lets it take any size.

    Args:
        widths: channels of each level, the shallowest first.
        in_channels: 4, for R, G, B and the overexposure mask.
        out_channels: 3, for camera R, G, B.
    """

    body: Callable[
        [Tensor], Tensor
    ]  # (N, in_channels, H, W) -> (N, out_channels, H, W), H and W multiples of `grid`
    receptive_radius: (
        int  # the farthest, in pixels along an axis, that an input lies from an output that it changes
    )
    bytes_per_pixel: int  # about what is held at once for each pixel of `body`'s input, float32

    def __init__(self, widths: Sequence[int], in_channels: int, out_channels: int):
        super().__init__()
        self.widths, self.in_channels, self.out_channels = tuple(widths), in_channels, out_channels
        self.depth = len(self.widths) - 1  # how often the image is halved

    @property
    def grid(self) -> int:
        """`body` takes heights and widths that are multiples of this; even, so that tiles begin with a whole Bayer cell."""
        return max(2, 2**self.depth)

    def pad(self, x: Tensor) -> Tensor:
        """Surround by the constant 1: 4 pixels at the top and left, 4 or more to reach the grid at the others."""
        height, width = x.shape[-2:]
        right, bottom = (BORDER + -(size + 2 * BORDER) % self.grid for size in (width, height))
        return functional.pad(x, (BORDER, right, BORDER, bottom), value=PAD_VALUE)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) in [0, 1] -> (N, out_channels, H, W), any H and W."""
        height, width = x.shape[-2:]
        return self.body(self.pad(x))[..., BORDER : BORDER + height, BORDER : BORDER + width]
