"""Demosaic Net: a small network that interpolates the colours a Bayer sensor does not measure."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from omf.raw.bayer import demosaic, unpack

# Of the 12 values of a Bayer cell (colour x site): R at site 0, G at 1 and 2, B at 3
MEASURED = [0, 5, 6, 11]
MAX_DEPTH = 100  # convolutions
EPSILON = 1e-4  # keeps the slope of the square root finite; a tenth of a 10-bit count


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with a skip connection."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = conv(width, width), conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return functional.silu(x + self.second(functional.silu(self.first(x))))


class DemosaicNet(nn.Module):
    """Residual network over packed Bayer cells that corrects `omf.raw.bayer.demosaic`.

    Untrained, it equals that interpolation. The body operates on square roots of the linear values, for
    which noise and edges are about as strong in dark areas as in bright ones. Its output is a correction
    in these units, converted to linear ones by the local brightness. Measured samples are restored at the
    end, so mosaicking the output gives the input.

    Args:
        width: channels of each convolution.
        depth: number of 3 x 3 convolutions from input to output, even, 2 to `MAX_DEPTH`.

    Raises:
        ValueError: width or depth is out of range.
    """

    def __init__(self, width: int = 32, depth: int = 8):
        super().__init__()
        if width < 1 or not 2 <= depth <= MAX_DEPTH or depth % 2:
            raise ValueError(
                f"width {width}, depth {depth}; "
                f"the width must be 1 or more, the depth even, from 2 to {MAX_DEPTH}"
            )
        self.width, self.depth = width, depth
        self.head = nn.Conv2d(4, width, 3)  # unpadded, since `forward` pads the mosaic
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(depth // 2 - 1)))
        self.tail = conv(width, 12)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)
        self.register_buffer("linear", linear_kernel(), persistent=False)

    def forward(self, bayer: Tensor) -> Tensor:
        """Demosaic linear RGGB in [0, 1]: (N, 1, H, W) -> (N, 3, H, W), not clipped.

        H and W are even, 4 or more.
        """
        cells = functional.pixel_unshuffle(functional.pad(bayer, (2, 2, 2, 2), mode="reflect"), 2)
        roots = torch.sqrt(cells.clamp(min=0) + EPSILON)
        correction = self.tail(self.blocks(functional.silu(self.head(roots))))
        brightness = functional.avg_pool2d(roots.mean(dim=1, keepdim=True), 3, stride=1)
        with torch.autocast(bayer.device.type, enabled=False):  # too coarse for the result
            rgb = functional.conv2d(cells, self.linear) + brightness * correction.to(cells.dtype)
        rgb[:, MEASURED] = cells[..., 1:-1, 1:-1]
        return functional.pixel_shuffle(rgb, 2)


def conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Return a 3 x 3 convolution with reflected borders."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, padding_mode="reflect")


def linear_kernel() -> Tensor:
    """Return `omf.raw.bayer.demosaic` as a convolution over packed cells, (12, 4, 3, 3).

    The kernel consists of its responses to single bright pixels.
    """
    kernel = np.empty((12, 4, 3, 3), np.float32)
    for site, row, column in np.ndindex(4, 3, 3):
        cells = np.zeros((7, 7, 4), np.float32)
        cells[2 + row, 2 + column, site] = 1
        kernel[:, site, row, column] = demosaic(unpack(cells))[6:8, 6:8].transpose(2, 0, 1).reshape(12)
    return torch.from_numpy(kernel)
