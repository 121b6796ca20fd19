"""The way back: `omf render`, and DNG files from arrays."""

import struct
import sys
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from picture_files import assert_refused
from PIL import Image

import omf as package
from omf.evaluation.metrics import psnr
from omf.io.camera_raw import read_camera_raw, read_colours
from omf.raw.bayer import mosaic, pack, unpack
from omf.raw.camera import load_camera
from omf.raw.develop import choose_exposure, develop, grey_world
from omf.raw.isp import decode_srgb, srgb_to_camera
from omf.raw.simulator import linearise_photo, mean_settings
from omf.utils.errors import InputError

CAMERA = load_camera("samsung_s7")
NEUTRAL = np.array([0.55, 1.0, 0.62])
ROWS, COLUMNS = np.mgrid[:64, :96]
# a smooth scene, which demosaicing does not blur, darker than white
PHOTO = (40 + 100 * np.stack([COLUMNS / 96, ROWS / 64, 1 - COLUMNS / 96], -1)).astype(np.uint8)


def raw_of(photo: np.ndarray, exposure: float = 1.0) -> np.ndarray:
    """Return the demosaiced RAW of a photo without any ISP but the one that `develop` inverts."""
    return raw_of_linear(decode_srgb(photo / np.float32(255)).astype(np.float32), exposure)


def raw_of_linear(linear: np.ndarray, exposure: float = 1.0) -> np.ndarray:
    return srgb_to_camera(linear, CAMERA.mean_colour_matrix) * NEUTRAL.astype(np.float32) / exposure


def scaled(white: int, black: int = 0) -> np.ndarray:
    return (COUNTS * (white - black) + black).round().astype(np.uint16)


EXACT = ["--neutral", 0.55, 0.62, "--exposure", 1.5]
COUNTS = pack(mosaic(raw_of(PHOTO, exposure=1.5)))


def test_developing_inverts_the_simple_isp():
    given = develop(raw_of(PHOTO, exposure=2), NEUTRAL, CAMERA.mean_colour_matrix, 2)
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, PHOTO / 255, atol=2e-3)


def test_clipped_highlights_are_white():
    raw = np.ones((4, 4, 3), np.float32)
    np.testing.assert_allclose(develop(raw, NEUTRAL, CAMERA.mean_colour_matrix, 1), 1, atol=1e-3)


def test_the_brightest_hundredth_becomes_white():
    linear = np.full((100, 100, 3), 0.1, np.float32)
    linear[:2] = 0.25
    assert choose_exposure(linear) == pytest.approx(4, rel=1e-3)
    assert choose_exposure(linear * 100) == 1
    assert choose_exposure(linear * 0) == 8


def test_grey_world_stays_within_the_known_lights():
    grey = np.full((8, 8, 3), 0.5, np.float32)
    lowest, highest = CAMERA.neutrals.min(axis=0), CAMERA.neutrals.max(axis=0)
    for neutral in ([0.6, 1, 0.5], [3, 1, 0.1]):
        estimate = grey_world(grey * np.float32(neutral) / 4, CAMERA)
        assert (lowest <= estimate[[0, 2]]).all() and (estimate[[0, 2]] <= highest).all()
    np.testing.assert_allclose(grey_world(grey * np.float32([0.6, 1, 0.5]), CAMERA), [0.6, 1, 0.5], rtol=1e-5)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_photo_comes_back_from_its_raw(tmp_path, render, suffix):
    """Through files, by values that are known: packed counts, then DNG with its own neutral and exposure."""
    np.save(tmp_path / "a.npy", scaled(1024))
    picture, lines = render("a.npy", "--format", suffix, *EXACT)
    assert "1 of 1 RAW files rendered" in lines[-1]
    assert psnr(picture / 255, PHOTO / 255) > 38
    dng_with(tmp_path, original_name="photo é.jpg")
    assert psnr(render("a.dng", "--format", suffix)[0] / 255, PHOTO / 255) > 35


