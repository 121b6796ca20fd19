import json

import numpy as np
import pytest
from conftest import REFERENCE
from make_scores_cases import cases

from omf.challenge import score
from omf.metrics import psnr, ssim

EXPECTED = json.loads((REFERENCE / "scores.json").read_text())


@pytest.mark.parametrize("case", list(cases(REFERENCE / "expected_504.npy")), ids=lambda case: case[0])
def test_the_scorers_numbers_to_six_decimals(case):
    name, predicted, truth = case
    assert {key: round(value, 6) for key, value in score(predicted, truth).items()} == EXPECTED[name]


def test_psnr_of_a_known_error():
    truth = np.full((8, 8, 4), 0.5)
    assert psnr(truth + 0.01, truth) == pytest.approx(40)
    assert psnr(truth, truth) == 999


def test_small_planes_are_scored_too():
    truth = np.random.default_rng(0).uniform(size=(3, 7, 4))
    assert ssim(truth, truth) == pytest.approx(1)
    assert 0 < ssim(0.5 * truth, truth) < 1
