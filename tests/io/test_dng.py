"""DNG files, read back with independent software."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import ROOT, run
from picture_files import assert_refused
from PIL import Image
from PIL.TiffImagePlugin import IFDRational
from scipy.stats import spearmanr

from omf.inference.unprocess import Unprocess
from omf.io.dng import colour_tags, save_dng
from omf.io.exif import read_exif
from omf.io.images import read_rgb
from omf.raw.bayer import demosaic, mosaic_full
from omf.raw.camera import load_camera
from omf.raw.scenes import SCENES
from omf.raw.simulator import linear_raw, sample_settings, simulate_pair
from omf.raw.white_balance import estimate_neutral

rawpy = pytest.importorskip("rawpy")

CAMERA = load_camera("samsung_s7")
GREY = np.full((48, 64, 3), 99, np.uint8)
MIN_CORRELATION = 0.95  # rank correlation of each channel between the photo and LibRaw's rendering of the DNG


def write(path: Path, counts: np.ndarray, **options) -> Path:
    """Write a DNG file with default options, except for `options`, and return its path."""
    levels = {"cfa": "RGGB", "black_level": 0, "white_level": 16383}
    origin = {"neutral": np.array([0.5, 1, 0.6]), "camera": CAMERA, "model": "some_model"}
    save_dng(path, counts, options.pop("preview", GREY), **levels | origin | options)
    return path


def random_counts(height: int, width: int, white: int = 16383) -> np.ndarray:
    return np.random.default_rng(0).integers(0, white + 1, (height, width), np.uint16)


def reconstruct(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a sample photo and its demosaiced RAW, reconstructed by the classical method."""
    rgb = read_rgb(ROOT / "test_rgb" / name)
    return rgb, Unprocess(CAMERA)(rgb, "photo")


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("shape", [(240, 320), (301, 403), (256, 256), (24, 40), (257, 600)])
@pytest.mark.parametrize(
    ("cfa", "black", "white"),
    [("RGGB", 0, 1023), ("GRBG", 64, 4095), ("GBRG", 1024, 16383), ("BGGR", 0, 65535)],
)
def test_libraw_reads_every_sample(tmp_path, compressed, shape, cfa, black, white):
    counts = random_counts(*shape, white)
    levels = {"cfa": cfa, "black_level": black, "white_level": white}
    path = write(tmp_path / "x.dng", counts, compressed=compressed, **levels)
    with rawpy.imread(str(path)) as raw:
        np.testing.assert_array_equal(raw.raw_image_visible, counts)
        assert (set(raw.black_level_per_channel), raw.white_level) == ({black}, white)
        assert "".join(chr(raw.color_desc[i]) for i in raw.raw_colors_visible[:2, :2].ravel()) == cfa
        red, green, blue, _ = raw.camera_whitebalance
        assert (green / red, green / blue) == pytest.approx((0.5, 0.6), rel=1e-4)
    with tifffile.TiffFile(path) as dng:
        assert dng.pages.first.pages.first.bitspersample == 16


def test_compression_reduces_the_size_and_bytes_are_reproducible(tmp_path):
    _, raw = reconstruct("astronaut.jpg")
    counts = (mosaic_full(raw) * 16383).astype(np.uint16)
    small = write(tmp_path / "small.dng", counts).read_bytes()
    large = write(tmp_path / "large.dng", counts, compressed=False).read_bytes()
    assert len(small) < 0.85 * len(large)
    assert write(tmp_path / "again.dng", counts).read_bytes() == small


