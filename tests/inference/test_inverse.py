"""The inverse of the mean ISP of a camera."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import random_rgb

from omf.inference.base import Picture
from omf.inference.inverse import Inverse
from omf.inference.load import load_method
from omf.models.registry import find_model
from omf.raw.bayer import to_challenge_format
from omf.raw.camera import load_camera
from omf.raw.overexposure import overexposure_mask
from omf.raw.simulator import expose, mean_settings, run_isp

S7 = load_camera("samsung_s7")
CURVED = replace(
    S7,
    tone_groups=(),
    tone_curve=np.linspace(0, 1, 33) ** 1.2,
    prior=S7.prior.model_copy(
        update={
            "local_contrast": {"uniform": [0.0, 0.0]},
            "sharpening": {"uniform": [0.0, 0.0]},
            "black_point": {"uniform": [0.01, 0.02]},
            "white_point": {"uniform": [0.9, 1.0]},
        }
    ),
)


def test_the_mean_isp_is_inverted():
    settings = mean_settings(CURVED)
    # moderate colours, whose channels are neither below 0 nor above white anywhere in the ISP
    rng = np.random.default_rng(0)
    scene = (rng.uniform(0.05, 0.8, (40, 60, 1)) * rng.uniform(0.8, 1.2, (40, 60, 3))).astype(np.float32)
    raw = expose(scene, settings)
    found = Inverse(CURVED)(run_isp(raw, settings))
    # half a code of 255, where the curve is steepest: 4 RAW per sRGB
    assert np.abs(found - raw).max() < 4 * 0.5 / 255
    assert np.abs(found - raw).mean() < 0.6 / 255


def test_local_contrast_is_inverted_in_uniform_areas():
    camera = load_camera("generic_phone")
    settings = replace(mean_settings(camera), sharpening=0.0)
    for level in (0.05, 0.2, 0.6):
        raw = expose(np.full((8, 8, 3), level, np.float32), settings)
        np.testing.assert_allclose(Inverse(camera)(run_isp(raw, settings)), raw, rtol=0.04)


@pytest.mark.parametrize("camera", [S7, CURVED, load_camera("generic_phone")], ids=lambda camera: camera.name)
def test_greys_are_monotone_and_white_is_the_gain(camera):
    greys = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 256, 3)
    raw = Inverse(camera)(greys)[0]
    assert (np.diff(raw, axis=0) >= 0).all()
    assert raw.dtype == np.float32
    settings = mean_settings(camera)
    np.testing.assert_allclose(raw[-1], settings.neutral / settings.gain, rtol=2e-3)
    rgb = random_rgb(20, 30)
    np.testing.assert_allclose(Inverse(camera)(rgb.astype(np.uint16) * 257), Inverse(camera)(rgb), atol=1e-6)


def test_a_known_neutral_and_exposure_replace_the_means():
    rgb, inverse = random_rgb(20, 30), Inverse(S7)
    plain = inverse(rgb)
    red, _, blue = S7.mean_neutral
    np.testing.assert_allclose(inverse(rgb, neutral=(red, blue)), plain, rtol=1e-5)
    np.testing.assert_allclose(inverse(rgb, exposure=0.5), plain * 0.5, rtol=1e-5)
    warm = inverse(rgb, neutral=(red / 2, blue))
    np.testing.assert_allclose(warm, plain * np.array([0.5, 1, 1]), rtol=1e-5, atol=1e-7)


def test_it_is_a_method():
    method, device, on_cpu = load_method(find_model("inverse"), "auto")
    assert (device, on_cpu) == ("CPU", True)
    rgb = random_rgb(21, 30)
    picture = Picture(rgb, overexposure_mask(rgb), "a")
    (raw,) = method.demosaiced([picture])()
    (packed,) = method.packed([picture])()
    np.testing.assert_array_equal(raw, Inverse(S7)(rgb))
    np.testing.assert_array_equal(packed, to_challenge_format(raw))
