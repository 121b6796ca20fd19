"""Camera RAW: CFA orders, black levels, areas and linear DNG, and the files that are refused."""

import sys
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from camera_dng import GAINS, bayer_of, scene, write_dng, write_tiff
from picture_files import assert_refused

from omf.io.camera_raw import CameraRaw, read_camera_raw
from omf.io.dng_tags import read_dng_tags
from omf.raw.bayer import mosaic
from omf.utils.errors import InputError

pytest.importorskip("rawpy")

ORIGINS = {"RGGB": (0, 0), "GRBG": (0, 1), "GBRG": (1, 0), "BGGR": (1, 1)}  # of the first red pixel
HEIGHT, WIDTH, WHITE = 120, 168, 16383
BAYER = bayer_of(scene(0, HEIGHT, WIDTH))
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("cfa", ORIGINS)
@pytest.mark.parametrize("black", [(0,) * 4, (64,) * 4, (60, 61, 62, 63)])
@pytest.mark.parametrize(("height", "width"), [(64, 96), (63, 97)])
def test_mosaic_begins_at_red_with_black_subtracted(tmp_path, cfa, black, height, width):
    bayer = bayer_of(scene(0, height, width), cfa)
    write_dng(tmp_path / "x.dng", bayer, cfa, black)
    raw = read_camera_raw(tmp_path / "x.dng").bayer
    top, left = ORIGINS[cfa]
    expected = bayer[top : top + (height - top) // 2 * 2, left : left + (width - left) // 2 * 2]
    assert raw.dtype == np.float32
    np.testing.assert_allclose(raw, expected, atol=0.51 / 16300, strict=True)


def test_values_are_clipped_to_black_and_white(tmp_path):
    counts = np.full((32, 48), 5000, np.uint16)
    counts[:4], counts[-4:] = 10, 12000
    write_tiff(tmp_path / "x.dng", counts, black=((1, 1), (100,)), white=10100)
    bayer = read_camera_raw(tmp_path / "x.dng").bayer
    assert bayer[:4].max() == 0 and bayer[-4:].min() == 1
    np.testing.assert_allclose(bayer[4:-4], 0.49)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_orientation_is_not_applied(tmp_path, orientation):
    write_dng(tmp_path / "x.dng", BAYER, orientation=orientation)
    np.testing.assert_allclose(read_camera_raw(tmp_path / "x.dng").bayer, BAYER, atol=1e-4)


def with_black(values: np.ndarray, black: np.ndarray | int) -> np.ndarray:
    """Return the counts of values in [0, 1] over a black level."""
    return (values * (WHITE - black) + black).round().astype(np.uint16)


def check(path, counts, expected, levels=0, repeat=(1, 1), **options) -> CameraRaw:
    """Write counts as DNG with black levels in a pattern, and compare what is read."""
    write_tiff(path / "a.dng", counts, black=(repeat, np.ravel(levels).tolist()), **options)
    raw = read_camera_raw(path / "a.dng")
    np.testing.assert_allclose(raw.mosaic, expected, atol=1 / (WHITE - np.max(levels)))
    return raw


@pytest.mark.parametrize("repeat", [(1, 1), (1, 2), (2, 2), (4, 4), (3, 5), (6, 6), (1, 8)])
def test_black_levels_in_a_pattern(tmp_path, repeat):
    levels = RNG.integers(40, 900, repeat)
    black = np.tile(levels, (HEIGHT, WIDTH))[:HEIGHT, :WIDTH]
    raw = check(tmp_path, with_black(BAYER, black), BAYER, levels, repeat)
    assert raw.cfa == "RGGB"
    assert raw.black_level == pytest.approx(black.mean(), abs=1)


@pytest.mark.parametrize("lowest", [0, -30.5])
def test_black_levels_that_change_over_rows_and_columns(tmp_path, lowest):
    deltas = RNG.integers(0, 300, WIDTH) + lowest, RNG.integers(0, 200, HEIGHT) + 0.25
    black = 100 + deltas[0][None] + deltas[1][:, None]
    tags = []
    for tag, values in zip((50715, 50716), deltas):  # BlackLevelDeltaH, BlackLevelDeltaV
        numbers = [number for value in values for number in Fraction(float(value)).as_integer_ratio()]
        tags.append((tag, "2i", len(values), numbers, True))
    check(tmp_path, with_black(BAYER, black), BAYER, 100, tags=tags)


@pytest.mark.parametrize("cfa", ["RGGB", "GRBG", "BGGR"])
def test_an_area_may_begin_anywhere(tmp_path, cfa):
    """Black levels and CFA begin at the active area."""
    bayer, pattern = bayer_of(scene(0, HEIGHT, WIDTH), cfa), bytes(map("RGB".index, cfa))
    for top, left in product((0, 1, 2, 3), (0, 1, 4, 7)):
        levels = RNG.integers(40, 900, (2, 2))
        counts = RNG.integers(0, WHITE, (HEIGHT + top + 2, WIDTH + left + 3)).astype(np.uint16)
        counts[top : top + HEIGHT, left : left + WIDTH] = with_black(bayer, np.tile(levels, (60, 84)))
        tags = [(50829, "I", 4, (top, left, top + HEIGHT, left + WIDTH), True)]  # ActiveArea
        assert check(tmp_path, counts, bayer, levels, (2, 2), tags=tags, pattern=pattern).cfa == cfa


@pytest.mark.parametrize("repeat", [(1, 1), (4, 4)])
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (HEIGHT - 1, WIDTH - 1)])
def test_linear_dng_is_mosaicked(tmp_path, repeat, size):
    """As ProRAW: the camera has demosaiced, but not yet balanced or developed."""
    linear = np.clip(scene(0, *size) * GAINS, 0, 1)
    levels = RNG.integers(40, 900, (*repeat, 3))
    black = np.tile(levels, (HEIGHT, WIDTH, 1))[: size[0], : size[1]]
    assert check(tmp_path, with_black(linear, black), mosaic(linear), levels, repeat).cfa == "RGGB"


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_dng_of_float_samples(tmp_path, dtype):
    write_tiff(tmp_path / "a.dng", BAYER.astype(dtype), white=1)
    np.testing.assert_allclose(read_camera_raw(tmp_path / "a.dng").mosaic, BAYER, atol=1e-3)


