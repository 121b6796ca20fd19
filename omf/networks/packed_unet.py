"""U-Net at half resolution: each 2 x 2 cell of pixels becomes one pixel, as in packed RAW."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from omf.networks.base import PaddedNetwork
from omf.networks.unet import UNet


class PackedUNet(PaddedNetwork):
    """U-Net on the cells of a Bayer mosaic, with a quarter of the pixels and of the work.

    The first of `widths` is that at half resolution.
    """

    def __init__(self, widths: Sequence[int], in_channels: int = 4, out_channels: int = 3):
        super().__init__(widths, in_channels, out_channels)
        self.depth = len(self.widths)
        self.unet = UNet(widths, 4 * in_channels, 4 * out_channels)

    @property
    def bytes_per_pixel(self) -> int:
        """Approximate peak memory per pixel of `body`'s input, float32."""
        return self.unet.bytes_per_pixel // 4

    @property
    def receptive_radius(self) -> int:
        """Receptive-field radius, in pixels: of the U-Net in cells, and the other pixel of a cell."""
        return 2 * self.unet.receptive_radius + 1

    def body(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W); H and W are multiples of `grid`."""
        return functional.pixel_shuffle(self.unet.body(functional.pixel_unshuffle(x, 2)), 2)
