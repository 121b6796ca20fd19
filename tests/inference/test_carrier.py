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
    own = reconstruct(fusion, rgb, None)
    same = reconstruct(fusion, rgb, Carriage(S7, replace(S7, name="copy")))
    np.testing.assert_array_equal(own, same)
    carried = reconstruct(fusion, rgb, Carriage(S7, P20))
    free = (own.max(-1) < 0.9) & (carried.max(-1) < 1) & (own.min(-1) > 0) & (carried.min(-1) > 0)
    assert free.sum() > 100
    matrix = np.linalg.lstsq(own[free], carried[free], rcond=None)[0]
    np.testing.assert_allclose(own[free] @ matrix, carried[free], atol=2e-5)
    assert np.abs(matrix - np.eye(3)).max() > 0.05


def test_packed_raw_is_that_of_the_demosaiced(fusion):
    rgb = random_rgb(46, 61)
    pictures = [
        Picture(rgb.view(), overexposure_mask(rgb), carriage=carriage)
        for carriage in (None, Carriage(S7, P20))
    ]
    packed = fusion.packed(pictures)()
    for counts, raw in zip(packed, fusion.demosaiced(pictures)()):
        np.testing.assert_array_equal(counts, to_challenge_format(raw))


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
    carrier = carrier_of(Carriage(S7, P20), torch.from_numpy(neutral).float())
    grey, clipped = torch.from_numpy(neutral).float(), torch.ones(3)
    raw = torch.stack([clipped, grey, 0.5 * grey], 1)[:, None]  # (3, 1, 3)
    carried = carrier(raw)[:, 0].T.double().numpy()
    balanced = carried / carried[1]
    assert np.ptp(balanced[2]) < 1e-6 and balanced[2] == pytest.approx(0.5, abs=1e-6)
    # all channels at white or above after white balance, as before
    assert (balanced[0] >= 1 - 1e-6).all()


def test_classical_methods_use_the_target_itself():
    rgb = random_rgb(24, 32)
    picture = Picture(rgb, overexposure_mask(rgb), "a", carriage=Carriage(S7, P20))
    (unprocessed,), (inverted,) = (method(S7).demosaiced([picture])() for method in (Unprocess, Inverse))
    np.testing.assert_array_equal(unprocessed, Unprocess(P20)(rgb, "a"))
    np.testing.assert_array_equal(inverted, Inverse(P20)(rgb))
