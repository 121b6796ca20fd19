"""Base class of the networks, and their input."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

BORDER = 4  # pixels of padding on each side, as in the published network
PAD_VALUE = 1.0


def network_input(rgb: np.ndarray, mask: np.ndarray) -> Tensor:
    """Stack photo and mask: uint8 or uint16 (H, W, 3), bool (H, W) -> float32 (1, 4, H, W) in [0, 1]."""
    x = torch.empty(1, 4, *mask.shape)
    x[0, :3] = torch.from_numpy(np.moveaxis(rgb.astype(np.float32), -1, 0)) / np.iinfo(rgb.dtype).max
    x[0, 3] = torch.from_numpy(mask)
    return x


class PaddedNetwork(nn.Module):
    """Base class of the networks: padding lets a body that requires multiples of `grid` take any size.

    Args:
        widths: channels of each level, the shallowest first.
        in_channels: 4, for R, G, B and the overexposure mask.
        out_channels: 3, for camera R, G, B.
    """

    # (N, in_channels, H, W) -> (N, out_channels, H, W), H and W multiples of `grid`
    body: Callable[[Tensor], Tensor]
    # largest distance, in pixels along an axis, from an output to an input that affects it
    receptive_radius: int
    peak_features: int  # number of features of the first level that are in memory at once, approximately

    def __init__(self, widths: Sequence[int], in_channels: int, out_channels: int):
        super().__init__()
        self.widths, self.in_channels, self.out_channels = tuple(widths), in_channels, out_channels
        self.depth = len(self.widths) - 1  # number of times the image is halved

    @property
    def grid(self) -> int:
        """Divisor of the sides that `body` takes; even, so that tiles begin with a complete Bayer cell."""
        return max(2, 2**self.depth)

    @property
    def bytes_per_pixel(self) -> int:
        """Approximate peak memory per pixel of `body`'s input, float32."""
        return 4 * self.peak_features * self.widths[0]

    def pad(self, x: Tensor) -> Tensor:
        """Pad with the constant 1 up to multiples of `grid`.

        The padding is 4 pixels at the top and left, and 4 or more at the bottom and right.
        """
        height, width = x.shape[-2:]
        right, bottom = (BORDER + -(size + 2 * BORDER) % self.grid for size in (width, height))
        return functional.pad(x, (BORDER, right, BORDER, bottom), value=PAD_VALUE)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) in [0, 1] to (N, out_channels, H, W), any H and W."""
        height, width = x.shape[-2:]
        return self.body(self.pad(x))[..., BORDER : BORDER + height, BORDER : BORDER + width]


def in_full_precision(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Run a layer in the precision of its weights, also under autocast, which is too coarse for results."""
    if not torch.amp.is_autocast_available(x.device.type):  # as on the device `meta`
        return layer(x)
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.to(layer.weight.dtype))


def receptive_radius(ends: int, decoders: Sequence[int], bottom: int, encoders: Sequence[int]) -> int:
    """Return the largest distance, in pixels along an axis, from an output of a U-shaped network to an input.

    Args:
        ends: pixels that the convolutions before the U, and those after it, reach to each side.
        decoders: pixels that those after the upsampling to each level reach, the shallowest level first.
        bottom: those of the deepest level.
        encoders: those before the downsampling, as for `decoders`.
    """
    farthest = 0
    for position in range(2 ** len(decoders)):
        first, last = position - ends, position + ends
        for reach in decoders:
            first, last = (first - reach) // 2, (last + reach) // 2
        first, last = first - bottom, last + bottom
        for reach in reversed(encoders):
            first, last = 2 * first - reach, 2 * last + 1 + reach
        farthest = max(farthest, position - first + ends, last + ends - position)
    return farthest
