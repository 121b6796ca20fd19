"""U-Net that maps sRGB and overexposure mask to demosaiced RAW.

Parameter names and shapes match the published checkpoints (Kim et al. 2022), for any widths.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from omf.networks.base import PaddedNetwork, in_full_precision, receptive_radius

PUBLISHED_WIDTHS = (64, 128, 256, 512, 1024)


def conv_bn_relu(in_channels: int, out_channels: int) -> list[nn.Module]:
    """Return a 3 x 3 convolution, batch norm and ReLU."""
    return [
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]


class ConvBlock(nn.Module):
    """Two 3 x 3 convolutions, each with batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = nn.Sequential(
            *conv_bn_relu(in_channels, out_channels), *conv_bn_relu(out_channels, out_channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class UpConv(nn.Module):
    """Nearest-neighbour upsampling by 2, then a 3 x 3 convolution with batch norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.up = nn.Sequential(nn.Upsample(scale_factor=2), *conv_bn_relu(in_channels, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x)


class UNet(PaddedNetwork):
    """U-Net with one level per entry of `widths`."""

    peak_features = 8

    def __init__(self, widths: Sequence[int] = PUBLISHED_WIDTHS, in_channels: int = 4, out_channels: int = 3):
        super().__init__(widths, in_channels, out_channels)
        for level, (before, width) in enumerate(zip((in_channels, *self.widths), self.widths), start=1):
            self.add_module(f"Conv{level}", ConvBlock(before, width))
        for level in range(len(self.widths), 1, -1):
            deep, shallow = self.widths[level - 1], self.widths[level - 2]
            self.add_module(f"Up{level}", UpConv(deep, shallow))
            self.add_module(f"Up_conv{level}", ConvBlock(2 * shallow, shallow))
        self.Conv = nn.Conv2d(self.widths[0], out_channels, 1)

    @property
    def receptive_radius(self) -> int:
        """Receptive-field radius, in pixels: of two convolutions per block, and one per upsampling."""
        return receptive_radius(0, [3] * self.depth, 2, [2] * self.depth)

    def body(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W); H and W are multiples of `grid`."""
        skips = []
        for level in range(1, len(self.widths) + 1):
            # C channels at this level, h = H / 2**(level - 1), w likewise
            if skips:
                x = functional.max_pool2d(x, 2)
            x = getattr(self, f"Conv{level}")(x)  # (N, C, h, w)
            skips.append(x)
        skips.pop()
        for level in range(len(self.widths), 1, -1):
            # C channels at the level above, which is twice as large
            x = getattr(self, f"Up{level}")(x)  # (N, C, 2 h, 2 w)
            x = torch.cat((skips.pop(), x), dim=1)  # (N, 2 C, 2 h, 2 w)
            x = getattr(self, f"Up_conv{level}")(x)  # (N, C, 2 h, 2 w)
        return in_full_precision(self.Conv, x)  # (N, out_channels, H, W)


def shape_of(state: Mapping[str, Tensor]) -> tuple[tuple[int, ...], int, int] | None:
    """Infer (widths, in_channels, out_channels) from a U-Net's weights; return None for other weights."""
    widths, level = [], 1
    while (weight := state.get(f"Conv{level}.conv.0.weight")) is not None and weight.ndim == 4:
        widths.append(weight.shape[0])
        level += 1
    last = state.get("Conv.weight")
    if not widths or last is None or not last.ndim:
        return None
    return tuple(widths), state["Conv1.conv.0.weight"].shape[1], last.shape[0]
