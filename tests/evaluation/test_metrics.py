import json

import numpy as np
import pytest
from conftest import REFERENCE
from make_scores_cases import cases
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import gaussian_filter

from omf.evaluation.metrics import colour_error, highlight_error, ms_ssim, psnr, ssim
from omf.evaluation.scores import challenge_scores

EXPECTED = json.loads((REFERENCE / "scores.json").read_text())


@pytest.mark.parametrize("case", list(cases(REFERENCE / "expected_504.npy")), ids=lambda case: case[0])
def test_scores_agree_with_the_scorer_to_six_decimals(case):
    name, predicted, truth = case
    scores = challenge_scores(predicted, truth)
    assert {key: round(value, 6) for key, value in scores.items()} == EXPECTED[name]


def test_psnr_of_a_known_error():
    truth = np.full((8, 8, 4), 0.5)
    assert psnr(truth + 0.01, truth) == pytest.approx(40)
    assert psnr(truth, truth) == 999


def ms_ssim_by_definition(x: np.ndarray, y: np.ndarray) -> float:
    """Compute MS-SSIM over four scales by the formulas of Wang et al. 2003, with explicit windows."""
    taps = np.exp(-((np.arange(-6, 7) / 1.5) ** 2) / 2)
    window = np.outer(taps, taps) / taps.sum() ** 2
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363])

    def mean(values: np.ndarray) -> np.ndarray:
        padded = np.pad(values, ((6, 6), (6, 6), (0, 0)), mode="symmetric")
        return np.einsum("ijcab,ab->ijc", sliding_window_view(padded, (13, 13), (0, 1)), window)

    product = 1.0
    for scale, weight in enumerate(weights / weights.sum()):
        if scale:
            x, y = (image.reshape(len(image) // 2, 2, -1, 2, 4).mean((1, 3)) for image in (x, y))
        mean_x, mean_y = mean(x), mean(y)
        variances = mean((x - y) ** 2) - (mean_x - mean_y) ** 2 + 2 * (mean(x * y) - mean_x * mean_y)
        term = (2 * (mean(x * y) - mean_x * mean_y) + 0.0009) / (variances + 0.0009)
        if scale == 3:
            term *= (2 * mean_x * mean_y + 0.0001) / (mean_x**2 + mean_y**2 + 0.0001)
        product *= term[5:-5, 5:-5].mean() ** weight
    return product


def test_ms_ssim_falls_with_the_error_and_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    truth = gaussian_filter(rng.uniform(size=(96, 112, 4)), (3, 3, 0)) * 4 - 1.5
    noise = rng.normal(size=truth.shape)
    values = [ms_ssim(truth + amount * noise, truth) for amount in (0, 0.05, 0.2)]
    assert values[0] == pytest.approx(1) and values[0] > values[1] > values[2] > 0
    assert values[1] == pytest.approx(ms_ssim_by_definition(truth + 0.05 * noise, truth), rel=1e-9)


@pytest.mark.parametrize("size", [1, 3, 7, 11, 23, 60])
def test_small_images_are_scored(size):
    truth = np.random.default_rng(0).uniform(size=(size, size + 4, 4))
    assert ssim(truth, truth) == pytest.approx(1) and 0 < ssim(0.5 * truth, truth) < 1
    assert ms_ssim(truth, truth) == pytest.approx(1) and 0 <= ms_ssim(1 - truth, truth) < 0.9


def test_colour_error_is_an_angle_independent_of_brightness():
    truth = np.full((4, 4, 4), 0.2)
    assert colour_error(2 * truth, truth) == pytest.approx(0, abs=1e-5)
    red = truth * (1, 0, 0, 0)
    assert colour_error(red, truth) == pytest.approx(np.degrees(np.arccos(1 / np.sqrt(3))))
    assert colour_error(0 * truth, truth) == colour_error(truth, 0 * truth) == 90
    assert colour_error(0 * truth, 0 * truth) == 0


def test_highlight_error_counts_only_bright_ground_truth():
    truth = np.array([0.1, 0.85, 0.95, 0.2]).reshape(1, 1, 4)
    assert highlight_error(truth - (0.1, 0.2, 0.4, 0), truth) == pytest.approx(0.3)
    assert highlight_error(truth, truth / 2) is None
