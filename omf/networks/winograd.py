"""3 x 3 convolution with 16 multiplications for 36: Winograd's F(2 x 2, 3 x 3), as matrix products of oneDNN.

The matrices are those of Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016. Each 2 x 2 tile
of the output depends on a 4 x 4 tile of the input; transformed, the tiles of one position and the kernel's value there
are multiplied as matrices over the channels. The float32 error is much as that of direct convolution.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

MIN_CHANNELS = 256  # in and out; with fewer, the transforms cost what the multiplications save
VALUES = (
    2**18
)  # of a position's tiles, over all channels, that are worked on at once: they fit into the cache

KERNEL_TRANSFORM = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))


class WinogradConv(nn.Module):
    """A convolution with padding 1, on a CPU.

    The products are oneDNN's, with kernels that are packed once, as torch.compile calls them: PyTorch's own matrix
    product runs at half that rate on some processors.

    Args:
        weight: (K, C, 3, 3).
        bias: (K,).
    """

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        transform = torch.tensor(KERNEL_TRANSFORM, dtype=torch.float64)
        kernels = (
            torch.einsum("ia,jb,kcab->ijkc", transform, transform, weight.double()).flatten(0, 1).float()
        )
        self.tiles = max(VALUES // weight.shape[1], 1)  # at once
        self.kernels = [
            torch.ops.mkldnn._reorder_linear_weight(kernel, self.tiles) for kernel in kernels
        ]  # 16 of (K, C)
        self.bias = nn.Parameter(bias.float(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """float32 (N, C, H, W) -> float32 (N, K, H, W), channels last."""
        batch, _, height, width = x.shape
        down, across = -(-height // 2), -(-width // 2)  # tiles
        padded = functional.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1 + width % 2, 1, 1 + height % 2))
        out = x.new_empty(batch, 2 * down, 2 * across, len(self.bias))
        band = max(self.tiles // across, 1)
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
        products = [
            torch.ops.mkldnn._linear_pointwise(tile, kernel, None, "none", [], "")
            for tile, kernel in zip(tiles.flatten(0, 1), self.kernels)
        ]
        columns = [summed(products[j::4]) for j in range(4)]
        for i in range(2):
            for j, value in enumerate(summed([column[i] for column in columns])):
                torch.add(value, self.bias, out=out[i::2, j::2])


def transformed(lines: list[Tensor], out: Tensor | tuple[None, ...] = (None,) * 4) -> tuple[Tensor, ...]:
    """Four lines of input tiles, transformed along one axis."""
    a, b, c, d = lines
    return (
        torch.sub(a, c, out=out[0]),
        torch.add(b, c, out=out[1]),
        torch.sub(c, b, out=out[2]),
        torch.sub(b, d, out=out[3]),
    )


def summed(lines: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Four lines of products, transformed back along one axis: two of the output."""
    a, b, c, d = lines
    return a + b + c, b - c - d
