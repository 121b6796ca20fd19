"""Small network after NAFNet (Chen et al. 2022, "Simple Baselines for Image Restoration")."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from omf.networks.base import PaddedNetwork, in_full_precision, receptive_radius


def block_count(level: int) -> int:
    """Return the number of blocks at a level, in the encoder and again in the decoder.

    Level 0 has the full image size, where blocks cost the most time.
    """
    return 1 if level < 2 else 2


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of each pixel."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SimpleGate(nn.Module):
    """Product of the two halves of the channels: the only nonlinearity."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return first * second


class Block(nn.Module):
    """NAFNet block without channel attention."""

    def __init__(self, channels: int):
        super().__init__()
        self.spatial = nn.Sequential(
            LayerNorm2d(channels, eps=1e-6),
            nn.Conv2d(channels, 2 * channels, 1),
            nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels),
            SimpleGate(),
            nn.Conv2d(channels, channels, 1),
        )
        self.pointwise = nn.Sequential(
            LayerNorm2d(channels, eps=1e-6),
            nn.Conv2d(channels, 2 * channels, 1),
            SimpleGate(),
            nn.Conv2d(channels, channels, 1),
        )
        self.beta, self.gamma = (nn.Parameter(torch.zeros(channels, 1, 1)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.beta * self.spatial(x)
        return x + self.gamma * self.pointwise(x)


def blocks(level: int, channels: int) -> nn.Sequential:
    """Return the blocks of a level."""
    return nn.Sequential(*(Block(channels) for _ in range(block_count(level))))


class LocalNAFNet(PaddedNetwork):
    """U-shaped stack of NAFNet blocks, with one level per entry of `widths`.

    The channel attention of the original averages over the full image, so that each pixel would depend on
    all others and on the tiling. It is omitted: an output depends only on the inputs within
    `receptive_radius`, so tiles give the same result as the full image.
    """

    peak_features = 10

    def __init__(self, widths: Sequence[int], in_channels: int = 4, out_channels: int = 3):
        super().__init__(widths, in_channels, out_channels)
        pairs = list(zip(self.widths[:-1], self.widths[1:]))
        self.intro = nn.Conv2d(in_channels, self.widths[0], 3, padding=1)
        # the last encoder is the bottom of the U
        self.encoders = nn.ModuleList(blocks(level, width) for level, width in enumerate(self.widths))
        self.downs = nn.ModuleList(nn.Conv2d(shallow, deep, 2, stride=2) for shallow, deep in pairs)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(deep, 4 * shallow, 1, bias=False), nn.PixelShuffle(2))
            for shallow, deep in pairs
        )
        self.decoders = nn.ModuleList(blocks(level, width) for level, width in enumerate(self.widths[:-1]))
        self.ending = nn.Conv2d(self.widths[0], out_channels, 3, padding=1)

    @property
    def receptive_radius(self) -> int:
        """Receptive-field radius, in pixels: of a convolution per block, and the first and the last."""
        counts = [block_count(level) for level in range(self.depth + 1)]
        return receptive_radius(1, counts[:-1], counts[-1], counts[:-1])

    def body(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W); H and W are multiples of `grid`."""
        x = self.intro(x.contiguous(memory_format=torch.channels_last))  # the layout that suits LayerNorm2d
        skips = []
        for encoder, down in zip(self.encoders, self.downs):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.encoders[-1](x)
        for decoder, up, skip in zip(reversed(self.decoders), reversed(self.ups), reversed(skips)):
            x = decoder(up(x) + skip)
        return in_full_precision(self.ending, x)
