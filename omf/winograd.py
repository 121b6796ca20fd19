"""3 x 3 convolution with 16 multiplications for 36: Winograd's F(2 x 2, 3 x 3), as matrix products.

The matrices are those of Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016. Each 2 x 2 tile
of the output depends on a 4 x 4 tile of the input; transformed, the tiles of one position and the kernel's value there
are multiplied as matrices over the channels. The float32 error is much as that of direct convolution.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAST_CHANNELS = 256  # in and out; with fewer, the transforms cost what the multiplications save
TILES = 512  # at once: what is under way then fits into the cache

KERNEL_TRANSFORM = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))


class WinogradConv(nn.Module):
    """A convolution with padding 1.

    Args:
        weight: (K, C, 3, 3).
        bias: (K,).
    """

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        transform = torch.tensor(KERNEL_TRANSFORM, dtype=torch.float64)
        kernel = torch.einsum("ia,jb,kcab->ijck", transform, transform, weight.double())
        self.kernel = nn.Parameter(kernel.flatten(0, 1).float(), requires_grad=False)  # (16, C, K)
        self.bias = nn.Parameter(bias.float(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """float32 (N, C, H, W) -> float32 (N, K, H, W), channels last."""
        batch, _, height, width = x.shape
        down, across = -(-height // 2), -(-width // 2)  # tiles
        padded = functional.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1 + width % 2, 1, 1 + height % 2))
        out = x.new_empty(batch, 2 * down, 2 * across, self.kernel.shape[2])
        band = max(TILES // across, 1)
        for seen, answer in zip(padded, out):
            for top in range(0, 2 * down, 2 * band):
                self.convolve(seen[top : top + 2 * band + 2], answer[top : top + 2 * band])
        return out[:, :height, :width].permute(0, 3, 1, 2)

    def convolve(self, seen: Tensor, out: Tensor) -> None:
        """(2 m + 2, 2 n + 2, C) -> (2 m, 2 n, K), for m rows of n tiles."""
        height, width, _ = out.shape
        tiles = seen.new_empty(4, 4, height // 2, width // 2, seen.shape[2])
        for of_row, row in zip(tiles, transformed([seen[i : i + height : 2] for i in range(4)])):
            transformed([row[:, j : j + width : 2] for j in range(4)], of_row)
        products = torch.bmm(tiles.flatten(2, 3).flatten(0, 1), self.kernel).view(*tiles.shape[:4], -1)
        for i, row in enumerate(summed(products)):
            for j, value in enumerate(summed(row)):
                torch.add(value, self.bias, out=out[i::2, j::2])


def transformed(lines: list[Tensor], out: Tensor | tuple[None, ...] = (None,) * 4) -> tuple[Tensor, ...]:
    """Four lines of input tiles, transformed along one axis."""
    a, b, c, d = lines
    return torch.sub(a, c, out=out[0]), torch.add(b, c, out=out[1]), torch.sub(c, b, out=out[2]), torch.sub(b, d, out=out[3])


def summed(lines: Tensor) -> tuple[Tensor, Tensor]:
    """Four lines of products, transformed back along one axis: two of the output."""
    a, b, c, d = lines
    return a + b + c, b - c - d
