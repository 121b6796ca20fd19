import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from omf.raw import isp

UNIT = arrays(np.float32, (4, 5, 3), elements=st.floats(0, 1, width=32))


@given(UNIT)
def test_curves_round_trip(values):
    np.testing.assert_allclose(isp.decode_srgb(isp.encode_srgb(values)), values, atol=1e-6)
    # the inverse is steepest at the ends, where rounding errors grow
    np.testing.assert_allclose(isp.smoothstep(isp.inverse_smoothstep(values)), values, atol=1e-6)


@given(UNIT, st.floats(0.5, 1.5))
def test_saturation_preserves_luma_and_is_invertible(values, amount):
    changed = isp.saturate(values, amount)
    np.testing.assert_allclose(changed @ isp.LUMA, values @ isp.LUMA, atol=1e-5)
    np.testing.assert_allclose(isp.saturate(changed, 1 / amount), values, atol=1e-5)


@given(UNIT, st.floats(0.3, 0.9), st.floats(0.3, 0.9), st.floats(1, 2))
def test_white_balance_and_colour_matrix_round_trip(values, red, blue, gain):
    neutral, matrix = np.array([red, 1, blue]), np.array([[0.6, 0.4, 0.0], [0.1, 0.8, 0.1], [0.0, 0.4, 0.6]])
    np.testing.assert_allclose(
        isp.invert_white_balance(isp.white_balance(values, neutral, gain), neutral, gain), values, atol=1e-6
    )
    np.testing.assert_allclose(
        isp.srgb_to_camera(isp.camera_to_srgb(values, matrix), matrix), values, atol=1e-5
    )
    np.testing.assert_allclose(isp.white_balance(neutral.astype(np.float32), neutral, gain), gain, rtol=1e-6)


@given(
    st.integers(0, 300),
    st.integers(900, 16383),
    arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)),
)
def test_sensor_counts_round_trip_within_half_a_count(black, white, values):
    counts = isp.to_sensor_counts(values, black, white)
    assert counts.dtype == np.uint16
    np.testing.assert_allclose(isp.linearise(counts, black, white), values, atol=0.5001 / (white - black))


def test_counts_and_codes_are_clipped_at_black_and_white():
    counts = isp.to_sensor_counts(np.array([[1.0, 1.5, -0.2]], np.float32), 64, 1023)
    assert counts.tolist() == [[1023, 1023, 0]]
    assert isp.linearise(counts, 64, 1023).tolist() == [[1, 1, 0]]
    assert isp.to_8_bit(np.array([-1, 0, 0.5 / 255 + 1e-4, 1, 2], np.float32)).tolist() == [0, 0, 1, 255, 255]


@pytest.mark.parametrize("level", [0.0, 0.1, 0.6])
def test_noise_has_the_requested_variance(level):
    shot, read = 4e-3, 2e-4
    noisy = isp.add_noise(np.full((400, 400), level, np.float32), shot, read, np.random.default_rng(0))
    assert noisy.dtype == np.float32
    # relative standard error of a variance of n values: sqrt(2 / n), 0.35 % here
    assert noisy.var() == pytest.approx(shot * level + read, rel=0.015)
    assert noisy.mean() == pytest.approx(level, abs=4 * np.sqrt((shot * level + read) / noisy.size))


def test_shading_is_quadratic_in_the_distance():
    shaded = isp.shade(np.ones((101, 101, 3), np.float32), 0.2, (50.0, 50.0), 50.0)
    assert shaded[50, 50, 0] == 1 and shaded[[50, 50], [100, 75], [1, 2]] == pytest.approx([0.8, 0.95])


def test_local_contrast_brightens_the_dark_side_and_keeps_black_and_white():
    image = np.full((60, 120, 3), 0.02, np.float32)
    image[:, 60:] = 0.8
    image[0, 0], image[0, -1] = 0, 1
    mapped = isp.map_tones_locally(image, 0.3)
    assert mapped[30, 10, 0] > 1.3 * image[30, 10, 0] and mapped[30, 110, 0] < image[30, 110, 0]
    assert mapped[0, 0, 0] == 0 and mapped[0, -1, 0] == pytest.approx(1)
    np.testing.assert_allclose(isp.map_tones_locally(image, 0.0), image, atol=1e-6)


def test_sharpening_keeps_flat_areas_and_steepens_edges():
    edge = np.full((20, 20, 3), 0.3, np.float32)
    edge[:, 10:] = 0.6
    sharp = isp.sharpen(edge, 1.0)
    np.testing.assert_allclose(sharp[:, :4], 0.3, atol=1e-6)
    assert sharp[5, 9, 0] < 0.3 and sharp[5, 10, 0] > 0.6


def test_jpeg_error_grows_with_lower_quality_and_subsampling():
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    errors = [
        np.abs(isp.compress_jpeg(rgb, *setting).astype(int) - rgb).mean()
        for setting in ((98, 0), (85, 0), (85, 2))
    ]
    assert 0 < errors[0] < errors[1] < errors[2]


def test_srgb_curve_has_the_values_of_its_standard():
    """IEC 61966-2-1: 12.92 L up to 0.0031308, from there 1.055 L^(1/2.4) - 0.055."""
    linear = np.array([0.0, 0.001, 0.0031308, 0.0031309, 0.214041, 1.0])
    expected = [0.0, 0.01292, 0.04045, 0.04045, 0.5, 1.0]
    np.testing.assert_allclose(isp.encode_srgb(linear), expected, atol=2e-6)
    np.testing.assert_allclose(isp.decode_srgb(np.array(expected)), linear, atol=2e-6)


def test_shading_falls_with_the_square_of_the_distance():
    shaded = isp.shade(np.ones((5, 7, 3), np.float32), 0.4, (1.0, 4.0), 5.0)
    for row, column, distance in ((1, 4, 0), (4, 4, 3), (1, 0, 4), (4, 0, 5)):
        np.testing.assert_allclose(shaded[row, column], 1 - 0.4 * distance**2 / 25, rtol=1e-6)
