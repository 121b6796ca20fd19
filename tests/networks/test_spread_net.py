"""The spread of the base network's answer."""

import math

import torch

from omf.networks.global_net import FEATURES
from omf.networks.spread_net import SpreadNet, spread_loss, true_errors


def random_spread(seed: int, count: int = 6):
    torch.manual_seed(seed)
    return SpreadNet().double()(torch.rand(count, FEATURES, dtype=torch.float64))


def test_the_loss_is_the_negative_log_likelihood():
    spread = random_spread(0)
    errors = torch.randn(6, 3, dtype=torch.float64)
    normal = torch.distributions.MultivariateNormal(torch.zeros(3).double(), scale_tril=spread.factor)
    expected = -normal.log_prob(errors).mean() - 1.5 * math.log(2 * math.pi)
    torch.testing.assert_close(spread_loss(spread, errors, spread.log_error), expected)
    torch.testing.assert_close(spread_loss(spread, errors, spread.log_error + 2), expected + 4)


def test_the_errors_are_the_factors_that_were_applied():
    truth = torch.rand(2, 3, 8, 8) * 0.5
    factors = torch.tensor([[0.8, 1.25, 1.0], [1.5, 1.0, 0.7]])  # true over predicted R, G, B
    errors, log_error = true_errors(truth / factors[:, :, None, None], truth)
    red, green, blue = factors.log().unbind(1)
    torch.testing.assert_close(errors, torch.stack((green, red - green, blue - green), 1))
    expected = ((truth / factors[:, :, None, None] - truth) ** 2).mean((1, 2, 3)).sqrt().log()
    torch.testing.assert_close(log_error, expected)
    black = torch.zeros(1, 3, 4, 4)
    assert all(part.isfinite().all() for part in true_errors(black, black))
