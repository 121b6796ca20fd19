import json

import numpy as np
import pytest
from conftest import REFERENCE
from make_scores_cases import cases
from scipy.ndimage import gaussian_filter

from omf.evaluation.metrics import MS_SSIM_WEIGHTS, colour_error, highlight_error, ms_ssim, psnr, ssim
from omf.evaluation.scores import challenge_scores

EXPECTED = json.loads((REFERENCE / "scores.json").read_text())


@pytest.mark.parametrize("case", list(cases(REFERENCE / "expected_504.npy")), ids=lambda case: case[0])
def test_scores_agree_with_the_scorer_to_six_decimals(case):
    name, predicted, truth = case
    assert {key: round(value, 6) for key, value in challenge_scores(predicted, truth).items()} == EXPECTED[
        name
    ]


def test_psnr_of_a_known_error():
    truth = np.full((8, 8, 4), 0.5)
    assert psnr(truth + 0.01, truth) == pytest.approx(40)
    assert psnr(truth, truth) == 999


def test_small_planes_are_scored():
    truth = np.random.default_rng(0).uniform(size=(3, 7, 4))
    assert ssim(truth, truth) == pytest.approx(1)
    assert 0 < ssim(0.5 * truth, truth) < 1


def test_ms_ssim_falls_with_the_error_and_agrees_with_a_library():
    import torch
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    rng = np.random.default_rng(0)
    truth = gaussian_filter(rng.uniform(size=(252, 252, 4)), (3, 3, 0)) * 4 - 1.5
    noise = rng.normal(size=truth.shape)
    values = [ms_ssim(truth + amount * noise, truth) for amount in (0, 0.05, 0.2)]
    assert values[0] == pytest.approx(1)
    assert values[0] > values[1] > values[2] > 0
    tensors = (torch.from_numpy(np.moveaxis(image, -1, 0)[None]) for image in (truth + 0.05 * noise, truth))
    # the fifth scale has 15 pixels here, which the library rejects
    weights = tuple(weight / sum(MS_SSIM_WEIGHTS[:4]) for weight in MS_SSIM_WEIGHTS[:4])
    assert values[1] == pytest.approx(
        float(multiscale_structural_similarity_index_measure(*tensors, data_range=1.0, betas=weights)),
        abs=0.02,
    )


@pytest.mark.parametrize("size", [1, 7, 11, 23, 60])
def test_ms_ssim_of_small_images(size):
    truth = np.random.default_rng(0).uniform(size=(size, size + 3, 4))
    assert ms_ssim(truth, truth) == pytest.approx(1)
    assert 0 <= ms_ssim(1 - truth, truth) < 0.9


def test_colour_error_is_an_angle_independent_of_brightness():
    truth = np.full((4, 4, 4), 0.2)
    assert colour_error(2 * truth, truth) == pytest.approx(0, abs=1e-5)
    red = truth * (1, 0, 0, 0)
    assert colour_error(red, truth) == pytest.approx(np.degrees(np.arccos(1 / np.sqrt(3))))
    assert colour_error(0 * truth, truth) == 90
    assert colour_error(0 * truth, 0 * truth) == 0


def test_highlight_error_counts_only_bright_ground_truth():
    truth = np.array([0.1, 0.85, 0.95, 0.2]).reshape(1, 1, 4)
    assert highlight_error(truth - (0.1, 0.2, 0.4, 0), truth) == pytest.approx(0.3)
    assert highlight_error(truth, truth / 2) is None
