"""The classical method of Brooks et al. 2019."""

import numpy as np
import pytest
from conftest import random_rgb

from omf.inference.unprocess import Unprocess, invert_gains
from omf.raw.camera import load_camera

S7 = load_camera("samsung_s7")


def test_inverse_gains_match_the_publication():
    gains = np.array([2.0, 1.25, 1.6])
    dark, white = np.full((1, 1, 3), 0.4, np.float32), np.ones((1, 1, 3), np.float32)
    np.testing.assert_allclose(invert_gains(dark, gains)[0, 0], 0.4 / gains, rtol=1e-6)
    np.testing.assert_allclose(invert_gains(white, gains)[0, 0], 1, rtol=1e-6)
    between = np.full((1, 1, 3), 0.95, np.float32)  # halfway to white: a fade of 1/4
    np.testing.assert_allclose(invert_gains(between, gains)[0, 0], 0.95 * (0.25 + 0.75 / gains), rtol=1e-4)


def test_gains_have_the_published_distribution():
    grey = [np.full((8, 8, 3), level, np.uint8) for level in range(60, 200)]
    raws = np.array([Unprocess(S7)(rgb, str(number))[0, 0] for number, rgb in enumerate(grey)])
    red, blue = raws[:, 1] / raws[:, 0], raws[:, 1] / raws[:, 2]
    # the rows of the matrices sum to 1 within a thousandth
    assert 1.89 < red.min() < 1.95 < 2.35 < red.max() < 2.41
    assert 1.49 < blue.min() < 1.55 < 1.85 < blue.max() < 1.91


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_gains_depend_on_the_name_only(dtype):
    """The last bits of a pixel, which depend on the decoder, change the result as little."""
    rgb = random_rgb(20, 30, dtype=dtype)
    raw = Unprocess(S7)(rgb, "a")
    assert raw.shape == rgb.shape and raw.dtype == np.float32
    assert raw.min() >= 0 and raw.max() <= 1
    assert (raw == Unprocess(S7)(rgb.copy(), "a")).all()
    assert np.abs(raw - Unprocess(S7)(rgb, "b")).max() > 0.01
    # midtones, for which the inverse curves are not steep
    middle = np.clip(rgb, np.iinfo(dtype).max // 4, np.iinfo(dtype).max // 4 * 3)
    assert np.abs(Unprocess(S7)(middle, "a") - Unprocess(S7)(middle ^ 1, "a")).max() < 4 / np.iinfo(dtype).max
