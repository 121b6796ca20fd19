"""Fused U-Net for inference: the same function with fewer operations."""

import copy
from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from omf.networks.onednn import MIN_CHANNELS, ReorderedConv, WinogradConv
from omf.networks.packed_unet import PackedUNet
from omf.networks.unet import ConvBlock, UNet, UpConv


class FusedUNet(nn.Module):
    """A U-Net's body with fused batch norms, sub-pixel up-convolutions and the channels-last layout.

    Args:
        network: trained network; not modified.
        dtype: dtype of all but the first and the last convolution, which stay float32: they cost little of
            the work, and half of the error of half precision.
        onednn: use operators of oneDNN for CPUs, see `can_use_onednn`: kernels that are reordered once, and
            in float32 Winograd convolutions for layers with many channels.
    """

    def __init__(self, network: UNet | PackedUNet, dtype: torch.dtype = torch.float32, onednn: bool = False):
        super().__init__()
        self.dtype, self.packed = dtype, isinstance(network, PackedUNet)
        unet = network.unet if self.packed else network
        # approximate peak memory per input pixel, float32
        self.bytes_per_pixel = 4 * 6 * unet.widths[0] // (4 if self.packed else 1)
        levels = range(1, len(unet.widths) + 1)
        first, *others = fuse_block(unet.Conv1)
        first = conv_of_pixels(first) if self.packed else first
        self.first, self.last = rectified(first, torch.float32, False), copy.deepcopy(unet.Conv)
        encoders = (fuse_block(getattr(unet, f"Conv{level}")) for level in levels[1:])
        decoders = (fuse_block(getattr(unet, f"Up_conv{level}")) for level in levels[:0:-1])
        self.encoders, self.decoders = (
            nn.ModuleList(rectified_block(block, dtype, onednn) for block in part)
            for part in (chain([others], encoders), decoders)
        )
        self.ups = nn.ModuleList(
            SubPixelUpConv(getattr(unet, f"Up{level}"), dtype, onednn) for level in levels[:0:-1]
        )
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Map float32 (N, C, H, W) to float32 (N, C', H, W); H and W are multiples of the network's grid."""
        x = self.first(x.contiguous(memory_format=torch.channels_last)).to(self.dtype)
        skips = []
        for encoder in self.encoders:
            if skips:
                x = functional.max_pool2d(x, 2)
            x = encoder(x)
            skips.append(x)
        skips.pop()
        for up, decoder in zip(self.ups, self.decoders):
            x = decoder(up(x, skips.pop()))
        x = self.last(x.float())
        return functional.pixel_shuffle(x, 2) if self.packed else x


class SubPixelUpConv(nn.Module):
    """Nearest-neighbour upsampling and 3 x 3 convolution, as four 2 x 2 convolutions before the upsampling.

    Each of the four output phases (even or odd row, even or odd column) depends on only 2 x 2 different
    pixels of the small grid, so the taps that fall on the same pixel are added up: 16 multiplications
    instead of 36. `dtype` and `onednn`: see `FusedUNet`.
    """

    def __init__(self, up: UpConv, dtype: torch.dtype = torch.float32, onednn: bool = False):
        super().__init__()
        _, conv, norm, _ = up.up
        fused = fuse_conv_bn(conv, norm)
        kernels = [
            merge_taps(merge_taps(fused.weight, 2, row), 3, column) for row in range(2) for column in range(2)
        ]
        with torch.device("meta"):  # no random weights
            phases = nn.Conv2d(conv.in_channels, 4 * conv.out_channels, 2, padding=1)
        phases.weight = nn.Parameter(torch.cat(kernels), requires_grad=False)
        phases.bias = nn.Parameter(fused.bias.repeat(4), requires_grad=False)
        self.conv = rectified(phases, dtype, onednn)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Upsample x and concatenate it to skip: (N, C, H, W) and (N, C', 2H, 2W) -> (N, 2C', 2H, 2W)."""
        batch, channels, height, width = skip.shape
        merged = torch.empty(
            (batch, 2 * channels, height, width),
            dtype=skip.dtype,
            device=skip.device,
            memory_format=torch.channels_last,
        )
        merged[:, :channels] = skip
        phases = self.conv(x).split(channels, dim=1)
        for phase, (row, column) in zip(phases, ((0, 0), (0, 1), (1, 0), (1, 1))):
            # odd phases are offset by one small pixel: down for rows, right for columns
            window = phase[:, :, row : row + height // 2, column : column + width // 2]
            merged[:, channels:, row::2, column::2] = window
        return merged


def merge_taps(weight: Tensor, axis: int, phase: int) -> Tensor:
    """Add up, along one axis of a 3 x 3 kernel, the two taps that fall on the same small pixel."""
    first, middle, last = weight.unbind(axis)
    return torch.stack((first, middle + last) if phase == 0 else (first + middle, last), axis)


def fuse_conv_bn(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Return a float64 convolution that equals the convolution followed by the batch norm in eval mode."""
    # without gradients: a graph would keep the copies in memory
    conv, norm = (copy.deepcopy(module).double().eval().requires_grad_(False) for module in (conv, norm))
    return fuse_conv_bn_eval(conv, norm)


def conv_of_pixels(conv: nn.Conv2d) -> nn.Conv2d:
    """Return the 6 x 6 convolution of stride 2 that equals a 3 x 3 convolution of 2 x 2 cells of pixels."""
    with torch.device("meta"):  # no random weights
        strided = nn.Conv2d(conv.in_channels // 4, conv.out_channels, 6, stride=2, padding=2)
    # a cell's pixels are channels as in pixel_unshuffle, and in the kernel rows and columns
    strided.weight = nn.Parameter(functional.pixel_shuffle(conv.weight, 2), requires_grad=False)
    strided.bias = conv.bias
    return strided


def fuse_block(block: ConvBlock) -> list[nn.Conv2d]:
    """Return the two convolutions of a block with their batch norms fused, in float64."""
    first, first_norm, _, second, second_norm, _ = block.conv
    return [fuse_conv_bn(first, first_norm), fuse_conv_bn(second, second_norm)]


def rectified_block(block: Sequence[nn.Conv2d], dtype: torch.dtype, onednn: bool) -> nn.Sequential:
    """Return convolutions each followed by a ReLU; see `FusedUNet`."""
    return nn.Sequential(*(rectified(conv, dtype, onednn) for conv in block))


def rectified(conv: nn.Conv2d, dtype: torch.dtype, onednn: bool) -> nn.Module:
    """Return a convolution followed by a ReLU; see `FusedUNet`."""
    is_wide = min(conv.in_channels, conv.out_channels) >= MIN_CHANNELS and conv.kernel_size == (3, 3)
    if onednn and dtype == torch.float32 and is_wide:
        return nn.Sequential(WinogradConv(conv.weight, conv.bias), nn.ReLU(inplace=True))
    if onednn:
        return ReorderedConv(conv.weight.to(dtype), conv.bias.to(dtype), conv.padding[0])
    return nn.Sequential(conv.to(dtype), nn.ReLU(inplace=True))
