"""Every format gives the pixels as stored, in sRGB, at its full depth."""

import io
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from conftest import random_rgb
from picture_files import png_chunk, save_heic
from PIL import ExifTags, Image

from omf.io.exif import read_exif
from omf.io.images import read_rgb
from omf.io.photos import list_images, match_shots, shot_name
from omf.raw.isp import encode_srgb
from omf.utils.errors import InputError

ROWS, COLUMNS = np.mgrid[:64, :96]
LINEAR = np.stack([COLUMNS / 95, ROWS / 63, 0.3 + 0 * ROWS], -1)
RGB = (encode_srgb(LINEAR) * 255).round().astype(np.uint8)
# Matrices of linear RGB to CIE XYZ (D65), from the chromaticities that the standards give
SRGB_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
P3_XYZ = np.array([[0.4866, 0.2657, 0.1982], [0.2290, 0.6917, 0.0793], [0.0000, 0.0451, 1.0439]])
BT2020_XYZ = np.array([[0.6370, 0.1446, 0.1689], [0.2627, 0.6780, 0.0593], [0.0000, 0.0281, 1.0610]])
ADOBE_XYZ = np.array([[0.5767, 0.1856, 0.1882], [0.2973, 0.6274, 0.0753], [0.0270, 0.0707, 0.9911]])


def as_srgb(linear: np.ndarray, xyz: np.ndarray) -> np.ndarray:
    """Convert linear RGB of other primaries to sRGB in [0, 1], clipped."""
    return encode_srgb(np.clip(linear @ (np.linalg.inv(SRGB_XYZ) @ xyz).T, 0, 1))


def assert_close(path: Path, expected: np.ndarray, counts: float) -> None:
    """Compare a photo with sRGB in [0, 1], in counts of 255; of 8 bits, dark colours become coarse."""
    rgb = read_rgb(path)
    assert rgb.shape == expected.shape
    given = rgb / np.iinfo(rgb.dtype).max
    assert np.abs(given - expected).max() * 255 <= counts


# TIFF: bits per sample