def planes(*codes: int) -> dict:
    return {"tags": [(50710, "B", len(codes), bytes(codes), True)]}  # CFAPlaneColor


def test_planes_of_bayer_are_accepted(tmp_path):
    check(tmp_path, with_black(BAYER, 0), BAYER, **planes(0, 1, 2))


COUNTS = RNG.integers(64, 1023, (48, 66)).astype(np.uint16)
X_TRANS = bytes(map(int, "110112112110201021112110110112021201"))
OTHER_COLOURS = {
    "x-trans": ({"repeat": (6, 6), "pattern": X_TRANS}, "a 6 x 6 colour pattern"),
    "quad bayer": ({"repeat": (4, 4), "pattern": b"\0\0\1\1\0\0\1\1\1\1\2\2\1\1\2\2"}, "colour pattern RRGG"),
    "yellow": ({"pattern": b"\0\5\5\2"}, "colour pattern RYYB"),
    "yellow, planes": ({"pattern": b"\0\5\5\2"} | planes(0, 5, 2), "colour pattern RYYB"),
    "planes of yellow": (planes(0, 5, 2), "colour pattern RYYB"),
    "white": ({"pattern": b"\0\1\6\2"}, "colour pattern RGWB"),
    "cyan": ({"pattern": b"\3\4\4\5"}, "colour pattern CMMY"),
}


@pytest.mark.parametrize("case", OTHER_COLOURS)
def test_other_colours_than_those_of_bayer_are_refused(tmp_path, case):
    options, words = OTHER_COLOURS[case]
    write_tiff(tmp_path / "a.dng", COUNTS, **options)
    assert_refused(
        f"{words}; give RAW from a sensor with a Bayer pattern", read_camera_raw, tmp_path / "a.dng"
    )


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "a.dng"
    assert_refused("no such file", read_camera_raw, path)
    write_tiff(path, COUNTS, black=((1, 1), (64,)), white=60)
    assert_refused("white level 60, black level 64", read_camera_raw, path)
    write_tiff(path, with_black(BAYER, 0))
    cut = path.read_bytes()[:-3]
    for content, words in {
        cut: "decoded .cut short.; give an intact",
        b"hello": "decoded",
        b"": "empty",
    }.items():
        path.write_bytes(content)
        assert_refused(words, read_camera_raw, path)


def test_tags_that_make_no_sense_leave_the_work_to_libraw(tmp_path):
    write_tiff(tmp_path / "a.dng", with_black(BAYER, 0), tags=[(50829, "I", 4, (9, 9, 5, 5), True)])
    (tmp_path / "b.dng").write_bytes(b"II*\0 damaged")
    for name in ("a.dng", "b.dng", "missing.dng"):
        assert read_dng_tags(tmp_path / name) is None


def test_without_rawpy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(InputError, match=r"pip install 'overexposure-mask-fusion\[raw\]'"):
        read_camera_raw(tmp_path / "x.dng")
