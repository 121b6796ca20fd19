"""Pairs of photo and packed RAW: good ones are accepted, and each fault is named."""

import re
from collections.abc import Callable

import numpy as np
import pytest
from conftest import ROOT

from omf.evaluation.plausibility import check_pair
from omf.io.images import read_rgb
from omf.raw.bayer import mosaic, pack, unpack
from omf.raw.camera import load_camera
from omf.raw.isp import decode_srgb, encode_srgb, to_8_bit
from omf.raw.scenes import SCENES
from omf.raw.simulator import linear_raw, sample_settings, simulate_pair
from omf.utils.errors import InputError

Pair = tuple[np.ndarray, np.ndarray]  # sRGB (H, W, 3) and RGGB mosaic (H, W)
REAL = ROOT.parent / "shared" / "real"


def simulated(number: int, camera: str = "samsung_s7", size: int = 256) -> Pair:
    camera, rng = load_camera(camera), np.random.default_rng([7, number])
    shown = SCENES[number % len(SCENES)](size, size, rng).astype(np.float32)
    rgb, counts = simulate_pair(shown, sample_settings(camera, rng), camera, rng)
    bayer = linear_raw(counts, camera)
    height, width = (min(sides) // 2 * 2 for sides in zip(rgb.shape, bayer.shape))
    return rgb[:height, :width], bayer[:height, :width].astype(np.float32)


def planes(order: list[int]) -> Callable[[Pair, Pair], Pair]:
    return lambda pair, other: (pair[0], unpack(pack(pair[1])[..., order]))


def photo(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Pair, Pair], Pair]:
    return lambda pair, other: (np.ascontiguousarray(change(pair[0])), pair[1])


def raw(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Pair, Pair], Pair]:
    return lambda pair, other: (pair[0], change(pair[1]).astype(np.float32))


MATCH, SHIFT = "photo and RAW don't match|shifted", "shifted against its photo by"
COLOURS = "the colours of its planes contradict the photo|subtract the black level"
FAULTS = {
    "another photo": (lambda pair, other: (other[0], pair[1]), MATCH),
    "shifted far": (photo(lambda rgb: np.roll(rgb, (20, 32), (0, 1))), MATCH),
    "shifted by a cell and a half": (photo(lambda rgb: np.roll(rgb, (2, 2), (0, 1))), SHIFT),
    "shifted back": (photo(lambda rgb: np.roll(rgb, (-4, 0), (0, 1))), MATCH),
    "turned by 90": (photo(np.rot90), MATCH),
    "turned by 180": (photo(lambda rgb: rgb[::-1, ::-1]), MATCH),
    "turned by 270": (photo(lambda rgb: np.rot90(rgb, 3)), MATCH),
    "mirrored": (photo(lambda rgb: rgb[:, ::-1]), MATCH),
    "upside down": (photo(lambda rgb: rgb[::-1]), MATCH),
    "inverted": (photo(lambda rgb: 255 - rgb), MATCH),
    "B, Gr, Gb, R": (planes([3, 1, 2, 0]), COLOURS),
    "GRBG": (planes([1, 0, 3, 2]), COLOURS),
    "GBRG": (planes([2, 3, 0, 1]), COLOURS),
    "R, G, B, G": (planes([0, 1, 3, 2]), COLOURS),
    "photo in BGR": (photo(lambda rgb: rgb[..., ::-1]), COLOURS),
    "grey photo": (photo(lambda rgb: np.repeat(rgb[..., 1:2], 3, axis=-1)), "the photo is grey"),
    "black level": (raw(lambda bayer: bayer * 15 / 16 + 1 / 16), COLOURS),
    "all the same": (raw(np.zeros_like), "every plane has a single value"),
    "even planes": (raw(lambda bayer: unpack(pack(bayer) * 0 + [0.2, 0.4, 0.4, 0.3])), "a single value"),
}


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return [simulated(number) for number in range(2 * len(SCENES))]


def fault_of(pair: Pair) -> str:
    try:
        check_pair(*pair)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("camera", ["samsung_s7", "huawei_p20", "generic_phone"])
@pytest.mark.parametrize("size", [64, 130, 256])
def test_good_pairs_are_accepted(camera, size):
    assert [fault_of(simulated(number, camera, size)) for number in range(len(SCENES))] == [""] * len(SCENES)


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(pairs, fault):
    """A photo without contrast or colour hides some faults; in most pairs each shows, and no other one."""
    damage, words = FAULTS[fault]
    found = [fault_of(damage(pair, other)) for pair, other in zip(pairs, pairs[1:] + pairs[:1])]
    named = [text for text in found if re.search(words, text)]
    assert len(named) > len(pairs) / 2
    assert {text for text in found if text} == set(named)