@pytest.mark.parametrize("bits", [8, 9, 10, 11, 12, 13, 14, 15, 16])
@pytest.mark.parametrize("grey", [False, True])
def test_tiff_is_scaled_by_its_bits(tmp_path, bits, grey):
    stored = (LINEAR * (2**bits - 1)).round().astype(np.uint8 if bits == 8 else np.uint16)
    stored = stored[..., 0] if grey else stored
    kind = "minisblack" if grey else "rgb"
    tifffile.imwrite(tmp_path / "a.tif", stored, bitspersample=bits, photometric=kind, metadata=None)
    rgb = read_rgb(tmp_path / "a.tif")
    assert rgb.dtype == (np.uint8 if bits == 8 else np.uint16)
    expected = np.broadcast_to(stored[..., None] if grey else stored, rgb.shape) / (2**bits - 1)
    assert np.abs(rgb / np.iinfo(rgb.dtype).max - expected).max() <= 1 / 65535


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.int16, np.uint32])
def test_tiff_of_other_samples_is_refused(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", (LINEAR * 100).astype(dtype), photometric="rgb")
    with pytest.raises(InputError, match=rf"a\.tif: {np.dtype(dtype)} samples; save it with 8 or 16 bits"):
        read_rgb(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_multiplied_by_alpha_are_divided(tmp_path, dtype):
    largest = np.iinfo(dtype).max
    alpha = np.linspace(0.2, 1, 96) * np.ones((64, 1))
    stored = np.dstack([LINEAR * alpha[..., None], alpha])
    stored = (stored * largest).round().astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    assert np.abs(read_rgb(tmp_path / "a.tif") / largest - LINEAR).max() < 5 / largest
    tifffile.imwrite(tmp_path / "b.tif", stored, photometric="rgb", extrasamples=["unassalpha"])
    assert (read_rgb(tmp_path / "b.tif") == stored[..., :3]).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("inside", [False, True])
def test_a_preview_in_front_is_passed_over(tmp_path, dtype, inside):
    rgb = random_rgb(64, 96, dtype=dtype)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        options = {"photometric": "rgb", "metadata": None}
        tiff.write(rgb[::4, ::4], subfiletype=1, subifds=int(inside), **options)
        tiff.write(rgb, subfiletype=0, **options)
    assert (read_rgb(tmp_path / "a.tif") == rgb).all()


def test_a_tiff_of_previews_only_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", subfiletype=1)
    with pytest.raises(InputError, match="contains only previews"):
        read_rgb(tmp_path / "a.tif")


# Orientation: pixels as stored, the tag for the RAW file


def write_oriented(path: Path, rgb: np.ndarray, orientation: int) -> None:
    """Write pixels with an orientation, in the format of the suffix."""
    image, tag = Image.fromarray(rgb), {"extratags": [(274, "H", 1, orientation, True)], "photometric": "rgb"}
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {".jpg": {"quality": 95}, ".webp": {"lossless": True}, ".avif": {"quality": 95}}
    match path.name:
        case "palette.tif":
            image.quantize(256).save(path, tiffinfo=exif)
        case "jpeg.tif":
            image.save(path, compression="jpeg", quality=95, tiffinfo=exif)
        case "zlib.tif":
            tifffile.imwrite(path, rgb, compression="zlib", **tag)
        case "a.tif":
            tifffile.imwrite(path, rgb, **tag)
        case "deep.tif":
            tifffile.imwrite(path, rgb.astype(np.uint16) * 257, **tag)
        case "a.heic":  # as phones do, pillow-heif also writes it as transforms of the container
            save_heic(path, rgb, exif=exif.tobytes())
        case _:
            image.save(path, exif=exif.tobytes(), **options.get(path.suffix, {}))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("name", "error"),  # the mean one; that of a turned image is larger
    [
        *(("a.tif", 0), ("zlib.tif", 0), ("deep.tif", 0), ("a.png", 0), ("a.webp", 0), ("a.heic", 0)),
        *(("palette.tif", 0.02), ("jpeg.tif", 0.02), ("a.jpg", 0.02), ("a.avif", 0.02)),
    ],
)
def test_pixels_stay_as_stored_in_all_orientations(tmp_path, name, error, orientation):
    path = tmp_path / name
    write_oriented(path, RGB, orientation)
    rgb = read_rgb(path)
    assert rgb.shape == RGB.shape
    assert np.abs(rgb / np.iinfo(rgb.dtype).max - RGB / 255).mean() <= error
    assert read_exif(path).orientation == orientation


# Colours that the format itself describes


def png_with(path: Path, rgb: np.ndarray, *chunks: tuple[bytes, bytes]) -> None:
    """Write a PNG file with chunks behind its header."""
    file = io.BytesIO()
    if rgb.dtype == np.uint16:
        file.write(imagecodecs.png_encode(rgb))
    else:
        Image.fromarray(rgb).save(file, "PNG")
    data = file.getvalue()
    encoded = b"".join(png_chunk(*chunk) for chunk in chunks)
    path.write_bytes(data[:33] + encoded + data[33:])


def chromaticities(*values: float) -> bytes:
    return struct.pack(">8I", *(round(value * 100_000) for value in values))


def gamma(exponent: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(exponent * 100_000))


SRGB_CHRM = chromaticities(0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
P3_CHRM = chromaticities(0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
STORED16 = (encode_srgb(LINEAR) * 65535).round().astype(np.uint16)
PNG_COLOURS = {
    "cICP sRGB": ([(b"cICP", bytes((1, 13, 0, 1)))], encode_srgb(LINEAR)),
    "cICP BT.709": ([(b"cICP", bytes((1, 1, 0, 1)))], encode_srgb(LINEAR)),
    "cICP P3": ([(b"cICP", bytes((12, 13, 0, 1)))], as_srgb(LINEAR, P3_XYZ)),
    "cICP BT.2020": ([(b"cICP", bytes((9, 13, 0, 1)))], as_srgb(LINEAR, BT2020_XYZ)),
    "cICP linear": ([(b"cICP", bytes((1, 8, 0, 1)))], encode_srgb(encode_srgb(LINEAR))),
    "cICP before gAMA": ([gamma(1), (b"cICP", bytes((1, 13, 0, 1)))], encode_srgb(LINEAR)),
    "sRGB before gAMA": ([(b"sRGB", b"\0"), gamma(1)], encode_srgb(LINEAR)),
    "gAMA of sRGB": ([gamma(0.45455), (b"cHRM", SRGB_CHRM)], encode_srgb(LINEAR)),
    "gAMA linear": ([gamma(1)], encode_srgb(encode_srgb(LINEAR))),
    "gAMA 1.8": ([gamma(0.55556)], encode_srgb(encode_srgb(LINEAR) ** 1.8)),
    "cHRM P3": ([(b"cHRM", P3_CHRM)], as_srgb(LINEAR, P3_XYZ)),
    "gAMA 0": ([(b"gAMA", bytes(4))], encode_srgb(LINEAR)),
    "cHRM 0": ([(b"cHRM", bytes(32))], encode_srgb(LINEAR)),
}


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", PNG_COLOURS)
def test_colours_of_png(tmp_path, kind, bits):
    chunks, expected = PNG_COLOURS[kind]
    png_with(tmp_path / "a.png", RGB if bits == 8 else STORED16, *chunks)
    assert_close(tmp_path / "a.png", expected, counts=1.5 if bits == 16 else 12)


def test_grey_png_has_a_gamma_too(tmp_path):
    png_with(tmp_path / "a.png", STORED16[..., 0].copy(), gamma(1))
    expected = encode_srgb(encode_srgb(LINEAR))[..., :1]
    assert_close(tmp_path / "a.png", np.broadcast_to(expected, RGB.shape), counts=1.5)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ((9, 16, 0, 1), "HDR colours .PQ: primaries 9, transfer 16.; save it as sRGB"),
        ((9, 18, 0, 1), "HDR colours .HLG: "),
        ((10, 13, 0, 1), "colours of primaries 10, transfer 13"),
        ((1, 13, 0, 0), "narrow range"),
    ],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_colours_of_png_that_cannot_be_converted_are_refused(tmp_path, code, words, bits):
    png_with(tmp_path / "a.png", RGB if bits == 8 else STORED16, (b"cICP", bytes(code)))
    with pytest.raises(InputError, match=words):
        read_rgb(tmp_path / "a.png")


@pytest.mark.parametrize("way", ["ColorSpace 2", "R03", "R98", "none"])
@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".png"])
def test_adobe_rgb_without_a_profile(tmp_path, way, suffix):
    exif = Image.Exif()
    if way == "ColorSpace 2":
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] = 2
    elif way != "none":
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] = 1 if way == "R98" else 65535
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {ExifTags.Interop.InteropIndex: way}
    options = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}, ".png": {}}
    stored = (LINEAR ** (1 / 2.19921875) * 255).round().astype(np.uint8)
    Image.fromarray(stored).save(tmp_path / f"a{suffix}", exif=exif.tobytes(), **options[suffix])
    rgb = read_rgb(tmp_path / f"a{suffix}")
    plain = way in ("R98", "none")
    expected = stored / 255 if plain else as_srgb(LINEAR, ADOBE_XYZ)
    assert np.abs(rgb / 255 - expected).mean() < 0.01
    assert np.abs(stored / 255 - as_srgb(LINEAR, ADOBE_XYZ)).mean() > 0.02  # it makes a difference


