"""White balance and exposure estimated from a photo: exact where the RAW is a power of the photo."""

import numpy as np
import pytest

from omf.raw.camera import load_camera
from omf.raw.isp import decode_srgb
from omf.raw.white_balance import (
    CONTRAST_POWERS,
    DIM_PHOTO,
    MAX_NEUTRAL_FACTOR,
    MAX_STOPS,
    PRIOR_WEIGHT,
    contrast_power,
    estimate_exposure,
    estimate_neutral,
    tell_tones,
    weighted_median,
)

S7 = load_camera("samsung_s7")
LIGHT = np.array([0.5, 1.0, 0.7])
GREYS = np.linspace(60, 220, 24).round()


def enlarged(cells: np.ndarray) -> np.ndarray:
    """Make pixels of Bayer cells: (h, w, ...) -> (2 h, 2 w, ...)."""
    return cells.repeat(2, axis=0).repeat(2, axis=1)


def grey_photo() -> np.ndarray:
    """Return 24 x 24 cells of grey in 24 levels, as pixels."""
    return enlarged(np.repeat(np.tile(GREYS, (24, 1))[..., None], 3, axis=-1).astype(np.uint8))


def raw_of(
    photo: np.ndarray, light: np.ndarray = LIGHT, power: float = 1.0, stops: float = 0.0
) -> np.ndarray:
    linear = decode_srgb(photo / np.float32(255)) ** power
    return (linear @ S7.mean_colour_matrix.T * light / 2**stops).astype(np.float32)


def weighted(light: np.ndarray, share: float) -> np.ndarray:
    """Average a light with the camera's mean, which weighs as much as 1 % of grey pixels, in logarithms."""
    weight = share / (share + PRIOR_WEIGHT)
    return np.exp(weight * np.log(light) + (1 - weight) * np.log(S7.mean_neutral))


@pytest.mark.parametrize("power", [0.6, 1.0, 1.4])
def test_the_light_of_grey_pixels_is_exact_whatever_the_contrast(power):
    photo = grey_photo()
    neutral = estimate_neutral(raw_of(photo, power=power), photo, S7)
    assert neutral == pytest.approx(weighted(LIGHT, 1.0), rel=1e-4)


def test_pixels_count_by_their_greyness():
    """A third is grey, a third of a colour in another light, and a third is black or white."""
    photo = grey_photo()
    colour = np.array([200, 60, 90])
    photo[16:32], photo[32:40], photo[40:] = colour, 0, 252
    raw = raw_of(photo)
    raw[16:32] *= [1.5, 1.0, 0.6]
    linear = decode_srgb(colour / np.float32(255))
    share = (1 + linear.min() / linear.max()) / 3
    assert estimate_neutral(raw, photo, S7) == pytest.approx(weighted(LIGHT, share), rel=0.01)


def test_the_light_stays_near_the_known_ones():
    photo = grey_photo()
    low, high = S7.neutrals.min(axis=0) / MAX_NEUTRAL_FACTOR, S7.neutrals.max(axis=0) * MAX_NEUTRAL_FACTOR
    found = estimate_neutral(raw_of(photo, np.array([0.01, 1, 100])), photo, S7)
    assert found == pytest.approx([low[0], 1, high[1]])
    found = estimate_neutral(raw_of(photo, np.array([100, 1, 0.01])), photo, S7)
    assert found == pytest.approx([high[0], 1, low[1]])


@pytest.mark.parametrize("value", [0, 252])
def test_photos_that_show_nothing_have_the_camera_s_mean_light(value):
    photo = np.full((48, 48, 3), value, np.uint8)
    raw = np.full((48, 48, 3), 0.3, np.float32)
    assert estimate_neutral(raw, photo, S7) == pytest.approx(S7.mean_neutral)
    assert estimate_exposure(raw, photo, LIGHT, S7) == 0


@pytest.mark.parametrize("stops", [-2.0, 0.0, 1.5])
def test_the_exposure_is_the_median_of_the_tones(stops):
    photo = grey_photo()
    raw = raw_of(photo, stops=stops)
    raw[:20] = 0.9  # fewer than half
    assert estimate_exposure(raw, photo, LIGHT, S7) == pytest.approx(stops, abs=1e-3)
    assert estimate_exposure(raw_of(photo, stops=stops), photo, 2 * LIGHT, S7) == pytest.approx(stops + 1)
    for far, limit in ((-9, -MAX_STOPS), (9, MAX_STOPS)):
        assert estimate_exposure(raw_of(photo, stops=far), photo, LIGHT, S7) == limit


def test_dark_and_bright_cells_tell_nothing():
    values = np.array([[[249, 10, 10], [250, 10, 10], [0, 0, 39], [0, 0, 38]]], np.uint8)
    assert decode_srgb(np.array([38, 39]) / 255).round(4).tolist() == pytest.approx([0.0194, 0.0203])
    assert 0.0194 < DIM_PHOTO < 0.0203
    raw = np.random.default_rng(0).uniform(size=(1, 4, 3)).astype(np.float32)
    told, linear, usable = tell_tones(enlarged(raw), enlarged(values))
    assert usable.tolist() == [True, False, True, False]
    np.testing.assert_allclose(told, raw[0, usable], rtol=1e-6)
    np.testing.assert_allclose(linear, decode_srgb(values[0, usable] / np.float32(255)), rtol=1e-5)
    assert tell_tones(enlarged(raw), enlarged(values), 3)[2].tolist() == [True, False]


def test_the_power_of_contrast():
    rng = np.random.default_rng(1)
    linear, weights = rng.uniform(0.03, 0.9, 500), rng.uniform(0.1, 1, 500)
    for power in (0.5, 1.0, 1.3):
        assert contrast_power(linear, 0.3 * linear**power, weights) == pytest.approx(power)
    assert contrast_power(linear, linear**3, weights) == CONTRAST_POWERS[1]
    assert contrast_power(linear, 0.1 / linear, weights) == CONTRAST_POWERS[0]
    mixed = np.append(linear**1.3, rng.uniform(size=500))
    weights = np.append(weights, np.zeros(500))
    assert contrast_power(np.append(linear, linear), mixed, weights) == pytest.approx(1.3)
    # by least squares, which weights change
    x, y, weights = np.log(linear), np.log(mixed[500:]), rng.uniform(size=500)
    slope = np.polyfit(x, y, 1, w=np.sqrt(weights))[0]
    assert contrast_power(linear, mixed[500:], weights) == pytest.approx(np.clip(slope, *CONTRAST_POWERS))
    assert contrast_power(linear, linear**1.3, 0 * linear) == 1
    assert contrast_power(0 * linear + 0.5, linear, weights) == 1


def test_the_weighted_median_splits_the_weight():
    values = np.array([5.0, 1.0, 3.0, 2.0])
    assert weighted_median(values, np.ones(4)) == 2
    assert weighted_median(values, np.array([9.0, 1, 1, 1])) == 5
    assert weighted_median(values, np.array([1.0, 1, 1, 4])) == 2
    assert weighted_median(values, np.array([0.0, 2, 3, 1])) == 2
    assert weighted_median(values, np.array([0.0, 2, 4, 1])) == 3
