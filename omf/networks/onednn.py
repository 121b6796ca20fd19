"""Convolutions on CPUs by operators of oneDNN that PyTorch has for its compiler: kernels are packed once."""

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional

from omf.utils.console import log
from omf.utils.errors import first_line

TYPICAL_SIDE = 256  # height and width for which kernels are reordered
# Of Winograd's, in and out; with fewer, the transforms cost as much as the multiplications save
MIN_CHANNELS = 256
# Per position of the tiles processed at once, over all channels: they fit into the cache
CACHED_VALUES = 2**18

KERNEL_TRANSFORM = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))


class ReorderedConv(nn.Module):
    """Convolution of stride 1 and ReLU in one pass; PyTorch's own reorders the kernel at each call.

    Args:
        weight: kernels, (K, C, h, w), of any dtype.
        bias: biases, (K,).
        padding: pixels of zeros on each side.
    """

    def __init__(self, weight: Tensor, bias: Tensor, padding: int):
        super().__init__()
        self.padding = [padding, padding]
        self.kernel = torch.ops.mkldnn._reorder_convolution_weight(
            weight.contiguous(memory_format=torch.channels_last),
            self.padding,
            [1, 1],
            [1, 1],
            1,
            (1, weight.shape[1], TYPICAL_SIDE, TYPICAL_SIDE),
        )
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, K, H', W'), channels last."""
        return torch.ops.mkldnn._convolution_pointwise(
            x, self.kernel, self.bias, self.padding, [1, 1], [1, 1], 1, "relu", [], ""
        )


class WinogradConv(nn.Module):
    """3 x 3 convolution with padding 1 by Winograd's F(2 x 2, 3 x 3): 16 multiplications instead of 36.

    The matrices are from Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016. Each
    2 x 2 output tile depends on a 4 x 4 input tile. After the transform, the tiles' values at one position
    and the kernel's value there are multiplied as matrices over the channels. The float32 error is similar
    to that of direct convolution. PyTorch's own matrix product runs at half the rate on some processors.

    Args:
        weight: kernels, (K, C, 3, 3).
        bias: biases, (K,).
    """

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        transform = torch.tensor(KERNEL_TRANSFORM, dtype=torch.float64, device=weight.device)
        kernels = torch.einsum("ia,jb,kcab->ijkc", transform, transform, weight.double())
        kernels = kernels.flatten(0, 1).float()  # (16, K, C)
        self.max_tiles = max(CACHED_VALUES // weight.shape[1], 1)  # processed at once
        self.kernels = [torch.ops.mkldnn._reorder_linear_weight(kernel, self.max_tiles) for kernel in kernels]
        self.bias = nn.Parameter(bias.float(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map float32 (N, C, H, W) to float32 (N, K, H, W), channels last."""
        batch, _, height, width = x.shape
        tile_rows, tile_columns = -(-height // 2), -(-width // 2)
        padded = functional.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1 + width % 2, 1, 1 + height % 2))
        out = x.new_empty(batch, 2 * tile_rows, 2 * tile_columns, len(self.bias))
        band = max(self.max_tiles // tile_columns, 1)  # rows of tiles
        for source, target in zip(padded, out):
            for top in range(0, 2 * tile_rows, 2 * band):
                self.convolve(source[top : top + 2 * band + 2], target[top : top + 2 * band])
        return out[:, :height, :width].permute(0, 3, 1, 2)

    def convolve(self, source: Tensor, out: Tensor) -> None:
        """Convolve m rows of n tiles: (2 m + 2, 2 n + 2, C) -> (2 m, 2 n, K)."""
        height, width, _ = out.shape
        tiles = source.new_empty(4, 4, height // 2, width // 2, source.shape[2])
        for tile_row, row in zip(tiles, transform_input([source[i : i + height : 2] for i in range(4)])):
            transform_input([row[:, j : j + width : 2] for j in range(4)], tile_row)
        products = [
            torch.ops.mkldnn._linear_pointwise(tile, kernel, None, "none", [], "")
            for tile, kernel in zip(tiles.flatten(0, 1), self.kernels)
        ]
        columns = [transform_output(products[j::4]) for j in range(4)]
        for i in range(2):
            for j, value in enumerate(transform_output([column[i] for column in columns])):
                torch.add(value, self.bias, out=out[i::2, j::2])


def transform_input(lines: list[Tensor], out: Tensor | tuple[None, ...] = (None,) * 4) -> tuple[Tensor, ...]:
    """Transform four lines of input tiles along one axis."""
    a, b, c, d = lines
    return (
        torch.sub(a, c, out=out[0]),
        torch.add(b, c, out=out[1]),
        torch.sub(c, b, out=out[2]),
        torch.sub(b, d, out=out[3]),
    )


def transform_output(lines: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Transform four lines of products back along one axis, to two lines of the output."""
    a, b, c, d = lines
    return a + b + c, b - c - d


def can_use_onednn(dtype: torch.dtype) -> bool:
    """Return True if oneDNN has these convolutions in float32 or bfloat16 for this processor."""
    if not has_operators():
        return False
    return dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported()


@functools.cache
def has_operators() -> bool:
    """Return True if this PyTorch has the operators, which are not of its public interface.

    Without them, which a warning says once, the plain convolutions take their place.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    x, weight, bias = (torch.ones(shape, device="cpu").float() for shape in ((1, 1, 2, 2), (1, 1, 3, 3), 1))
    try:
        WinogradConv(weight, bias)(x)
        ReorderedConv(weight, bias, padding=1)(x)
    except (AttributeError, RuntimeError, TypeError) as error:
        log.warning(
            f"networks on the CPU are slower: PyTorch {torch.__version__} has other operators of oneDNN than"
            f" the tested versions ({first_line(error)})"
        )
        return False
    return True