def test_colorimetric_tags_of_tiff(tmp_path):
    linear_curve = np.linspace(0, 65535, 256).round().astype(np.uint16)
    white = (3127, 10_000, 3290, 10_000)
    p3 = (680, 1000, 320, 1000, 265, 1000, 690, 1000, 150, 1000, 60, 1000)
    for bits, stored in ((8, RGB), (16, STORED16)):
        path = tmp_path / f"{bits}.tif"
        for point in (white, (3127, 0, 3290, 10_000)):  # a quotient by zero is ignored
            tags = [(318, "2I", 2, point, True), (319, "2I", 6, p3, True)]
            tifffile.imwrite(path, stored, photometric="rgb", extratags=tags)
            assert_close(path, as_srgb(LINEAR, P3_XYZ), counts=12 if bits == 8 else 1.5)
        tags = [(301, "H", 768, np.tile(linear_curve, 3), True)]
        tifffile.imwrite(path, stored, photometric="rgb", extratags=tags)
        assert_close(path, encode_srgb(encode_srgb(LINEAR)), counts=12 if bits == 8 else 1.5)


def test_grey_tiff_with_a_transfer_function(tmp_path):
    curve = np.linspace(0, 65535, 256).round().astype(np.uint16)
    grey = np.ascontiguousarray(RGB[..., 0])
    tags = [(301, "H", 256, curve, True)]
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric="minisblack", extratags=tags)
    expected = np.broadcast_to(encode_srgb(encode_srgb(LINEAR))[..., :1], RGB.shape)
    assert_close(tmp_path / "a.tif", expected, counts=12)


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_as_a_long_number(tmp_path, order):
    palette = Image.fromarray(RGB).quantize(256)
    palette.save(tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        colours = tiff.pages.first.colormap
        indices = tiff.pages.first.asarray()
    tag = [(274, "I", 1, 6, True)]
    tifffile.imwrite(
        tmp_path / "b.tif", indices, photometric="palette", colormap=colours, extratags=tag, byteorder=order
    )
    assert (read_rgb(tmp_path / "b.tif") == np.asarray(palette.convert("RGB"))).all()
    assert read_exif(tmp_path / "b.tif").orientation == 6


@pytest.mark.parametrize("space", ["RGB", "YCBCR"])
def test_jpeg_by_its_colour_space(tmp_path, space):
    data = imagecodecs.jpeg8_encode(RGB, level=98, subsampling="444", colorspace="RGB", outcolorspace=space)
    (tmp_path / "a.jpg").write_bytes(data)
    assert np.abs(read_rgb(tmp_path / "a.jpg").astype(int) - RGB).mean() < 2


@pytest.mark.parametrize("space", ["CMYK", "YCCK"])
def test_jpeg_of_four_inks(tmp_path, space):
    """As Adobe writes it: inverted, with its marker."""
    inks = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])  # without black
    data = imagecodecs.jpeg8_encode(inks, level=98, subsampling="444", colorspace="CMYK", outcolorspace=space)
    (tmp_path / "a.jpg").write_bytes(data)
    with Image.open(tmp_path / "a.jpg") as image:
        adobe = "adobe" in image.info
    rgb = read_rgb(tmp_path / "a.jpg")
    assert np.abs(rgb.astype(int) - (RGB if adobe else 0)).mean() < 3