def test_a_folder_of_raw_and_bad_files(tmp_path, omf_lines):
    folder = tmp_path / "raw"
    folder.mkdir()
    counts = np.full((30, 40, 4), 300, np.uint16)
    np.save(folder / "a.npy", counts)
    np.savez(folder / "b.npz", raw=counts, white_level=4095, black_level=64, cfa="RGGB")
    np.savez(folder / "no_levels.npz", raw=counts)
    np.save(folder / "float.npy", counts / 1000)
    (folder / "broken.dng").write_bytes(b"II*\0 no")
    (folder / "notes.txt").write_text("no RAW")
    code, lines = omf_lines("render", folder, "-o", tmp_path / "out")
    assert code == 1
    for words in (
        "2 of 5 RAW files rendered",
        "no_levels.npz: its levels are unknown; give --white-level",
        "float.npy: float64 (30, 40, 4); give uint16",
        "broken.dng: can't be decoded",
    ):
        assert "\n".join(lines).count(words) == 1
    assert {path.name for path in (tmp_path / "out").glob("[!.]*")} == {"a.png", "b.png"}
    code, (line,) = omf_lines("render", tmp_path / "out", "-o", tmp_path / "other")
    assert code == 1 and "no RAW in it; give .npy, .npz or camera RAW" in line


def test_orientation_is_kept_as_a_tag(tmp_path, omf_lines):
    pytest.importorskip("rawpy")
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[274] = orientation
        Image.fromarray(PHOTO[:24, :32]).save(tmp_path / f"{orientation}.png", exif=exif)
    omf_lines("predict", tmp_path, "-o", tmp_path / "dng", "--format", "dng", "--model", "unprocess")
    omf_lines("render", tmp_path / "dng", "-o", tmp_path / "out")
    for orientation in range(1, 9):
        assert read_colours(tmp_path / "dng" / f"{orientation}.dng").orientation == orientation
        with Image.open(tmp_path / "out" / f"{orientation}.png") as image:
            assert image.getexif()[274] == orientation
            assert image.size == (32, 24)


def test_arrays_become_dng(tmp_path):
    linear = linearise_photo(
        PHOTO, replace(mean_settings(CAMERA), saturation=1.0)
    )  # of the camera's mean ISP
    raw, path = raw_of_linear(linear), tmp_path / "a.dng"
    bayer = mosaic(raw)
    for array, levels in (
        (pack(bayer), {"photo": PHOTO, "original_name": "a.jpg"}),
        (bayer, {}),
        (raw, {}),
        ((bayer * 4000).round().astype(np.uint16), {"white_level": 4000}),
    ):
        package.write_dng(array, str(path), **levels)
        np.testing.assert_allclose(read_camera_raw(path).mosaic, bayer, atol=1 / 4000)
        if "photo" in levels:  # with which the colours are estimated
            colours = read_colours(path)
            np.testing.assert_allclose(colours.neutral, NEUTRAL, rtol=0.02)
            assert colours.baseline_exposure == pytest.approx(0, abs=0.05)
            d65 = colours.matrix  # of another camera
            np.testing.assert_allclose(d65, CAMERA.mean_colour_matrix, atol=0.02)


