import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from omf.raw.overexposure import overexposure_mask


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_mask_matches_the_published_formula(pixel):
    red, green, blue = pixel
    luma = 0.299 * red / 255 + 0.587 * green / 255 + 0.114 * blue / 255
    if abs(luma - 0.978) > 1e-9:  # floating point cannot resolve a tie
        assert overexposure_mask(np.array([[pixel]], np.uint8))[0, 0] == (luma >= 0.978)


def test_grey_levels_around_the_threshold():
    grey = np.repeat(np.array([[0, 249], [250, 255]], np.uint8)[..., None], 3, axis=-1)
    assert overexposure_mask(grey).tolist() == [[False, False], [True, True]]


def test_16_bit_agrees_with_8_bit():
    rgb = np.random.default_rng(0).integers(230, 256, (64, 64, 3)).astype(np.uint8)
    assert (overexposure_mask(rgb) == overexposure_mask(rgb.astype(np.uint16) * 257)).all()


def test_smallest_blue_that_reaches_the_threshold():
    blue = -(-(978 * 65535 - (299 + 587) * 65535) // 114)
    pixels = np.array([[[65535, 65535, blue], [65535, 65535, blue - 1]]], np.uint16)
    assert overexposure_mask(pixels).tolist() == [[True, False]]


def test_a_luma_at_the_threshold_is_overexposed():
    """299 * 237 + 587 * 255 + 114 * 253 is 978 * 255, the only tie of 8 bits."""
    assert overexposure_mask(np.array([[[237, 255, 253]]], np.uint8)).all()