def rank_correlation(rendering: np.ndarray, rgb: np.ndarray) -> float:
    """Return the lowest rank correlation of the channels of a half-size rendering and a photo.

    It is computed over blocks of 8 x 8 pixels. Ranks make it independent of tone curves.
    """
    photo = np.asarray(Image.fromarray(rgb).resize(rendering.shape[1::-1], Image.Resampling.BOX))
    height, width = (size // 8 for size in rendering.shape[:2])
    blocks = [
        image[: height * 8, : width * 8].reshape(height, 8, width, 8, 3).mean(axis=(1, 3)).reshape(-1, 3)
        for image in (rendering, photo)
    ]
    return min(spearmanr(blocks[0][:, channel], blocks[1][:, channel]).statistic for channel in range(3))


@pytest.mark.parametrize("name", ["astronaut.jpg", "chelsea.jpg", "leaves_odd.jpg", "night.jpg"])
def test_rendering_by_libraw_resembles_the_photo(tmp_path, name):
    rgb, raw = reconstruct(name)
    options = {"neutral": estimate_neutral(raw, rgb, CAMERA), "preview": rgb}

    def correlation(counts: np.ndarray, cfa: str) -> float:
        path = write(tmp_path / "x.dng", counts, cfa=cfa, **options)
        with rawpy.imread(str(path)) as dng:
            rendering = dng.postprocess(use_camera_wb=True, no_auto_bright=True, half_size=True)
        return rank_correlation(rendering, rgb)

    counts = (mosaic_full(raw, "GRBG") * 16383).astype(np.uint16)
    assert correlation(counts, "GRBG") > MIN_CORRELATION
    # the check detects errors
    assert correlation(counts, "GBRG") < MIN_CORRELATION  # red and blue exchanged
    assert correlation(counts, "RGGB") < MIN_CORRELATION  # shifted by a row
    assert correlation(np.ascontiguousarray(counts[::-1, ::-1]), "GBRG") < MIN_CORRELATION  # rotated


def test_the_forward_matrix_maps_grey_to_grey():
    tags = {tag: values for tag, _, _, values in colour_tags(CAMERA, CAMERA.mean_neutral)}
    for tag in ("ForwardMatrix1", "ForwardMatrix2"):
        forward = np.reshape(np.array(tags[tag])[::2] / np.array(tags[tag])[1::2], (3, 3))
        assert forward @ np.ones(3) == pytest.approx([0.9642, 1.0, 0.8251], abs=2e-3)  # white under D50


@pytest.mark.parametrize(
    ("camera", "half", "nine_of_ten"),
    [(replace(CAMERA, tone_groups=()), 0.03, 0.12), (CAMERA, 0.04, 0.15)],
    ids=["little contrast", "also strong contrast"],
)
def test_neutral_is_estimated_on_simulated_photos(camera, half, nine_of_ten):
    """The errors of the camera's mean neutral are several times as large."""
    errors, baseline_errors = [], []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        # as the camera renders, without the extra curves of the challenge's inputs
        settings = replace(sample_settings(camera, rng), extra_curve=0)
        scene = SCENES[seed % len(SCENES)](128, 128, rng).astype(np.float32)
        rgb, counts = simulate_pair(scene, settings, camera, rng)
        raw = np.clip(demosaic(linear_raw(counts, camera)), 0, 1)
        estimate = estimate_neutral(raw[: rgb.shape[0], : rgb.shape[1]], rgb, camera)
        assert estimate[1] == 1
        errors.append(np.abs(np.log(estimate / settings.neutral)).max())
        baseline_errors.append(np.abs(np.log(camera.mean_neutral / settings.neutral)).max())
    assert np.median(errors) < min(half, 0.3 * np.median(baseline_errors))
    assert np.quantile(errors, 0.9) < nine_of_ten


def photo_with_exif(path: Path) -> Path:
    """Write a JPEG with EXIF, personal fields included, and return its path."""
    exif, date = Image.Exif(), "2024:05:06 07:08:09"
    exif.update({271: "Maker", 272: "Model 7", 274: 6, 306: date, 315: "An Owner"})
    exposure = {33434: IFDRational(1, 100), 33437: IFDRational(18, 10), 34855: 200, 36867: date}
    exif.get_ifd(34665).update(exposure | {42036: "A lens", 42033: "SERIAL42", 37500: b"notes"})
    exif.get_ifd(34853).update({1: "N", 2: (48.0, 51.0, 30.0), 3: "E", 4: (2.0, 17.0, 40.0)})
    Image.fromarray(GREY).save(path, exif=exif)
    return path


def test_exif_of_heic(tmp_path):
    exif = Image.open(photo_with_exif(tmp_path / "photo.jpg")).getexif()
    image = pytest.importorskip("pillow_heif").from_pillow(Image.fromarray(GREY))
    image.save(tmp_path / "photo.heic", exif=exif.tobytes())
    heic_exif = read_exif(tmp_path / "photo.heic")
    assert (heic_exif.orientation, heic_exif.make, heic_exif.capture[34855]) == (6, "Maker", 200)
    assert heic_exif.gps == {}


def test_invalid_exif_is_dropped(tmp_path):
    exif = Image.Exif()
    exif[306] = "2024-05-06 07.08.09"
    exif.get_ifd(34665).update(
        {33434: IFDRational(-1, 100), 33437: IFDRational(1, 0), 37380: IFDRational(-1, 3), 34855: (100, 200)}
    )
    Image.fromarray(GREY).save(tmp_path / "photo.jpg", exif=exif)
    valid = read_exif(tmp_path / "photo.jpg")
    assert valid.date == "" and set(valid.capture) == {37380}  # an exposure bias may be negative
    write(tmp_path / "x.dng", random_counts(60, 80), exif=valid)


@pytest.mark.parametrize("gps", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
def test_exiftool_reads_the_tags_without_personal_fields(tmp_path, gps, compressed):
    if not shutil.which("exiftool"):
        pytest.skip("needs exiftool (Debian: apt install libimage-exiftool-perl)")
    exif = read_exif(photo_with_exif(tmp_path / "photo.jpg"), gps)
    options = {"exif": exif, "noise": (1e-3, 1e-6), "baseline_exposure": 0.5, "original_name": "photo.jpg"}
    path = write(tmp_path / "x.dng", random_counts(300, 400), compressed=compressed, **options)
    validation = run("exiftool", "-validate", "-warning", "-error", "-a", path).stdout
    assert validation.split() == ["Validate", ":", "OK"]
    (tags,) = json.loads(run("exiftool", "-json", "-n", path).stdout)
    expected = {"Make": "Maker", "Model": "Model 7", "ExposureTime": 0.01, "FNumber": 1.8, "ISO": 200}
    expected |= {"LensModel": "A lens", "OriginalRawFileName": "photo.jpg", "BaselineExposure": 0.5}
    expected |= {"CalibrationIlluminant1": 17, "CalibrationIlluminant2": 21}  # A and D65
    assert tags.items() >= expected.items()
    assert tags["Software"].startswith("overexposure-mask-fusion")
    assert ("GPSLatitude" in tags) == gps
    content = path.read_bytes()
    assert b"SERIAL42" not in content and b"An Owner" not in content
    for number, light, white in ((1, "A", (1.09850, 1, 0.35585)), (2, "D65", (0.95047, 1, 1.08883))):
        matrix = np.reshape([float(value) for value in tags[f"ColorMatrix{number}"].split()], (3, 3))
        grey = matrix @ white
        np.testing.assert_allclose(grey / grey[1], CAMERA.illuminants[light], atol=2e-3)


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("dcraw", ["-T", "-w", "-c", "IN"]),
        ("rawtherapee-cli", ["-Y", "-o", "OUT", "-c", "IN"]),
        ("darktable-cli", ["IN", "OUT", "--core", "--configdir", "CONFIG", "--library", ":memory:"]),
    ],
)
def test_raw_developers_open_the_file(tmp_path, program, arguments):
    if not shutil.which(program):
        pytest.skip(f"needs {program} (Debian: apt install {program.removesuffix('-cli')})")
    rgb, raw = reconstruct("astronaut.jpg")
    counts, out = (mosaic_full(raw) * 16383).astype(np.uint16), tmp_path / "out.jpg"
    path = write(tmp_path / "x.dng", counts, neutral=estimate_neutral(raw, rgb, CAMERA))
    paths = {"IN": path, "OUT": out, "CONFIG": tmp_path / "config"}
    command = [program, *(paths.get(argument, argument) for argument in arguments)]
    result = subprocess.run(command, capture_output=True, timeout=120)
    assert result.returncode == 0, result.stderr
    if program == "dcraw":
        assert result.stderr == b""
        out.write_bytes(result.stdout)
    rendering = np.asarray(Image.open(out).convert("RGB"))
    assert np.abs(np.array(rendering.shape[:2]) - raw.shape[:2]).max() <= 16  # some developers crop a border
    small = np.asarray(Image.fromarray(rendering).resize((raw.shape[1] // 2, raw.shape[0] // 2)))
    assert rank_correlation(small, rgb) > 0.9


def test_more_than_4_gib_is_refused(tmp_path):
    counts = np.broadcast_to(np.uint16(1), (50_000, 50_000))
    words = "50000 x 50000 pixels take more than 4 GiB"
    assert_refused(words, lambda path: write(path, counts), tmp_path / "x.dng")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("shape", "told"), [((20, 64), True), ((64, 21), False), ((2, 65500), True)])
def test_sizes_that_no_developer_opens_are_told(tmp_path, caplog, shape, told):
    write(tmp_path / "a.dng", np.zeros(shape, np.uint16))
    assert ("RAW developers open DNG files of 21 to 65499 pixels" in caplog.text) == told


def test_developers_show_the_tones_of_the_photo(tmp_path, call_omf):
    photo = tmp_path / "dandelions.png"
    Image.open(ROOT / "test_rgb" / "dandelions.jpg").crop((100, 60, 260, 180)).save(photo)
    raw = tmp_path / "raw"
    assert call_omf("predict", photo, "-o", raw, "--format", "dng", "--device", "cpu").returncode == 0
    with tifffile.TiffFile(raw / "dandelions.dng") as tiff:
        tags = {tag.code: tag.value for tag in tiff.pages.first.tags}
    assert tags[50936] == "Photo" and tags[50730] == (0, 1_000_000)  # ProfileName, BaselineExposure
    points = np.reshape(tags[50940], (-1, 2))
    assert points[0].tolist() == [0, 0] and points[-1].tolist() == [1, 1]
    rgb, errors = read_rgb(photo) / 255, {}
    for tone in ("photo", "none"):
        done = call_omf("render", raw, "-o", tmp_path / tone, "--tone", tone)
        assert done.returncode == 0, done.stderr
        errors[tone] = ((read_rgb(tmp_path / tone / "dandelions.png") / 255 - rgb) ** 2).mean()
    assert -10 * np.log10(errors["photo"]) > 33 and errors["photo"] < errors["none"] / 2


def test_raw_therapee_shows_the_tones_of_the_photo(tmp_path, call_omf):
    """With the DNG itself as input profile."""
    if shutil.which("rawtherapee-cli") is None:
        pytest.skip("needs rawtherapee-cli (Debian: apt install rawtherapee)")
    photo = ROOT / "test_rgb" / "dandelions.jpg"
    assert call_omf("predict", photo, "-o", tmp_path, "--format", "dng", "--device", "cpu").returncode == 0
    dng, rgb, errors = tmp_path / "dandelions.dng", read_rgb(photo) / 255, []
    for name, source in {"own": f"file:{dng}", "camera": "(camera)"}.items():
        settings, out = tmp_path / f"{name}.pp3", tmp_path / f"{name}.png"
        settings.write_text(
            f"[Version]\nAppVersion=5.9\nVersion=346\n[Color Management]\nInputProfile={source}\n"
            "ToneCurve=true\nOutputProfile=RTv4_sRGB\n"
        )
        done = run("rawtherapee-cli", "-q", "-o", out, "-n", "-b8", "-p", settings, "-c", dng)
        assert done.returncode == 0, done.stderr
        picture = read_rgb(out) / 255
        border = (rgb.shape[0] - picture.shape[0]) // 2
        shown = rgb[border : rgb.shape[0] - border, border : rgb.shape[1] - border]
        errors.append(((picture - shown) ** 2).mean())
    assert errors[0] < errors[1] / 3 and -10 * np.log10(errors[0]) > 27