@pytest.mark.parametrize(
    ("array", "options", "words"),
    [
        (np.zeros((4, 4), np.uint8), {}, "an array of uint8"),
        (np.zeros((4, 4, 2)), {}, r"an array of \(4, 4, 2\)"),
        (np.zeros((4, 4), np.uint16), {}, "unknown white level"),
        (np.full((4, 4), 1.5), {}, "outside of"),
        (np.full((4, 4), np.nan), {}, "not finite"),
        (np.zeros((1, 4)), {}, "needs 2 x 2 pixels"),
        (np.zeros((4, 4, 4)), {"cfa": "BGGR"}, "packed RAW is RGGB"),
        (np.zeros((4, 4)), {"cfa": "RYYB"}, "cfa RYYB: give one of"),
        (np.zeros((4, 4)), {"black_level": 20000}, "give 0 <= black < white"),
        (np.zeros((4, 4)), {"photo": np.zeros((6, 4, 3), np.uint8)}, "of the same size"),
        (np.zeros((4, 4)), {"photo": np.zeros((4, 4, 3))}, "give uint8 or uint16"),
        (np.zeros((4, 4)), {"photo": [[1]]}, "give uint8 or uint16"),
        (np.zeros((4, 4)), {"camera": "none"}, "camera none"),
        (np.zeros((4, 4)), {"neutral": (0, 1)}, "neutral .* give values above 0"),
        (np.zeros((4, 4)), {"neutral": "ab"}, "neutral ab; give values above 0"),
        (np.zeros((4, 4)), {"neutral": (1e-9, 1e9)}, "give ratios up to 1000"),
        (np.zeros((4, 4)), {"baseline_exposure": float("nan")}, "give stops, from -32 to 32"),
        (np.zeros((4, 4)), {"baseline_exposure": "1"}, "give stops, from -32 to 32"),
        (np.zeros((4, 4)), {"black_level": 0.5}, "give whole numbers"),
        (np.zeros((4, 4)), {"white_level": "1023"}, "give whole numbers"),
    ],
)
def test_arrays_that_are_no_raw_are_refused(tmp_path, array, options, words):
    with pytest.raises(InputError, match=words):
        package.write_dng(array, tmp_path / "a.dng", **options)
    assert not (tmp_path / "a.dng").exists()


def test_forms_of_a_neutral(tmp_path):
    written = set()
    for neutral in ((0.5, 0.6), np.array([0.5, 0.6]), [1.0, 2.0, 1.2]):
        package.write_dng(np.full((4, 4), 0.5), tmp_path / "a.dng", neutral=neutral)
        written.add((tmp_path / "a.dng").read_bytes())
    assert len(written) == 1


def test_places_that_are_no_dng_are_refused(tmp_path):
    (tmp_path / "file").touch()
    for path, words in ((tmp_path / "a.tif", r"ends in \.dng"), (tmp_path / "file" / "a.dng", "be written")):
        assert_refused(words, lambda path: package.write_dng(np.zeros((4, 4)), path), path)


def test_a_missing_rawpy_is_told_once(tmp_path, monkeypatch, omf_lines):
    for name in ("a.dng", "b.dng"):
        (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, "rawpy", None)
    _, lines = omf_lines("render", tmp_path, "-o", tmp_path / "out")
    assert len(lines) == 1 and "camera RAW needs rawpy; install it with: pip install" in lines[0]


@pytest.fixture
def render(tmp_path, omf_lines):
    """Return a function that calls `omf render`: the picture, or None, and the lines of stderr."""

    def call(name, *options):
        code, lines = omf_lines("render", tmp_path / name, "-o", tmp_path / "out", *options)
        (picture,) = (tmp_path / "out").glob(f"{Path(name).stem}.*") if code == 0 else (None,)
        return (picture and iio.imread(picture)), lines

    return call


@pytest.mark.parametrize(
    ("name", "array", "levels", "options"),
    [
        ("a.npz", scaled(16383), {"white_level": 16383}, []),
        ("a.npz", scaled(16383, 512), {"white_level": 16383, "black_level": 512, "cfa": "RGGB"}, []),
        ("a.npz", scaled(4095), {"max_val": 4095}, []),
        ("a.npz", scaled(4095), {"white_level": 4095, "max_val": 7}, []),
        ("a.npz", scaled(4095), {"white_level": 60000}, ["--white-level", "4095"]),
        ("a.npz", scaled(4095, 64), {"white_level": 4095}, ["--black-level", "64"]),
        ("a.npz", unpack(scaled(1023)), {"white_level": 1023}, []),
        ("a.npz", mosaic(raw_of(PHOTO, 1.5), "GBRG"), {"white_level": 9999, "cfa": "GBRG"}, []),
        ("a.npy", scaled(1024), {}, []),
        ("a.npy", scaled(4095), {}, ["--challenge", "ntire2025"]),
        ("a.npy", scaled(16383, 256), {}, ["--white-level", "16383", "--black-level", "256"]),
        ("a.npy", unpack(scaled(16383)), {}, ["--white-level", "16383"]),
        ("a.npy", unpack(scaled(16383, 64)), {}, ["--white-level", "16383", "--black-level", "64"]),
    ],
)
def test_levels_are_those_of_the_user_or_of_the_file(tmp_path, render, name, array, levels, options):
    array = (array * 9999).round().astype(np.uint16) if array.dtype == np.float32 else array
    np.savez(tmp_path / name, raw=array, **levels) if name == "a.npz" else np.save(tmp_path / name, array)
    picture, _ = render(name, *EXACT, *options)
    assert psnr(picture / 255, PHOTO / 255) > 38


