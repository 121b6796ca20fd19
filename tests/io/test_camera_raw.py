"""Camera RAW files: every CFA order, black levels, and the files that are rejected."""

import sys
from pathlib import Path

import numpy as np
import pytest
from camera_dng import bayer_of, scene, write_dng, write_tiff

from omf.io.camera_raw import read_camera_raw
from omf.utils.errors import InputError

pytest.importorskip("rawpy")

# row and column of the first red pixel
ORIGINS = {"RGGB": (0, 0), "GRBG": (0, 1), "GBRG": (1, 0), "BGGR": (1, 1)}


@pytest.mark.parametrize("cfa", ORIGINS)
@pytest.mark.parametrize("black", [(0,) * 4, (64,) * 4, (60, 61, 62, 63)])
@pytest.mark.parametrize(("height", "width"), [(64, 96), (63, 97)])
def test_mosaic_begins_at_red_with_black_subtracted(tmp_path: Path, cfa: str, black, height, width):
    bayer = bayer_of(scene(0, height, width), cfa)
    write_dng(tmp_path / "x.dng", bayer, cfa, black)
    raw = read_camera_raw(tmp_path / "x.dng").bayer
    top, left = ORIGINS[cfa]
    expected = bayer[top : top + (height - top) // 2 * 2, left : left + (width - left) // 2 * 2]
    assert raw.dtype == np.float32 and raw.shape == expected.shape
    np.testing.assert_allclose(raw, expected, atol=0.51 / 16300)


def test_values_are_clipped_to_black_and_white(tmp_path: Path):
    counts = np.full((32, 48), 5000, np.uint16)
    counts[:4], counts[-4:] = 10, 12000
    write_tiff(tmp_path / "x.dng", counts, (2, 2), bytes([0, 1, 1, 2]), (100,) * 4, 10100)
    bayer = read_camera_raw(tmp_path / "x.dng").bayer
    assert bayer[:4].max() == 0 and bayer[-4:].min() == 1
    np.testing.assert_allclose(bayer[4:-4], 0.49)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_orientation_is_not_applied(tmp_path: Path, orientation: int):
    bayer = bayer_of(scene(0, 32, 48))
    write_dng(tmp_path / "x.dng", bayer, orientation=orientation)
    np.testing.assert_allclose(read_camera_raw(tmp_path / "x.dng").bayer, bayer, atol=1e-4)


X_TRANS = bytes(map(int, "110112112110201021112110110112021201"))
COUNTS = np.random.default_rng(0).integers(64, 1023, (48, 66)).astype(np.uint16)
RGGB, QUAD = bytes([0, 1, 1, 2]), bytes([0, 0, 1, 1] * 2 + [1, 1, 2, 2] * 2)
INVALID = {
    "missing": (lambda path: None, "no such file"),
    "text": (lambda path: path.write_text("hello"), "can't be decoded"),
    "empty": (lambda path: path.touch(), "an empty file"),
    "x-trans": (lambda path: write_tiff(path, COUNTS, (6, 6), X_TRANS), "a 6 x 6 colour pattern"),
    "low": (lambda path: write_tiff(path, COUNTS, (2, 2), RGGB, white=60), "white level 60, black level 64"),
    "quad bayer": (lambda path: write_tiff(path, COUNTS, (4, 4), QUAD), "colour pattern RRGG"),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_file_is_reported_on_one_line(tmp_path: Path, case: str):
    write, text = INVALID[case]
    write(tmp_path / "x.dng")
    with pytest.raises(InputError) as error:
        read_camera_raw(tmp_path / "x.dng")
    assert text in str(error.value) and "x.dng" in str(error.value) and "\n" not in str(error.value)


def test_without_rawpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(InputError, match=r"pip install 'overexposure-mask-fusion\[raw\]'"):
        read_camera_raw(tmp_path / "x.dng")