def test_heic_of_display_p3_without_a_profile(tmp_path):
    image = pytest.importorskip("pillow_heif").from_pillow(Image.fromarray(RGB))
    code = {"color_primaries": 12, "transfer_characteristics": 13, "matrix_coefficients": 0}
    image.save(tmp_path / "a.heic", quality=-1, chroma=444, **code)
    assert np.abs(read_rgb(tmp_path / "a.heic") / 255 - as_srgb(LINEAR, P3_XYZ)).mean() < 0.01


# WebP and AVIF


def test_an_animation_is_refused(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "b.webp", save_all=True, append_images=[Image.fromarray(RGB[::-1])])
    with pytest.raises(InputError, match="an animation of 2 pictures; give one photo"):
        read_rgb(tmp_path / "b.webp")


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_avif_keeps_its_bits(tmp_path, bits):
    stored = (encode_srgb(LINEAR) * (2**bits - 1)).round().astype(np.uint8 if bits == 8 else np.uint16)
    data = imagecodecs.avif_encode(stored, level=100, bitspersample=bits, matrix=0, primaries=1, transfer=13)
    (tmp_path / "a.avif").write_bytes(data)
    rgb = read_rgb(tmp_path / "a.avif")
    assert rgb.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert np.abs(rgb / np.iinfo(rgb.dtype).max - stored / (2**bits - 1)).max() <= 1.01 / 65535


def test_colours_of_avif(tmp_path):
    path = tmp_path / "a.avif"
    path.write_bytes(imagecodecs.avif_encode(RGB, level=100, matrix=0, primaries=12, transfer=13))
    assert np.abs(read_rgb(path) / 255 - as_srgb(LINEAR, P3_XYZ)).mean() < 0.01
    for transfer in (16, 18):
        path.write_bytes(imagecodecs.avif_encode(RGB, level=100, matrix=0, primaries=9, transfer=transfer))
        with pytest.raises(InputError, match="HDR colours"):
            read_rgb(path)


# Listing by content


