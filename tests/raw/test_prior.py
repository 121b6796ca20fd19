"""The priors of the shipped cameras: real references must be ordinary photos among the simulated ones."""

from dataclasses import replace

import numpy as np
import pytest

from omf.raw.camera import load_camera
from omf.raw.isp import decode_srgb
from omf.raw.simulator import LINEAR_LEVELS, render_uniform, sample_settings

DRAWS = 2000
LEVELS = np.array([0.04, 0.08, 0.14, 0.2, 0.32, 0.44, 0.56, 0.68, 0.8, 0.92])  # of the photo, sRGB
_ = np.nan
# RAW green over linear sRGB green of the nearly grey pixels of real photos at these levels, as
# benchmarks/prior.py measures it
TONE_RATIOS = {
    "samsung_s7": {
        "train_65_18": [_, _, _, _, _, _, 0.87, _, _, _],
        "train_baselineA": [5.88, _, _, _, _, _, _, 0.83, 0.87, 0.95],
        "train_baselineB": [5.05, 3.98, _, _, _, _, 0.61, 0.86, 0.93, 0.96],
        "slide_scene1": [_, _, _, _, _, 0.99, 0.70, 0.63, 0.64, 0.60],
        "published": [1.07, 0.89, 0.78, 0.71, 0.72, 0.75, 0.76, 0.84, 0.92, 0.99],
    },
    "huawei_p20": {
        "train_126_34": [_, _, 0.98, 0.70, 0.47, 0.38, _, _, _, _],
        "slide_scene6": [_, _, 2.24, 1.63, 0.88, 0.70, 0.55, 0.47, 0.49, 0.52],
        "street": [_, 1.16, 0.77, 0.52, 0.38, 0.31, 0.30, 0.39, 0.54, 0.48],
    },
    "generic_phone": {
        "bollard": [_, _, 1.95, 1.70, 1.28, 0.91, 0.77, 0.71, 0.70, 0.65],
        "bark": [_, _, _, _, 0.35, 0.41, 0.38, 0.37, 0.30, 0.83],
    },
}
STRETCHED = {  # of the S7, known up to a factor
    "stairs": [3.23, 3.97, 3.49, 2.97, 2.11, 1.65, _, _, _, 1.15],
    "books": [10.73, 7.91, 5.72, 4.32, 3.04, 2.21, 1.87, 1.65, 1.43, 1.31],
}


def simulated_ratios(name: str) -> np.ndarray:
    """Return the tone ratios of draws of a camera's prior, (DRAWS, len(LEVELS))."""
    camera = replace(load_camera(name), extra_curves=np.array([1.0, 0.0, 0.0]))
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(DRAWS):
        settings = sample_settings(camera, rng)
        shown = render_uniform(LINEAR_LEVELS, settings)
        linear = np.interp(LEVELS, shown, LINEAR_LEVELS, left=np.nan, right=np.nan)
        rows.append(linear / settings.gain / decode_srgb(LEVELS))
    return np.array(rows)


def median_rank(simulated: np.ndarray, ratios: np.ndarray, is_stretched: bool) -> float:
    """Return the median over the levels of the share of draws with a smaller ratio.

    Those of a stretched reference are relative to the geometric mean of its levels.
    """
    known = np.isfinite(ratios)
    simulated, ratios = np.log(simulated[:, known]), np.log(ratios[known])
    if is_stretched:
        simulated, ratios = simulated - simulated.mean(axis=1, keepdims=True), ratios - ratios.mean()
    return float(
        np.median([(row[np.isfinite(row)] < ratio).mean() for row, ratio in zip(simulated.T, ratios)])
    )


@pytest.mark.parametrize("name", TONE_RATIOS)
def test_references_are_ordinary_photos_of_the_prior(name):
    """Each lies between 10 and 90 % of the draws, and on average they lie in the middle."""
    simulated = simulated_ratios(name)
    references = TONE_RATIOS[name] | (STRETCHED if name == "samsung_s7" else {})
    ranks = {key: median_rank(simulated, np.array(row), key in STRETCHED) for key, row in references.items()}
    assert all(0.1 <= rank <= 0.9 for rank in ranks.values()), ranks
    assert 0.35 <= np.mean(list(ranks.values())) <= 0.65, ranks
