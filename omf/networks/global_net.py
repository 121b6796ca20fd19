"""The base network, and the global part of an inverse ISP that it predicts for a whole image."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from omf.raw.overexposure import LUMA_THOUSANDTHS, THRESHOLD

THUMBNAIL_SIZE = 64  # pixels a side
CHANNELS = (32, 64, 96, 128)  # of the convolutions, each of which halves the thumbnail
FEATURES = 256  # of the hidden layers
DROPOUT = 0.3  # of the hidden features; without it, training goes on to learn peculiarities of the simulator
SEGMENTS = 16  # of the tone curve
QUANTILES = (0.001, 0.01, 0.03, 0.06, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.94, 0.97, 0.99, 0.999)
# A typical camera: RAW of the primaries of linear sRGB, in average light
TYPICAL_MATRIX = ((0.29, 0.13, 0.02), (0.10, 0.66, 0.09), (0.03, 0.14, 0.29))
BASE_CHANNELS = 7  # of the input of OE and NOE: R, G, B, overexposure mask and base RAW
MATRIX_SCALE, OFFSET_SCALE = 0.3, 0.1  # of the network's outputs, which are about 1
MAX_CORRECTION = 4  # factor by which the mean ISP may change an exposure; black photos have none


class GlobalTransform(NamedTuple):
    """Tone curve, then matrix and offset: sRGB to camera RGB, for a batch of images."""

    curve: Tensor  # (N, SEGMENTS + 1): linear values at equally spaced sRGB values from 0 to 1, rising from 0
    matrix: Tensor  # (N, 3, 3)
    offset: Tensor  # (N, 3)

    def apply(self, rgb: Tensor) -> Tensor:
        """Convert sRGB in [0, 1] to camera RGB, linear, white level at 1, not clipped; both (N, 3, H, W)."""
        linear = self.linear(rgb.flatten(1)).view(len(rgb), 3, -1)
        raw = torch.baddbmm(self.offset[:, :, None], self.matrix, linear)
        return raw.view_as(rgb)

    def linear(self, srgb: Tensor) -> Tensor:
        """Apply the tone curve to sRGB in [0, 1], (N, M)."""
        position = srgb.clamp(0, 1) * SEGMENTS
        segment = position.detach().floor().clamp(max=SEGMENTS - 1).long()
        return torch.lerp(
            self.curve.gather(1, segment), self.curve.gather(1, segment + 1), position - segment
        )

    def of_integers(self, dtype: torch.dtype) -> "IntegerTransform":
        """Return the transform, of a batch of one, for photos of a dtype: uint8 or uint16."""
        max_value = torch.iinfo(dtype).max
        srgb = torch.arange(max_value + 1, dtype=torch.float32, device=self.curve.device) / max_value
        return IntegerTransform(self.linear(srgb[None])[0], self.matrix[0], self.offset[0])

    def white(self) -> Tensor:
        """Return the RAW of white, (N, 3)."""
        return self.matrix.sum(2) * self.curve[:, -1:] + self.offset

    def scaled(self, factors: Tensor) -> "GlobalTransform":
        """Return the transform whose RAW is multiplied by factors of the channels, (N, 3)."""
        return GlobalTransform(self.curve, factors[:, :, None] * self.matrix, factors * self.offset)


class IntegerTransform(NamedTuple):
    """A `GlobalTransform` of integer photos, whose tone curve is computed once for each value."""

    table: Tensor  # linear value of each sRGB value
    matrix: Tensor  # (3, 3)
    offset: Tensor  # (3,)

    def apply(self, rgb: Tensor) -> Tensor:
        """Return camera RGB, (3, H, W), linear, white level at 1, not clipped, of a photo, (H, W, 3)."""
        values = rgb.permute(2, 0, 1).contiguous().int()
        linear = self.table.index_select(0, values.flatten()).view(3, -1)
        return torch.addmm(self.offset[:, None], self.matrix, linear).view(values.shape)


def refine(network: Callable[[Tensor], Tensor] | None, x: Tensor) -> Tensor:
    """Run OE or NOE, whose output is added to the base RAW if there is one; None: the base RAW is the result.

    `x`, (N, 4, H, W), or with base RAW (N, BASE_CHANNELS, H, W), becomes demosaiced RAW, (N, 3, H, W), not
    clipped.
    """
    base = x[:, 4:]
    if network is None:
        return base
    return network(x) + base if base.shape[1] else network(x)


class GlobalNet(nn.Module):
    """Predicts the transform of an image from a thumbnail and the quantiles of all its pixels.

    An image has one white balance and one tone curve, which a network of local receptive field can't
    determine, and an exposure, which it does not show: see `hold_exposure`.
    """

    def __init__(self):
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((4, *CHANNELS), CHANNELS):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        inputs = 2 * CHANNELS[-1] + 3 * len(QUANTILES) + 1
        self.head = nn.Sequential(
            nn.Linear(inputs, FEATURES),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(FEATURES, FEATURES),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(FEATURES, SEGMENTS + 1 + 9 + 3),
        )
        # the initial transform is the inverse sRGB curve and the typical matrix
        if not self.head[-1].weight.is_meta:  # where this loads PyTorch's compiler, which takes a second
            nn.init.normal_(self.head[-1].weight, std=1e-3)
        nn.init.zeros_(self.head[-1].bias)
        constant = {"dtype": torch.float32, "device": "cpu"}  # whatever the defaults of the process
        srgb = torch.linspace(0, 1, SEGMENTS + 1, **constant)
        linear = torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
        self.register_buffer("log_steps", torch.diff(linear).log(), persistent=False)
        self.register_buffer("typical_matrix", torch.tensor(TYPICAL_MATRIX, **constant), persistent=False)
        self.hold_exposure(None, None)

    def hold_exposure(self, mean_curve: Tensor | None, mean_matrix: Tensor | None) -> None:
        """Give all answers the exposure of a camera's mean ISP, or None: the one that the network predicts.

        The transform is multiplied by the factor that brings its RAW of the thumbnail nearest to that of the
        mean ISP. A network that was trained on simulated pairs predicts exposures from signs that only the
        simulator gives.

        Args:
            mean_curve: inverse tone curve of the mean ISP, as in `GlobalTransform`, (SEGMENTS + 1,).
            mean_matrix: its matrix from linear sRGB to RAW, (3, 3).
        """
        self.register_buffer("mean_curve", mean_curve)
        self.register_buffer("mean_matrix", mean_matrix)

    def forward(self, thumbnail: Tensor, quantiles: Tensor) -> GlobalTransform:
        """Predict the transform of each image.

        Args:
            thumbnail: R, G, B and overexposure mask in [0, 1], (N, 4, THUMBNAIL_SIZE, THUMBNAIL_SIZE).
            quantiles: (N, 3, len(QUANTILES)); see `summarise_photo` for both.
        """
        return self.transform_of(self.features_of(thumbnail, quantiles), thumbnail)

    def features_of(self, thumbnail: Tensor, quantiles: Tensor) -> Tensor:
        """Return the hidden features, (N, FEATURES), from which `transform_of` computes the transform."""
        features, share = self.features(thumbnail), thumbnail[:, 3].flatten(1).mean(1, keepdim=True)
        pooled = (features.mean((2, 3)), features.amax((2, 3)))
        return self.head[:-1](torch.cat((*pooled, quantiles.flatten(1), share), 1))

    def transform_of(self, features: Tensor, thumbnail: Tensor) -> GlobalTransform:
        """Return the transform of each image from its hidden features, and its thumbnail."""
        steps, scale, matrix, offset = self.head[-1](features).split((SEGMENTS, 1, 9, 3), 1)
        curve = functional.pad((self.log_steps + steps + scale).exp().cumsum(1), (1, 0))
        matrix = self.typical_matrix + MATRIX_SCALE * matrix.view(-1, 3, 3)
        transform = GlobalTransform(curve, matrix, OFFSET_SCALE * offset)
        if self.mean_curve is None:
            return transform
        return transform.scaled(self.correction(transform, thumbnail[:, :3])[:, None].expand(-1, 3))

    def correction(self, transform: GlobalTransform, rgb: Tensor) -> Tensor:
        """Return factors, (N,), that bring the RAW of sRGB (N, 3, H, W) nearest to that of the mean ISP."""
        parts = (self.mean_curve, self.mean_matrix, self.mean_curve.new_zeros(3))
        mean_isp = GlobalTransform(*(part.expand(len(rgb), *part.shape) for part in parts))
        raw, mean = (each.apply(rgb).clamp(0, 1) for each in (transform, mean_isp))
        products, squares = ((raw * other).sum((1, 2, 3)) for other in (mean, raw))
        return (products / squares.clamp(min=1e-9)).clamp(1 / MAX_CORRECTION, MAX_CORRECTION)


def summarise_photo(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Return the input of the base network for a photo of any size.

    Args:
        rgb: sRGB, uint8 or uint16 (H, W, 3).

    Returns:
        thumbnail: averages over the areas of its pixels, and their overexposure mask, float32 in [0, 1],
            (4, THUMBNAIL_SIZE, THUMBNAIL_SIZE).
        quantiles: `QUANTILES` of all pixels of each channel, float32 in [0, 1], (3, len(QUANTILES)).
    """
    max_value = torch.iinfo(rgb.dtype).max
    averages, quantiles = [], []
    for channel in rgb.unbind(-1):  # one at a time, for a third of the memory
        averages.append(functional.adaptive_avg_pool2d(channel[None].float(), THUMBNAIL_SIZE) / max_value)
        counts = torch.bincount(channel.flatten().int(), minlength=max_value + 1).cumsum(0)
        ranks = torch.tensor(QUANTILES, dtype=torch.float64, device=counts.device) * channel.numel()
        quantiles.append(torch.searchsorted(counts, ranks.ceil().long()).float() / max_value)
    small = torch.cat(averages)
    luma = torch.tensordot(small.new_tensor(LUMA_THOUSANDTHS), small, dims=1)
    return torch.cat((small, (luma >= THRESHOLD).float()[None])), torch.stack(quantiles)
