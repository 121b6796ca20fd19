"""Photo decoding: formats, bit depths, colour profiles, orientation, and damaged files."""

import struct
import sys
import warnings

import imagecodecs
import numpy as np
import PIL
import pytest
import tifffile
from conftest import random_rgb
from picture_files import P3, SRGB_COLORANTS, SRGB_CURVE, icc_profile, save_heic, save_png_16
from PIL import Image, ImageCms

from omf.io.exif import read_exif
from omf.io.images import read_reduced, read_rgb
from omf.io.photos import find_photos, list_images
from omf.raw.isp import decode_srgb, encode_srgb
from omf.utils.errors import InputError

RGB = random_rgb(20, 31)
RGB16 = random_rgb(20, 31, dtype=np.uint16)


def pillow(pixels, **options):
    return lambda path: Image.fromarray(pixels).save(path, **options)


def tiff(pixels, **options):
    return lambda path: tifffile.imwrite(path, pixels, **{"photometric": "rgb", "metadata": None} | options)


def png_16(pixels):
    return lambda path: path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))


ALPHA = np.random.default_rng(0).integers(0, 256, RGB.shape[:2]).astype(np.uint8)
PALETTE = Image.fromarray(RGB).quantize(16)
DARK = RGB[..., :1] > 128
LOSSLESS = {  # name of the file: function that writes it, and the pixels, of one channel or three
    "a.png": (pillow(RGB), RGB),
    "A.PNG": (pillow(RGB), RGB),
    "a.tif": (pillow(RGB), RGB),
    "with space.tiff": (pillow(RGB), RGB),
    "a.webp": (pillow(RGB, lossless=True), RGB),
    "heic.jpg": (lambda path: save_heic(path, RGB), RGB),
    "grey.png": (pillow(RGB[..., 1]), RGB[..., 1:2]),
    "grey.tif": (pillow(RGB[..., 1]), RGB[..., 1:2]),
    "alpha.png": (pillow(np.dstack([RGB, ALPHA])), RGB),
    "palette.png": (PALETTE.save, np.asarray(PALETTE.convert("RGB"))),
    "bilevel.tif": (pillow(DARK[..., 0]), DARK * np.uint8(255)),
    "white is 0.tif": (tiff(255 - RGB[..., 0], photometric="miniswhite"), RGB[..., :1]),
    "16 bit.png": (png_16(RGB16), RGB16),
    "16 bit, grey.png": (png_16(RGB16[..., 0]), RGB16[..., :1]),
    "16 bit, alpha.png": (png_16(np.dstack([RGB16, ALPHA.astype(np.uint16)])), RGB16),
    "16 bit.tif": (tiff(RGB16), RGB16),
    "16 bit, zlib.tif": (tiff(RGB16, compression="zlib", predictor=True), RGB16),
    "16 bit, lzw.tif": (tiff(RGB16, compression="lzw"), RGB16),
    "16 bit, planar.tif": (tiff(np.moveaxis(RGB16, -1, 0), planarconfig="separate"), RGB16),
    "16 bit, grey.tif": (tiff(RGB16[..., 0], photometric="minisblack"), RGB16[..., :1]),
    "16 bit, white is 0.tif": (tiff(65535 - RGB16[..., 0], photometric="miniswhite"), RGB16[..., :1]),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_samples_are_unchanged(tmp_path, name):
    write, expected = LOSSLESS[name]
    write(tmp_path / name)
    pixels = read_rgb(tmp_path / name)
    assert pixels.dtype == expected.dtype
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, RGB.shape))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.avif", "palette.png", "palette.tif"])
@pytest.mark.parametrize("strict", [False, True])
def test_photos_beyond_pillows_limit_of_this_process(tmp_path, monkeypatch, name, strict):
    image = Image.fromarray(RGB)
    (image.quantize(16) if name.startswith("palette") else image).save(tmp_path / name)
    expected = read_rgb(tmp_path / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", RGB[..., 0].size // 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "default")
        assert (read_rgb(tmp_path / name) == expected).all()
        read_exif(tmp_path / name)


def test_webp_keeps_pillows_limit_in_one_line(tmp_path, monkeypatch):
    Image.fromarray(RGB).save(tmp_path / "a.webp")
    assert read_rgb(tmp_path / "a.webp").shape == RGB.shape
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", RGB[..., 0].size // 3)
    if int(PIL.__version__.partition(".")[0]) < 13:  # whose reader of WebP has no limit
        assert read_rgb(tmp_path / "a.webp").shape == RGB.shape
        return
    with pytest.raises(InputError, match=r"a\.webp: can't be decoded \(Image size .* exceeds limit"):
        read_rgb(tmp_path / "a.webp")


def test_10_bit_heic_is_scaled_to_16_bits(tmp_path):
    save_heic(tmp_path / "a.heic", RGB16, "RGB;16")
    stored = RGB16 >> 6
    assert (read_rgb(tmp_path / "a.heic") == stored.astype(np.uint32) * 65535 // 1023).all()


def test_primary_image_of_heic_with_several_images(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    file = pillow_heif.from_pillow(Image.fromarray(random_rgb(64, 80, seed=1)))
    file.add_from_pillow(Image.fromarray(RGB))
    file.save(tmp_path / "a.heic", quality=-1, chroma=444, matrix_coefficients=0, primary_index=1)
    assert (read_rgb(tmp_path / "a.heic") == RGB).all()


def test_without_pillow_heif(tmp_path, monkeypatch):
    save_heic(tmp_path / "a.heic", RGB)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(InputError, match=r"a\.heic: .*pip install 'overexposure-mask-fusion\[heic\]'"):
        read_rgb(tmp_path / "a.heic")


def test_hdr_heic_is_rejected(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    image = pillow_heif.from_pillow(Image.fromarray(RGB))
    image.save(tmp_path / "a.heic", color_primaries=9, transfer_characteristics=16)
    with pytest.raises(InputError, match=r"primaries 9, transfer 16\); save it as sRGB"):
        read_rgb(tmp_path / "a.heic")


@pytest.mark.parametrize("name", ["ink.jpg", "ink.tif"])
def test_cmyk(tmp_path, name):
    """CMYK is inverted in JPEG, as Adobe writes it."""
    cyan, magenta, yellow = (255 - np.moveaxis(RGB, -1, 0)).astype(np.uint8)
    black = np.full_like(cyan, 51)
    Image.merge("CMYK", [Image.fromarray(ink) for ink in (cyan, magenta, yellow, black)]).save(
        tmp_path / name, quality=100, subsampling=0
    )
    expected = RGB * 0.8
    assert np.abs(read_rgb(tmp_path / name) - expected).mean() < 1


def p3_to_srgb(rgb: np.ndarray) -> np.ndarray:
    """Convert Display P3 to sRGB, float in the same range, from the chromaticities.

    Both spaces share transfer function and white point.
    """

    def to_xyz(*primaries):
        red_to_white = np.array([(x / y, 1, (1 - x - y) / y) for x, y in (*primaries, (0.3127, 0.3290))]).T
        xyz = red_to_white[:, :3]
        return xyz * np.linalg.solve(xyz, red_to_white[:, 3])

    p3 = to_xyz((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
    srgb = to_xyz((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
    full = np.iinfo(rgb.dtype).max
    return full * encode_srgb(np.clip(decode_srgb(rgb / full) @ np.linalg.solve(srgb, p3).T, 0, 1))


CUBE = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
CUBE16 = np.random.default_rng(0).integers(0, 65536, (40, 60, 3)).astype(np.uint16)


WITH_PROFILE = {
    "rgb.png": pillow(CUBE, icc_profile=P3),
    "alpha.png": pillow(np.dstack([CUBE, CUBE[..., :1]]), icc_profile=P3),
    "rgb.tif": pillow(CUBE, icc_profile=P3),
    "rgb.heic": lambda path: save_heic(path, CUBE, icc_profile=P3, icc_profile_type="prof"),
    "sixteen.png": lambda path: save_png_16(path, CUBE16, P3),
    "sixteen.tif": tiff(CUBE16, iccprofile=P3),
}


@pytest.mark.parametrize("name", WITH_PROFILE)
def test_display_p3_is_converted_to_srgb(tmp_path, name):
    WITH_PROFILE[name](tmp_path / name)
    pixels = read_rgb(tmp_path / name)
    stored = CUBE16 if "sixteen" in name else CUBE
    assert pixels.dtype == stored.dtype
    error = np.abs(pixels - p3_to_srgb(stored))
    assert error.max() < (150 if "sixteen" in name else 1.1)
    assert np.abs(stored - p3_to_srgb(stored)).mean() > 20 * error.mean()


def test_display_p3_in_jpeg_and_palette(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", quality=100, subsampling=0, icc_profile=P3)
    stored = np.asarray(Image.open(tmp_path / "a.jpg"))
    assert np.abs(read_rgb(tmp_path / "a.jpg") - p3_to_srgb(stored)).max() < 1.1
    palette = Image.fromarray(RGB).quantize(16)
    palette.save(tmp_path / "p.png", icc_profile=P3)
    assert np.abs(read_rgb(tmp_path / "p.png") - p3_to_srgb(np.asarray(palette.convert("RGB")))).max() < 1.1


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_at_a_reduced_size(tmp_path, mode):
    """In the same colours, and at the first of the sizes of a JPEG decoder that is not too small."""
    smooth = Image.fromarray(RGB[:2, :2]).resize((400, 240), Image.Resampling.BICUBIC)
    profile = {"icc_profile": P3} if mode == "RGB" else {}
    smooth.convert(mode).save(tmp_path / "a.jpg", quality=100, subsampling=0, **profile)
    full = read_rgb(tmp_path / "a.jpg")
    assert read_reduced(tmp_path / "a.jpg", 400).shape == full.shape == (240, 400, 3)
    reduced = read_reduced(tmp_path / "a.jpg", 60)
    if mode == "CMYK":
        np.testing.assert_array_equal(reduced, full)
    else:
        assert reduced.shape == (60, 100, 3)
        assert np.abs(reduced - full.reshape(60, 4, 100, 4, 3).mean(axis=(1, 3))).max() < 3


def test_other_photos_at_a_reduced_size_are_those_at_full_size(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_reduced(tmp_path / "a.png", 2), RGB)
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    with pytest.raises(InputError, match=r"a\.jpg: can't be decoded"):
        read_reduced(tmp_path / "a.jpg", 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_linear_grey_profile(tmp_path, dtype):
    full = np.iinfo(dtype).max
    grey = np.linspace(0, full, 60).astype(dtype).reshape(6, 10)
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric="minisblack", iccprofile=icc_profile((), (1.0,)))
    assert np.abs(read_rgb(tmp_path / "a.tif") / full - encode_srgb(grey / full)[..., None]).max() < 0.006


def test_linear_rgb_profile(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "linear.png", icc_profile=icc_profile())
    expected = 255 * encode_srgb(RGB / 255)
    assert np.abs(read_rgb(tmp_path / "linear.png") - expected).max() <= 2


@pytest.mark.parametrize(
    "profile",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        icc_profile(SRGB_COLORANTS, SRGB_CURVE),
        icc_profile((), (1.0,)),  # for grey
        P3[:200],
        b"not a profile",
    ],
)
def test_srgb_and_invalid_profiles_are_ignored(tmp_path, profile):
    Image.fromarray(RGB).save(tmp_path / "a.png", icc_profile=profile)
    assert (read_rgb(tmp_path / "a.png") == RGB).all()


LARGER = random_rgb(120, 160)
INTACT = {
    "baseline.jpg": pillow(LARGER),
    "progressive.jpg": pillow(LARGER, progressive=True),
    "ink.jpg": lambda path: Image.fromarray(LARGER).convert("CMYK").save(path),
    "eight.png": pillow(LARGER),
    "sixteen.png": png_16(LARGER.astype(np.uint16) * 257),
    "eight.tif": tiff(LARGER),
    "packed.tif": tiff(LARGER, compression="lzw", rowsperstrip=10),
    "sixteen.tif": tiff(LARGER.astype(np.uint16), compression="zlib", rowsperstrip=10),
    "plain.tif": tiff(LARGER.astype(np.uint16)),
    "photo.heic": lambda path: save_heic(path, LARGER),
    "photo.webp": pillow(LARGER),
    "photo.avif": pillow(LARGER),
}


@pytest.mark.parametrize("name", INTACT)
def test_truncated_files_are_rejected(tmp_path, name):
    path = tmp_path / name
    INTACT[name](path)
    content = path.read_bytes()
    assert read_rgb(path).shape == LARGER.shape
    for length in (13, 40, 150, *(int(len(content) * fraction) for fraction in (0.02, 0.1, 0.5, 0.9, 0.99))):
        path.write_bytes(content[:length])
        with pytest.raises(InputError) as caught:
            read_rgb(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_raw_next_to_its_photo_is_excluded(tmp_path):
    (tmp_path / "other").mkdir()
    for name in (
        "a.jpg",
        "a.dng",
        "b.HEIC",
        "b.CR2",
        "b.nef",
        "c.dng",
        "d.gif",
        "d.arw",
        "other/a.dng",
        ".e.jpg",
    ):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.HEIC", "c.dng", "d.arw", "d.gif"]
    given = [tmp_path / "a.dng", tmp_path / "a.jpg", tmp_path / "other"]  # as expanded from a shell's *
    assert find_photos(given) == [tmp_path / "a.jpg", tmp_path / "other" / "a.dng"]


def test_folder_without_photos_is_rejected(tmp_path):
    with pytest.raises(InputError, match="no pictures in it"):
        list_images(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        list_images(tmp_path / "nowhere")


def set_tags(path, tags: dict[int, int]) -> None:
    """Change tags of a TIFF file in place."""
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for tag, value in tags.items():
            tiff.pages.first.tags[tag].overwrite(value)


@pytest.mark.parametrize(
    ("tag", "value", "message"),
    [
        (256, 20_000, "can.t be decoded"),  # ImageWidth
        (262, 12_345, "12345 colours in 16 bits"),  # PhotometricInterpretation
        (273, 2**31, "parts of the image are not in the file"),  # StripOffsets
        (279, 2**32 - 1, "parts of the image are not in the file"),  # StripByteCounts
        (279, 0, "parts of the image are not in the file"),
        (277, 60_000, "samples"),  # SamplesPerPixel
    ],
)
def test_invalid_tiff_tags_are_rejected(tmp_path, tag, value, message):
    tiff(RGB16)(tmp_path / "a.tif")
    set_tags(tmp_path / "a.tif", {tag: value})
    with pytest.raises(InputError, match=message) as caught:
        read_rgb(tmp_path / "a.tif")
    assert str(caught.value).startswith(str(tmp_path / "a.tif"))


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])  # read by tifffile, and by Pillow
def test_ycbcr_in_tiff_is_converted(tmp_path, compression):
    stored = Image.fromarray(RGB).convert("YCbCr")
    stored.save(tmp_path / "a.tif", compression=compression)
    rgb = np.asarray(stored.convert("RGB")).astype(int)
    assert np.abs(read_rgb(tmp_path / "a.tif") - rgb).max() <= 2  # two libraries round differently


@pytest.mark.parametrize("photometric", ["ycbcr", "rgb"])  # read by Pillow, and by tifffile
def test_jpeg_in_tiff_beyond_the_end_of_the_file_is_not_read(tmp_path, photometric):
    """Nothing requests the gigabytes that the file says it has."""
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric=photometric, compression="jpeg")
    set_tags(tmp_path / "a.tif", {279: 2**32 - 1})  # StripByteCounts
    with pytest.raises(InputError, match="parts of the image are not in the file"):
        read_rgb(tmp_path / "a.tif")


def test_tile_larger_than_the_image_is_rejected(tmp_path):
    tiff(RGB16, tile=(32, 32), compression="zlib")(tmp_path / "a.tif")
    set_tags(tmp_path / "a.tif", {322: 2**15, 323: 2**15})  # TileWidth, TileLength
    with pytest.raises(InputError, match="tiles or strips of 3221225472 samples, more than the image has"):
        read_rgb(tmp_path / "a.tif")


def test_large_blank_image_is_accepted(tmp_path):
    Image.new("L", (5000, 5000), 255).save(tmp_path / "blank.png")
    assert read_rgb(tmp_path / "blank.png").shape == (5000, 5000, 3)


def test_png_chunk_beyond_the_end_of_the_file_is_rejected(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    position = data.index(b"IEND") - 4
    chunk = struct.pack(">I", 2**31 - 1) + b"tEXt"
    (tmp_path / "a.png").write_bytes(data[:position] + chunk + data[position:])
    with pytest.raises(InputError, match=r"a\.png: can't be decoded \(cut short\)"):
        read_rgb(tmp_path / "a.png")