def test_pictures_of_any_suffix_are_listed(tmp_path, caplog):
    jpeg = io.BytesIO()
    Image.fromarray(RGB).save(jpeg, "JPEG")
    for name in ("a.jfif", "b.jpe", "c.JPEG", "d.mpo", "e", "f.data"):
        (tmp_path / name).write_bytes(jpeg.getvalue())
    save_heic(tmp_path / "g.HIF", random_rgb(64, 80))
    png_with(tmp_path / "h.unknown", STORED16)
    Image.fromarray(RGB).save(tmp_path / "i.webp")
    for name in ("README.md", "notes.txt", "movie.mp4", "table.csv", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"BMI of P1 and P6, in a text")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "folder").mkdir()
    with caplog.at_level("INFO"):
        names = [path.name for path in list_images(tmp_path)]
    expected = ["a.jfif", "b.jpe", "c.JPEG", "d.mpo", "e", "f.data", "g.HIF", "h.unknown", "i.webp"]
    assert names == expected
    assert caplog.messages == [f"{tmp_path}: 5 files without a picture; left out"]
    for name in names:
        assert read_rgb(tmp_path / name).shape[2] == 3


DRAWN = {
    "a.gif": "GIF",
    "a.bmp": "BMP",
    "a.ppm": "Netpbm",
    "a.tga": "TGA",
    "a.jp2": "JPEG 2000",
    "a.dds": "DDS",
}
STARTS = {
    "a.jxl": ("JPEG XL", imagecodecs.jpegxl_encode(RGB)),
    "a.exr": ("OpenEXR", b"\x76\x2f\x31\x01" + bytes(100)),
    "a.hdr": ("Radiance HDR", b"#?RADIANCE\n" + bytes(100)),
    "a.psd": ("Photoshop", b"8BPS\0\x01" + bytes(100)),
}


@pytest.mark.parametrize("suffix", ["", ".x"])
@pytest.mark.parametrize("name", [*DRAWN, *STARTS])
def test_pictures_of_other_formats_are_named(tmp_path, name, suffix):
    if name in DRAWN:
        kind = DRAWN[name]
        Image.fromarray(RGB).save(tmp_path / name)
    else:
        kind, content = STARTS[name]
        (tmp_path / name).write_bytes(content)
    if kind != "TGA":  # which has no signature
        (tmp_path / name).rename(tmp_path / f"{name}{suffix}")
    (path,) = list_images(tmp_path)
    with pytest.raises(InputError, match=f": a {kind} file; convert it to JPEG, PNG"):
        read_rgb(path)


# Photos and RAW of the same shot


@pytest.mark.parametrize(
    ("photo", "raw"),
    [
        ("IMG_1", "IMG_1"),
        ("PXL_20230101.RAW-01.COVER", "PXL_20230101.RAW-02.ORIGINAL"),
        ("PXL_20230101.RAW-01.MP.COVER", "PXL_20230101.RAW-02.ORIGINAL"),
        ("PXL_20230101.NIGHT.RAW-01.COVER", "PXL_20230101.NIGHT.RAW-02.ORIGINAL"),
        ("IMG_20191104_COVER", "IMG_20191104"),
        ("00000IMG_00000_BURST2019_COVER", "00000IMG_00000_BURST2019"),
        ("IMG_1", "IMG_1_RAW"),
    ],
)
def test_photo_and_raw_of_a_shot(tmp_path, photo, raw):
    assert shot_name(photo) == shot_name(raw)
    assert match_shots([photo, "other"], {raw: 1, "third": 2}) == {photo: 1, "third": 2}
    for name in (f"{photo}.jpg", f"{raw}.dng", "lonely.dng"):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == sorted([f"{photo}.jpg", "lonely.dng"])


def test_shots_with_several_photos_are_not_guessed():
    photos = ["PXL_1.RAW-01.COVER", "PXL_1_COVER", "PXL_2", "PXL_2_COVER"]
    raws = {"PXL_1.RAW-02.ORIGINAL": 1, "PXL_2": 2}
    assert match_shots(photos, raws) == raws


@pytest.mark.parametrize("name", ["COVER", "_COVER", "RAW", "_RAW", "Landscape_ORIGINALS", "MP"])
def test_names_that_are_nothing_but_an_ending_stay(name):
    assert shot_name(name) == name