NO_NUMBER = "give a whole number"


@pytest.mark.parametrize(
    ("array", "levels", "options", "words"),  # levels of .npz, None: .npy
    [
        (unpack(scaled(16383)), None, [], "its levels are unknown; give --white-level"),
        (scaled(16383), None, [], "but the white level is 1024; give --white-level COUNTS, or the --chall"),
        (scaled(1024), None, ["--black-level", 1024], "black level 1024, white level 1024; black must"),
        (scaled(1024), None, ["--black-level", -5], "black level -5"),
        (scaled(1024), None, ["--white-level", 0], "white level 0"),
        (scaled(1023)[:0], None, [], "a Bayer cell needs 2 x 2"),
        (unpack(scaled(1023))[:1], None, ["--white-level", 1023], "a Bayer cell needs 2 x 2"),
        (scaled(1023), {}, [], "its levels are unknown"),
        (scaled(1023), {"white_level": 64, "black_level": 64}, [], "black level 64, white level 64"),
        (scaled(16383), {"white_level": 1023}, [], "but the white level is 1023"),
        (scaled(1023), {"white_level": np.nan}, [], f"white_level is nan; {NO_NUMBER}"),
        (scaled(1023), {"white_level": np.inf}, [], f"white_level is inf; {NO_NUMBER}"),
        (scaled(1023), {"white_level": 1023.5}, [], f"white_level is 1023.5; {NO_NUMBER}"),
        (scaled(1023), {"white_level": [1023, 1]}, [], NO_NUMBER),
        (scaled(1023), {"white_level": "white"}, [], f"white_level is white; {NO_NUMBER}"),
        (scaled(1023), {"white_level": 1023, "cfa": "RGBW"}, [], "the CFA is RGBW; give one of RGGB"),
    ],
)
def test_unknown_or_wrong_levels_are_one_line(tmp_path, render, array, levels, options, words):
    name = "a.npy" if levels is None else "a.npz"
    np.save(tmp_path / name, array) if levels is None else np.savez(tmp_path / name, raw=array, **levels)
    picture, (line,) = render(name, "-q", *EXACT, *options)
    assert picture is None
    assert line.startswith(f"problem: {tmp_path / name}: ") and words in line


def dng_with(tmp_path, matrix: np.ndarray | None = None, **options):
    """Write a DNG; put another matrix into it in place."""
    path = tmp_path / "a.dng"
    known = {"neutral": (0.55, 0.62), "baseline_exposure": np.log2(1.5), "white_level": 4095}
    package.write_dng(scaled(4095), path, **known | options)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tags = tiff.pages.first.tags
        for code in (50721, 50722) if matrix is not None else ():
            tags[code].overwrite([part for value in matrix.ravel() for part in (int(value), int(value != 0))])
    return path


@pytest.mark.parametrize("matrix", [None, np.zeros((3, 3)), np.ones((3, 3)), np.diag([1, 1, 0])])
def test_a_dng_without_a_usable_matrix_has_guessed_colours(tmp_path, render, matrix):
    pytest.importorskip("rawpy")
    path = dng_with(tmp_path, matrix)
    if matrix is None:
        codes = struct.pack("<HH", 50721, 10), struct.pack("<HH", 50722, 10)  # SRATIONAL
        content = path.read_bytes()
        for number, code in enumerate(codes):
            content = content.replace(code, struct.pack("<HH", 60_000 + number, 10), 1)
        path.write_bytes(content)
    picture, (line,) = render("a.dng", "-q")
    assert picture.shape == PHOTO.shape
    assert "a.dng: no usable colour matrix in it; its colours are a guess, those of samsung_s7" in line
