"""The Demosaic Net: a small network that fills in the colours which a Bayer sensor does not measure."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from omf.raw.bayer import demosaic, unpack

MEASURED = [
    0,
    5,
    6,
    11,
]  # of the 12 values of a Bayer cell (colour x site): R at site 0, G at 1 and 2, B at 3
MAX_DEPTH = 100  # convolutions
EPSILON = 1e-4  # keeps the slope of the square root finite; a tenth of a count of 10 bits


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = conv(width, width), conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return functional.silu(x + self.second(functional.silu(self.first(x))))


class DemosaicNet(nn.Module):
    """Residual network over packed Bayer cells; it corrects `omf.raw.bayer.demosaic`, with which it starts.

    The body sees square roots of the linear values: there noise is about as strong in the dark as in
    the light, and so are edges. Its answer is a step in these units, brought back to linear ones by
    the brightness around. Measured samples are put back at the end, so mosaicking gives the input.

    Args:
        width: channels of each convolution.
        depth: 3 x 3 convolutions from input to output, even, 2 to `MAX_DEPTH`.
    """

    def __init__(self, width: int = 32, depth: int = 8):
        super().__init__()
        if width < 1 or not 2 <= depth <= MAX_DEPTH or depth % 2:
            raise ValueError(
                f"width {width}, depth {depth}; the width must be 1 or more, the depth even, from 2 to {MAX_DEPTH}"
            )
        self.width, self.depth = width, depth
        self.head = nn.Conv2d(4, width, 3)  # the mosaic comes padded
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(depth // 2 - 1)))
        self.tail = conv(width, 12)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)
        self.register_buffer("linear", linear_kernel(), persistent=False)

    def forward(self, bayer: Tensor) -> Tensor:
        """(N, 1, H, W) RGGB, linear in [0, 1] -> (N, 3, H, W), not clipped; H and W even, 4 or more."""
        cells = functional.pixel_unshuffle(functional.pad(bayer, (2, 2, 2, 2), mode="reflect"), 2)
        roots = torch.sqrt(cells.clamp(min=0) + EPSILON)
        step = self.tail(self.blocks(functional.silu(self.head(roots))))
        brightness = functional.avg_pool2d(roots.mean(dim=1, keepdim=True), 3, stride=1)
        rgb = functional.conv2d(cells, self.linear) + brightness * step
        rgb[:, MEASURED] = cells[..., 1:-1, 1:-1]
        return functional.pixel_shuffle(rgb, 2)


def conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, padding_mode="reflect")


def linear_kernel() -> Tensor:
    """`omf.raw.bayer.demosaic` as a convolution over packed cells, read off its answers to single bright pixels: (12, 4, 3, 3)."""
    kernel = np.empty((12, 4, 3, 3), np.float32)
    for site, row, column in np.ndindex(4, 3, 3):
        cells = np.zeros((7, 7, 4), np.float32)
        cells[2 + row, 2 + column, site] = 1
        kernel[:, site, row, column] = demosaic(unpack(cells))[6:8, 6:8].transpose(2, 0, 1).reshape(12)
    return torch.from_numpy(kernel)
