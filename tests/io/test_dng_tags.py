"""Camera RAW whose levels and layout LibRaw reduces: patterns of the black level, odd areas, RYYB."""

from fractions import Fraction

import numpy as np
import pytest
import tifffile
from camera_dng import GAINS, bayer_of, scene

from omf.io.camera_raw import CameraRaw, read_camera_raw
from omf.io.dng_tags import read_dng_tags
from omf.raw.bayer import mosaic
from omf.utils.errors import InputError

pytest.importorskip("rawpy")
HEIGHT, WIDTH, WHITE = 120, 168, 16383
RNG = np.random.default_rng(0)


def write(path, counts, *tags, pattern=(0, 1, 1, 2), black=((1, 1), (0,))):
    """Write counts as DNG: (H, W) of a CFA, or (H, W, 3) as linear RAW."""
    linear = counts.ndim == 3
    repeat, levels = black
    tags = [
        (50706, "B", 4, bytes([1, 4, 0, 0]), True),  # DNGVersion
        (50708, "s", 0, "Test Camera", True),  # UniqueCameraModel
        (50717, "I", 1, WHITE, True),  # WhiteLevel
        (50721, "2i", 9, (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1), True),  # ColorMatrix1
        (50728, "2I", 3, (1, 2, 1, 1, 1, 2), True),  # AsShotNeutral
        (50778, "H", 1, 21, True),  # CalibrationIlluminant1
        (50713, "H", 2, repeat, True),  # BlackLevelRepeatDim
        (50714, "H", len(levels), levels, True),  # BlackLevel
        *tags,
    ]
    if not linear:
        tags += [(33421, "H", 2, (2, 2), True), (33422, "B", 4, bytes(pattern), True)]
    tifffile.imwrite(path, counts, photometric=34892 if linear else "cfa", extratags=tags, metadata=None)


def rationals(values) -> tuple[int, ...]:
    parts = [Fraction(float(value)).limit_denominator(1000) for value in values]
    return tuple(number for part in parts for number in (part.numerator, part.denominator))


def with_black(bayer: np.ndarray, black: np.ndarray | int) -> np.ndarray:
    """Return the counts of a mosaic in [0, 1] over a black level."""
    return (bayer * (WHITE - black) + black).round().astype(np.uint16)


def check(path, counts, *tags, expected, black=((1, 1), 0), **options) -> CameraRaw:
    """Write counts as DNG, with black levels up to 900, and compare what is read."""
    repeat, levels = black
    write(path / "a.dng", counts, *tags, black=(repeat, np.ravel(levels).tolist()), **options)
    raw = read_camera_raw(path / "a.dng")
    np.testing.assert_allclose(raw.mosaic, expected, atol=1 / (WHITE - np.max(levels)))
    return raw


@pytest.fixture
def bayer() -> np.ndarray:
    return bayer_of(scene(0, HEIGHT, WIDTH))


@pytest.mark.parametrize("repeat", [(1, 1), (1, 2), (2, 2), (4, 4), (3, 5), (6, 6), (1, 8)])
def test_black_levels_in_a_pattern(tmp_path, bayer, repeat):
    levels = RNG.integers(40, 900, repeat)
    black = np.tile(levels, (HEIGHT, WIDTH))[:HEIGHT, :WIDTH]
    raw = check(tmp_path, with_black(bayer, black), expected=bayer, black=(repeat, levels))
    assert raw.cfa == "RGGB"
    assert raw.black_level == pytest.approx(black.mean(), abs=1)


@pytest.mark.parametrize("signed", [False, True])
def test_black_levels_that_change_over_rows_and_columns(tmp_path, bayer, signed):
    lowest = -30.5 if signed else 0
    across, down = RNG.integers(0, 300, WIDTH) + lowest, RNG.integers(0, 200, HEIGHT) + 0.25
    black = 100 + across[None] + down[:, None]
    tags = [
        (50715, "2i", WIDTH, rationals(across), True),  # BlackLevelDeltaH
        (50716, "2i", HEIGHT, rationals(down), True),  # BlackLevelDeltaV
    ]
    write(tmp_path / "a.dng", with_black(bayer, black), *tags, black=((1, 1), (100,)))
    np.testing.assert_allclose(read_camera_raw(tmp_path / "a.dng").mosaic, bayer, atol=1 / (WHITE - 700))


