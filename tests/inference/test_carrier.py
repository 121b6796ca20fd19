"""RAW of networks carried to another camera."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import random_base, random_rgb, random_unet

from omf.inference.base import Picture
from omf.inference.carrier import carrier_of
from omf.inference.fusion import Fusion
from omf.inference.inverse import Inverse
from omf.inference.unprocess import Unprocess
from omf.raw.bayer import to_challenge_format
from omf.raw.camera import load_camera
from omf.raw.camera_colours import Carriage
from omf.raw.overexposure import overexposure_mask

S7, P20 = map(load_camera, ("samsung_s7", "huawei_p20"))
CPU = torch.device("cpu")


def reconstruct(fusion: Fusion, rgb: np.ndarray, carriage: Carriage | None, **known) -> np.ndarray:
    return fusion.demosaiced([Picture(rgb.view(), overexposure_mask(rgb), carriage=carriage, **known)])()[0]


@pytest.fixture(params=["base", "base and NOE", "published"])
def fusion(request) -> Fusion:
    base = None if request.param == "published" else random_base(0)
    oe, noe = (random_unet((4, 6), seed, 7 if base else 4) for seed in range(2))
    return Fusion(oe, noe if request.param != "base" else None, CPU, base=base)


def test_only_colours_change_and_the_same_camera_changes_nothing(fusion):
    rgb = random_rgb(46, 61)
    own, carried = (reconstruct(fusion, rgb, carriage) for carriage in (None, Carriage(S7, P20)))
    same = reconstruct(fusion, rgb, Carriage(S7, replace(S7, name="copy")))
    np.testing.assert_array_equal(own, same)
    (counts,) = fusion.packed([Picture(rgb, overexposure_mask(rgb), carriage=Carriage(S7, P20))])()
    np.testing.assert_array_equal(counts, to_challenge_format(carried))
    free = ~overexposure_mask(rgb) & (own.max(-1) < 1) & (carried.max(-1) < 1)
    free &= (own.min(-1) > 0) & (carried.min(-1) > 0)
    assert free.sum() > 100
    matrix = np.linalg.lstsq(own[free], carried[free], rcond=None)[0]
    np.testing.assert_allclose(own[free] @ matrix, carried[free], atol=2e-5)
    assert np.abs(matrix - np.eye(3)).max() > 0.05


def test_a_known_neutral_is_that_of_the_target():
    fusion = Fusion(random_unet((4, 6), 0, 7), None, CPU, base=random_base(0))
    rgb, known, carriage = random_rgb(32, 32), (0.55, 0.62), Carriage(S7, P20)
    picture = Picture(rgb, overexposure_mask(rgb), neutral=known, carriage=carriage)
    with torch.inference_mode():
        transform = fusion.predict_transform(torch.from_numpy(rgb), picture)
        white = carrier_of(carriage, transform.white()[0]).transform(transform).white()[0].double().numpy()
    assert white[[0, 2]] / white[1] == pytest.approx(known, rel=1e-4)
    own = fusion.predict_transform(torch.from_numpy(rgb), picture._replace(carriage=None)).white()[0]
    assert (own[[0, 2]] / own[1]).detach().numpy() == pytest.approx(known, rel=1e-5)


def test_clipped_areas_stay_white():
    neutral = S7.illuminants["D65"]
    carriage = Carriage(S7, P20)
    carrier = carrier_of(carriage, torch.from_numpy(neutral).float())
    target = carriage.matrix(neutral) @ neutral
    rows = [np.ones(3), [0.9, 1.0, 0.95], *(neutral * share for share in (0.9, 0.5))]
    raw = torch.from_numpy(np.array(rows, np.float32))
    for overexposed in (True, False):
        carried = carrier(raw.T[:, None], overexposed)[:, 0].T.double().numpy() / target
        before = raw.double().numpy() / neutral
        assert carried[2:] == pytest.approx(before[2:], abs=1e-5)  # grey
        if overexposed:  # white after white balance, as before
            assert (carried[:2] >= 1 - 1e-6).all()


def test_white_areas_of_a_photo_stay_neutral(fusion):
    rgb = np.full((48, 64, 3), 255, np.uint8)
    rgb[:, :20] = 128
    own, carried = (reconstruct(fusion, rgb, carriage) for carriage in (None, Carriage(S7, P20)))
    ratio = carried[:, 40:] / np.maximum(own[:, 40:], 1e-6)
    inside = ((own[:, 40:] > 0.01) & (carried[:, 40:] < 1)).all(-1)
    # the same factors for all pixels: no new colour
    for channel in range(3):
        values = ratio[..., channel][inside]
        assert values.size == 0 or np.ptp(values) < 1e-4


def test_classical_methods_use_the_target_itself():
    rgb = random_rgb(24, 32)
    picture = Picture(rgb, overexposure_mask(rgb), "a", carriage=Carriage(S7, P20))
    (unprocessed,), (inverted,) = (method(S7).demosaiced([picture])() for method in (Unprocess, Inverse))
    np.testing.assert_array_equal(unprocessed, Unprocess(P20)(rgb, "a"))
    np.testing.assert_array_equal(inverted, Inverse(P20)(rgb))
