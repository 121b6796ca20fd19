"""Profiles of photos: RAW developed with them shows the photo's tones."""

from dataclasses import replace

import numpy as np
import pytest

from omf.raw.bayer import demosaic
from omf.raw.camera import load_camera
from omf.raw.develop import SRGB_TO_PROPHOTO, ProfileTones, apply_profile_tones, develop
from omf.raw.global_fit import KNOTS
from omf.raw.isp import encode_srgb, srgb_to_camera
from omf.raw.photo_profile import fit_photo_profile, photo_colours
from omf.raw.scenes import SCENES
from omf.raw.simulator import linear_raw, sample_settings, simulate_pair
from omf.raw.white_balance import estimate_exposure, estimate_neutral

S7 = load_camera("samsung_s7")


def photo_and_raw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    settings = replace(sample_settings(S7, rng), extra_curve=0)
    scene = SCENES[seed % len(SCENES)](128, 128, rng).astype(np.float32)
    rgb, counts = simulate_pair(scene, settings, S7, rng)
    raw = np.clip(demosaic(linear_raw(counts, S7)), 0, 1)
    return rgb, raw[: rgb.shape[0], : rgb.shape[1]]


def error(picture: np.ndarray, rgb: np.ndarray) -> float:
    """Return the mean squared error of the means over 8 x 8 pixels: tones and colours, without noise."""
    difference = (picture - rgb / 255)[:120, :120]
    return float((difference.reshape(15, 8, 15, 8, 3).mean(axis=(1, 3)) ** 2).mean())


@pytest.mark.parametrize("seed", range(6))
def test_the_developed_raw_is_nearer_to_the_photo(seed):
    rgb, raw = photo_and_raw(seed)
    profile = fit_photo_profile(raw, rgb, S7)
    shown = develop(raw, profile.neutral, profile.colour_matrix, None, profile.tone_curve)
    plain = develop(raw, profile.neutral, profile.colour_matrix)
    assert error(shown, rgb) < 0.5 * error(plain, rgb)
    before, after = profile.tone_curve
    assert before[0] == after[0] == 0 and before[-1] == 1 and after[-1] <= 1 + 1e-9
    assert (np.diff(before) > 0).all() and (np.diff(after) >= 0).all()
    assert profile.colour_matrix.sum(axis=1) == pytest.approx(np.ones(3))


def linear_pair(light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return photo and RAW in a light, of which the photo is the sRGB curve alone."""
    rng = np.random.default_rng(5)
    linear = (rng.uniform(0.02, 0.75, (120, 120, 1)) * rng.uniform(0.5, 1, (120, 120, 3))).astype(np.float32)
    linear = linear.repeat(4, axis=0).repeat(4, axis=1)
    raw = np.minimum(srgb_to_camera(linear, S7.mean_colour_matrix) * light, 1).astype(np.float32)
    return (encode_srgb(linear) * 65535).round().astype(np.uint16), raw


@pytest.mark.parametrize("stops", [-1.0, 1.0])
def test_the_tone_curve_ends_where_photo_or_raw_is_white(stops):
    """RAW is the linear photo in another exposure, so that the curve is a line, up to the white of either."""
    light = np.array([0.5, 1.0, 0.7], np.float32)
    rgb, raw = linear_pair(light * 2**stops)
    profile, neutral, remaining = photo_colours(raw, rgb, S7)
    assert remaining == 0 and neutral is profile.neutral
    np.testing.assert_allclose(neutral, light, rtol=0.02)
    np.testing.assert_allclose(profile.colour_matrix, S7.mean_colour_matrix, atol=0.05)
    before, after = profile.tone_curve
    assert before[0] == after[0] == 0 and before[-1] == 1
    expected = np.minimum(before / 2**stops, 1)
    end = min(2**-stops, 1)
    covered = (expected > 0.05) & (expected < 0.8 * end)
    np.testing.assert_allclose(after[covered], expected[covered], rtol=0.03)
    assert after[-1] == pytest.approx(end, rel=0.1)


def test_photos_that_tell_no_profile():
    rgb, raw = photo_and_raw(0)
    black, white = (0 * raw, 0 * rgb), (np.ones_like(raw), np.full_like(rgb, 255))
    for pair in ((raw[:8, :8], rgb[:8, :8]), black, (0 * raw, rgb), white):
        assert fit_photo_profile(*pair, S7) is None
    profile, neutral, stops = photo_colours(raw[:8, :8], rgb[:8, :8], S7)
    assert profile is None
    np.testing.assert_array_equal(neutral, estimate_neutral(raw[:8, :8], rgb[:8, :8], S7))
    assert stops == estimate_exposure(raw[:8, :8], rgb[:8, :8], neutral, S7)


@pytest.mark.parametrize("light", [(0.04, 1.0, 0.7), (0.5, 1.0, 0.04), (0.5, 0.02, 0.7)])
def test_lights_that_no_camera_sees_tell_no_profile(light):
    rgb, raw = linear_pair(np.array(light))
    assert fit_photo_profile(raw, rgb, S7) is None


def test_the_exposure_is_for_a_grey_with_green_at_1():
    """Also in a light in which red is above green."""
    light, straight = np.array([1.25, 1.0, 0.6]), ProfileTones(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    grey = np.full((2, 2, 3), 0.3 * light, np.float32)
    for curve, exposure, expected in ((None, 2, 0.6), (straight, 2, 0.6), (straight, None, 0.3)):
        shown = develop(grey, light, np.eye(3), exposure, curve)
        np.testing.assert_allclose(shown, encode_srgb(np.float32(expected)), atol=2e-4)


def test_tones_keep_grey_and_hue():
    straight = ProfileTones(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    linear = np.random.default_rng(0).uniform(0, 1, (20, 30, 3)).astype(np.float32)
    np.testing.assert_allclose(apply_profile_tones(linear, straight), linear, atol=2e-6)
    tones = ProfileTones(KNOTS, KNOTS**2)
    levels = np.linspace(0, 1, 11, dtype=np.float32)
    grey = np.repeat(levels[:, None, None], 3, axis=-1)
    np.testing.assert_allclose(
        apply_profile_tones(grey, tones)[:, 0], np.interp(grey, *tones)[:, 0], atol=2e-5
    )
    wide = np.array([[[0.1, 0.4, 0.7]]])
    linear = (wide @ np.linalg.inv(SRGB_TO_PROPHOTO).T).astype(np.float32)
    low, middle, high = (apply_profile_tones(linear, tones) @ SRGB_TO_PROPHOTO.T)[0, 0]
    assert (low, high) == pytest.approx(tuple(np.interp([0.1, 0.7], *tones)), abs=1e-5)
    assert (middle - low) / (high - low) == pytest.approx(0.5, abs=1e-4)
    # white is white in ProPhoto RGB, and sRGB lies inside (ISO 22028-2)
    assert SRGB_TO_PROPHOTO.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-3)
    assert (SRGB_TO_PROPHOTO >= 0).all()