def test_the_way_of_a_shift_is_told(pairs):
    """The texts give rows and columns in pixels, down and right positive."""
    texts = {fault_of((np.roll(rgb, (-2, -6), (0, 1)), bayer)) for rgb, bayer in pairs}
    assert "by 2 rows and 6 columns" in max(texts, key=len)
    assert all("by 2 rows and 6 columns" in text for text in texts if "shifted" in text)


@pytest.mark.parametrize("side", [68, 270])
def test_small_pairs_and_the_middle_of_large_ones_are_compared(side):
    """The middle begins at a Bayer cell, whatever the size."""
    pairs = [simulated(number, size=side) for number in range(len(SCENES))]
    assert [fault_of(pair) for pair in pairs] == [""] * len(pairs)
    assert any(fault_of((255 - rgb, bayer)) for rgb, bayer in pairs)


def test_colours_of_greys_contradict_a_bayer_order():
    """A photo of greys has hardly a colour to correlate; but no light gives less green than R and B.

    With R as bright as B, the greens are even in the wrong order too.
    """
    pair = grey_pair(np.array([0.6, 1.0, 0.6]))
    assert fault_of(pair) == ""
    rgb, bayer = pair
    assert re.search(COLOURS, fault_of((rgb, unpack(pack(bayer)[..., [1, 0, 3, 2]]))))


def test_dark_parts_may_have_a_colour():
    """A black level is the same for R, G and B; dark parts of one colour are none."""
    light = np.array([0.5, 1.0, 0.7])
    rgb, bayer = grey_pair(light)
    red_veil = mosaic(np.full((*bayer.shape, 3), [0.05, 0.1, 0.07], np.float32))
    assert fault_of((rgb, bayer + red_veil)) == ""
    assert "subtract the black level" in fault_of((rgb, bayer + 0.1))
    assert "begin at 0.1" in fault_of((rgb, bayer + 0.1))


def grey_pair(light: np.ndarray) -> Pair:
    """Return a picture of greys with a slight colour, from dark to bright, and its RAW in a light."""
    rng = np.random.default_rng(3)
    linear = (rng.uniform(0.01, 0.8, (32, 32, 1)) ** 2 * rng.uniform(0.98, 1.02, (32, 32, 3))).astype(
        np.float32
    )
    linear = linear.repeat(4, axis=0).repeat(4, axis=1)
    rgb = to_8_bit(encode_srgb(linear))
    return rgb, mosaic((0.6 * linear * light).astype(np.float32))


def test_the_exposure_is_that_of_the_middle_tones(pairs):
    rgb, bayer = pairs[0]
    assert check_pair(255 - rgb[:62, :62], bayer[:62, :62]) is None  # small pairs tell nothing
    exposures = np.array([check_pair(*pair) or np.nan for pair in pairs])
    darker = np.array([check_pair(pair[0], pair[1] / 4) or np.nan for pair in pairs])
    np.testing.assert_allclose(darker, exposures / 4, rtol=1e-3)
    assert np.nanmedian(exposures) > 0.4
    # RAW green over that of the photo, whatever R and B are, in neither dark nor bright cells
    values = np.array([[[200, 128, 60], [60, 128, 200]], [[90, 128, 90], [250, 128, 120]]], np.uint8)
    rgb = np.tile(values.repeat(4, 0).repeat(4, 1), (9, 9, 1))
    rng = np.random.default_rng(0)
    rgb = (rgb * rng.uniform(0.6, 1, (9, 9, 1)).repeat(8, 0).repeat(8, 1)).astype(np.uint8)
    linear = decode_srgb(rgb / np.float32(255))
    bayer = mosaic((linear * [0.1, 0.37, 0.2]).astype(np.float32))
    assert check_pair(rgb, bayer) == pytest.approx(0.37, rel=1e-3)
    for code in (60, 230):  # linear 0.05 and 0.79
        rgb[:] = np.where(np.arange(72) % 16 < 8, code, code - 6)[:, None, None]
        rgb[..., 0] -= 9
        linear = decode_srgb(rgb / np.float32(255))
        assert check_pair(rgb, mosaic((linear * [0.1, 0.37, 0.2]).astype(np.float32))) is None


@pytest.mark.parametrize("photo", sorted(REAL.glob("*.png")), ids=lambda path: path.stem)
def test_real_pairs_are_accepted(photo):
    rgb = read_rgb(photo)
    rgb = rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2]
    if photo.with_suffix(".npy").exists():
        bayer = unpack(np.load(photo.with_suffix(".npy"))) / np.float32(1024)
    else:
        bayer = mosaic(np.load(photo.with_suffix(".npz"))["raw"].clip(0, 1).astype(np.float32))
    exposure = check_pair(rgb, bayer)
    assert exposure is None or exposure > 0.3