@pytest.mark.parametrize("top", [0, 1, 2, 3])
@pytest.mark.parametrize("left", [0, 1, 4, 7])
@pytest.mark.parametrize("cfa", ["RGGB", "GRBG", "BGGR"])
def test_an_area_may_begin_anywhere(tmp_path, top, left, cfa):
    """Black levels and CFA begin at the active area."""
    bayer = bayer_of(scene(0, HEIGHT, WIDTH), cfa)
    levels = RNG.integers(40, 900, (2, 2))
    counts = RNG.integers(0, WHITE, (HEIGHT + top + 2, WIDTH + left + 3)).astype(np.uint16)
    counts[top : top + HEIGHT, left : left + WIDTH] = with_black(bayer, np.tile(levels, (60, 84)))
    area = (50829, "I", 4, (top, left, top + HEIGHT, left + WIDTH), True)  # ActiveArea
    pattern = map("RGB".index, cfa)
    assert check(tmp_path, counts, area, expected=bayer, black=((2, 2), levels), pattern=pattern).cfa == cfa


@pytest.mark.parametrize(
    ("pattern", "planes", "colours"),
    [
        ((0, 5, 5, 2), None, "RYYB"),
        ((0, 5, 5, 2), (0, 5, 2), "RYYB"),
        ((0, 1, 1, 2), (0, 5, 2), "RYYB"),
        ((0, 1, 6, 2), None, "RGWB"),
        ((3, 4, 4, 5), None, "CMMY"),
    ],
)
def test_other_colours_than_those_of_bayer_are_refused(tmp_path, bayer, pattern, planes, colours):
    tags = [(50710, "B", len(planes), bytes(planes), True)] if planes else []  # CFAPlaneColor
    write(tmp_path / "a.dng", with_black(bayer, 64), *tags, pattern=pattern)
    with pytest.raises(InputError, match=rf"a\.dng: colour pattern {colours}; give RAW from a sensor with"):
        read_camera_raw(tmp_path / "a.dng")


def test_planes_of_bayer_are_accepted(tmp_path, bayer):
    check(tmp_path, with_black(bayer, 0), (50710, "B", 3, bytes((0, 1, 2)), True), expected=bayer)


@pytest.mark.parametrize("repeat", [(1, 1), (4, 4)])
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (HEIGHT - 1, WIDTH - 1)])
def test_linear_dng_is_mosaicked(tmp_path, repeat, size):
    """As ProRAW: the camera has demosaiced, but not yet balanced or developed."""
    linear = np.clip(scene(0, *size) * GAINS, 0, 1)
    levels = RNG.integers(40, 900, (*repeat, 3))
    counts = with_black(linear, np.tile(levels, (HEIGHT, WIDTH, 1))[: size[0], : size[1]])
    assert check(tmp_path, counts, expected=mosaic(linear), black=(repeat, levels)).cfa == "RGGB"


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_dng_of_float_samples(tmp_path, monkeypatch, bayer, dtype):
    monkeypatch.setitem(write.__globals__, "WHITE", 1)
    write(tmp_path / "a.dng", bayer.astype(dtype))
    np.testing.assert_allclose(read_camera_raw(tmp_path / "a.dng").mosaic, bayer, atol=1e-3)


def test_a_dng_that_is_cut_short_is_reported(tmp_path, bayer):
    write(tmp_path / "a.dng", with_black(bayer, 0))
    content = (tmp_path / "a.dng").read_bytes()
    (tmp_path / "a.dng").write_bytes(content[:-3])
    with pytest.raises(InputError, match=r"a\.dng: can.t be decoded .cut short.; give an intact"):
        read_camera_raw(tmp_path / "a.dng")


def test_tags_that_make_no_sense_leave_the_work_to_libraw(tmp_path, bayer):
    write(tmp_path / "a.dng", with_black(bayer, 0), (50829, "I", 4, (9, 9, 5, 5), True))
    assert read_dng_tags(tmp_path / "a.dng") is None
    (tmp_path / "b.dng").write_bytes(b"II*\0 damaged")
    assert read_dng_tags(tmp_path / "b.dng") is None
    assert read_dng_tags(tmp_path / "missing.dng") is None
