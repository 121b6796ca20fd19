import sys

import numpy as np
import pytest
from conftest import ROOT, random_rgb, run
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from omf import camera
from omf.bayer import to_challenge_format
from omf.camera import develop, expose, linear_scene, load_camera, random_shot
from omf.challenge import read_packed
from omf.errors import InputError
from omf.overexposure import overexposure_mask
from omf.scenes import SCENES

S7 = load_camera("samsung_s7")
UNIT = arrays(np.float64, 5, elements=st.floats(0, 1))


@given(UNIT)
def test_srgb_curve_and_its_inverse(values):
    np.testing.assert_allclose(camera.decode_srgb(camera.encode_srgb(values)), values, atol=1e-7)


@given(UNIT, st.floats(0.01, 1))
def test_midtones_and_their_inverse(values, amount):
    np.testing.assert_allclose(camera.lower_midtones(camera.lift_midtones(values, amount), amount), values, atol=1e-7)


def test_the_profile_is_plausible():
    assert S7.weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(S7.colour_matrices.sum(axis=-1), 1, atol=2e-3)
    # the sensor has no white balance: red and blue of a grey are well below green
    assert 0.4 < S7.usual_neutral[0] < 0.7
    assert 0.4 < S7.usual_neutral[2] < 0.7


def test_an_unknown_camera_is_told_with_the_known_ones():
    with pytest.raises(InputError, match=r"known cameras: .*samsung_s7"):
        load_camera("box_brownie")


def test_grey_has_the_shots_neutral_in_raw_and_is_grey_in_srgb():
    rng = np.random.default_rng(0)
    for _ in range(20):
        shot = random_shot(S7, rng)
        scene = np.full((16, 16, 3), 0.2 / shot.exposure, np.float32)
        raw = expose(scene, shot)
        np.testing.assert_allclose(raw[0, 0] / raw[0, 0, 1], shot.neutral, rtol=5e-3)
        rgb = develop(raw, shot, rng).astype(float)
        assert np.ptp(rgb.mean(axis=(0, 1))) < 2


def test_highlights_are_lost_in_srgb_but_not_in_raw():
    rng = np.random.default_rng(1)
    lost = kept = 0
    for _ in range(20):
        shot = random_shot(S7, rng)
        steps = np.linspace(1.0, 1.3, 64, dtype=np.float32)[None, :, None] / (shot.exposure * shot.gain)
        raw = expose(np.broadcast_to(steps, (16, 64, 3)), shot)
        rgb = develop(raw, shot, rng)
        lost += overexposure_mask(rgb).all()
        kept += (np.diff(raw[0, :, 1]) > 0).mean() > 0.3
    assert lost == 20
    assert kept >= 10


def test_a_photo_survives_the_way_through_the_camera():
    rng = np.random.default_rng(2)
    photo = np.clip(random_rgb(64, 64), 20, 200)
    shot = random_shot(S7, rng)
    exact = camera.Shot(shot.neutral, shot.colour_matrix, 0.6, 1 / 0.6, 0.35, 0.0, 0.0)
    again = develop(expose(linear_scene(photo), exact), exact, rng)
    assert np.abs(again.astype(int) - photo).max() <= 2


def test_shots_are_reproducible():
    first, second = (random_shot(S7, np.random.default_rng([3, 4])) for _ in range(2))
    assert first.exposure == second.exposure
    assert (first.neutral == second.neutral).all()


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_scenes_are_linear_light(scene):
    drawn = scene(48, 64, np.random.default_rng(0))
    assert drawn.shape == (48, 64, 3)
    assert drawn.dtype == np.float32
    assert np.isfinite(drawn).all()
    assert drawn.min() >= 0
    assert drawn.std() > 0.01
    assert (drawn == scene(48, 64, np.random.default_rng(0))).all()


def test_the_samples_are_what_the_command_makes(tmp_path):
    made = run(sys.executable, "scripts/make_samples.py", "--out", tmp_path)
    assert made.returncode == 0, made.stderr
    names = sorted(path.name for path in (ROOT / "test_raw").glob("*.npy"))
    assert len(names) == 12
    for name in names:
        again, committed = read_packed(tmp_path / "test_raw" / name).astype(int), read_packed(ROOT / "test_raw" / name)
        # other builds of numpy may differ in the last bit, so a count here and there
        assert np.abs(again - committed).max() <= 1
        assert (again != committed).mean() < 1e-3


def test_the_baseline_is_inverse_srgb_and_white_balance():
    rgb = np.full((4, 6, 3), 188, np.uint8)
    expected = to_challenge_format(np.broadcast_to(camera.decode_srgb(np.float32(188 / 255)) * S7.usual_neutral, (4, 6, 3)))
    assert np.abs(camera.baseline(rgb, S7).astype(int) - expected).max() <= 1
