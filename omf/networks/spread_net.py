"""Expected errors of the base network: what a photo does not tell of exposure and white balance."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from omf.networks.global_net import FEATURES

WIDTH = 64  # of the hidden layer
TYPICAL = 0.2  # standard deviation that the initial network predicts
MIN_FACTOR, MIN_ERROR = 1e-3, 1e-4  # of `true_errors`, so that black pictures have logarithms


class Spread(NamedTuple):
    """Expected errors of the base network, for a batch of photos."""

    # (N, 3, 3): lower triangular factor L; the covariance of the log of true over predicted exposure, R/G and
    # B/G is L L^T, and their mean 0
    factor: Tensor
    log_error: Tensor  # (N,): expected natural logarithm of the RMS error of RAW, white level at 1


class SpreadNet(nn.Module):
    """Predicts the spread of a base network's answer from the hidden features that the answer comes from."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(FEATURES, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 7))

    def forward(self, features: Tensor) -> Spread:
        """Predict the spread; `features`: `GlobalNet.features_of`, (N, FEATURES)."""
        deviations, products, log_error = self.layers(features).split((3, 3, 1), 1)
        lower = torch.eye(3, dtype=features.dtype, device=features.device).repeat(len(features), 1, 1)
        rows, columns = torch.tril_indices(3, 3, -1)
        lower[:, rows, columns] = products
        return Spread(TYPICAL * deviations.exp()[:, :, None] * lower, log_error[:, 0])


def sample_factors(spread: Spread, normal: Tensor) -> Tensor:
    """Return factors of R, G and B, (N, 3), that make the base RAW a plausible one.

    Args:
        spread: spread of the base network's answers.
        normal: standard normal values, (N, 3).
    """
    exposure, red, blue = (spread.factor @ normal[:, :, None])[:, :, 0].unbind(1)
    return torch.stack((exposure + red, exposure, exposure + blue), 1).exp()


def true_errors(predicted: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return the errors of RAW that a `Spread` describes.

    Args:
        predicted: RAW, white level at 1, (N, 3, H, W).
        truth: true RAW, (N, 3, H, W).

    Returns:
        Logarithms of the factors of exposure (green), R/G and B/G that bring the predicted channels nearest
        to the true ones, (N, 3), and of the RMS error, (N,).
    """
    products, squares = ((predicted * other).sum((2, 3)) for other in (truth, predicted))
    red, green, blue = (products / squares.clamp(min=1e-9)).clamp(min=MIN_FACTOR).log().unbind(1)
    error = (predicted - truth).square().mean((1, 2, 3)).sqrt().clamp(min=MIN_ERROR).log()
    return torch.stack((green, red - green, blue - green), 1), error


def spread_loss(spread: Spread, errors: Tensor, log_error: Tensor) -> Tensor:
    """Return the mean negative log likelihood of errors, (N, 3), and the squared error of `log_error`, (N,).

    The likelihood is that of a normal distribution of mean 0, without its constant.
    """
    standard = torch.linalg.solve_triangular(spread.factor, errors[:, :, None], upper=False)
    volume = spread.factor.diagonal(dim1=1, dim2=2).log().sum(1)
    likelihood = volume + standard.square().sum((1, 2)) / 2
    return (likelihood + (spread.log_error - log_error).square()).mean()
