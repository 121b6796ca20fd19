"""Photos of every format are read as stored, in sRGB, at their full depth; damaged ones are refused."""

import io
import struct
import sys
import warnings

import imagecodecs
import numpy as np
import PIL
import pytest
import tifffile
from conftest import random_rgb
from picture_files import P3, SRGB_CURVE, assert_refused, icc_profile, save_heic, save_png_16, with_chunks
from PIL import ExifTags, Image, ImageCms

from omf.io.exif import read_exif
from omf.io.images import read_reduced, read_rgb
from omf.raw.isp import decode_srgb, encode_srgb
from omf.utils.errors import InputError

# Writers of a file


def pillow(pixels, **options):
    return lambda path: Image.fromarray(pixels).save(path, **options)


def tiff(pixels, **options):
    return lambda path: tifffile.imwrite(path, pixels, **{"photometric": "rgb", "metadata": None} | options)


def content(data):
    return lambda path: path.write_bytes(data)


def png(pixels, *chunks):
    return content(with_chunks(pixels, *chunks))


def avif(pixels, **options):
    return content(imagecodecs.avif_encode(pixels, **{"level": 100, "matrix": 0, "transfer": 13} | options))


def jpeg(pixels, **options):
    return content(imagecodecs.jpeg8_encode(pixels, level=98, subsampling="444", **options))


def coded_heic(primaries, transfer, **options):
    """HEIC with colour code points in place of a profile."""
    codes = {"color_primaries": primaries, "transfer_characteristics": transfer}

    def write(path):
        image = pytest.importorskip("pillow_heif").from_pillow(Image.fromarray(RGB))
        image.save(path, quality=-1, chroma=444, **codes, **options)

    return write


def second_of_heic(path):
    """HEIC of two images, of which the second is the primary one."""
    file = pytest.importorskip("pillow_heif").from_pillow(Image.fromarray(random_rgb(64, 80, seed=1)))
    file.add_from_pillow(Image.fromarray(RGB))
    file.save(path, quality=-1, chroma=444, matrix_coefficients=0, primary_index=1)


def behind_preview(pixels, inside):
    def write(path):
        with tifffile.TiffWriter(path) as file:
            options = {"photometric": "rgb", "metadata": None}
            file.write(pixels[::4, ::4], subfiletype=1, subifds=int(inside), **options)
            file.write(pixels, subfiletype=0, **options)

    return write


# Pictures, each of two depths

ROWS, COLUMNS = np.mgrid[:64, :96]
LINEAR = np.stack([COLUMNS / 95, ROWS / 63, 0.3 + 0 * ROWS], -1)
CODED = encode_srgb(LINEAR)  # the same as sRGB
LIGHTER = encode_srgb(CODED)  # sRGB whose values are taken for linear ones
FADING = np.linspace(0.2, 1, 96) * np.ones((64, 1))


def counts(values: np.ndarray, bits: int) -> np.ndarray:
    return (values * (2**bits - 1)).round().astype(np.uint8 if bits == 8 else np.uint16)


RGB, RGB16 = random_rgb(20, 31), random_rgb(20, 31, dtype=np.uint16)
SMOOTH, SMOOTH16 = counts(CODED, 8), counts(CODED, 16)
PALETTE = Image.fromarray(RGB).quantize(16)
YCBCR = Image.fromarray(RGB).convert("YCbCr")
YCBCR_AS_RGB = np.asarray(YCBCR.convert("RGB"))

# Colours

D65 = (0.3127, 0.3290)
SRGB_PRIMARIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
P3_PRIMARIES = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
BT2020_PRIMARIES = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046)
ADOBE_PRIMARIES = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)


def to_xyz(primaries: tuple[float, ...]) -> np.ndarray:
    """Return the matrix of linear RGB to CIE XYZ, from the chromaticities."""
    pairs = np.reshape([*primaries, *D65], (4, 2))
    colours = np.array([(x / y, 1, (1 - x - y) / y) for x, y in pairs]).T
    return colours[:, :3] * np.linalg.solve(colours[:, :3], colours[:, 3])


def as_srgb(linear: np.ndarray, primaries: tuple[float, ...]) -> np.ndarray:
    """Convert linear RGB of other primaries to sRGB in [0, 1], clipped."""
    matrix = np.linalg.solve(to_xyz(SRGB_PRIMARIES), to_xyz(primaries))
    return encode_srgb(np.clip(linear @ matrix.T, 0, 1))


def p3_as_srgb(counts: np.ndarray) -> np.ndarray:
    return as_srgb(decode_srgb(counts / np.iinfo(counts.dtype).max), P3_PRIMARIES)


def saved_as_p3(image: Image.Image, kind: str, **options) -> tuple:
    """Return a writer of an image in Display P3, its colours and the largest error."""
    file = io.BytesIO()
    image.save(file, kind, icc_profile=P3, **options)
    return content(file.getvalue()), p3_as_srgb(np.asarray(Image.open(file).convert("RGB"))), 1.1


def chromaticities(primaries: tuple[float, ...]) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in (*D65, *primaries)))


def gamma(exponent: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(exponent * 100_000))


def code(*points: int) -> tuple[bytes, bytes]:
    return b"cICP", bytes((*points, 0, 1))


CHUNKS = {  # of PNG, and the colours
    "cICP sRGB": ([code(1, 13)], CODED),
    "cICP BT.709": ([code(1, 1)], CODED),
    "cICP P3": ([code(12, 13)], as_srgb(LINEAR, P3_PRIMARIES)),
    "cICP BT.2020": ([code(9, 13)], as_srgb(LINEAR, BT2020_PRIMARIES)),
    "cICP linear": ([code(1, 8)], LIGHTER),
    "cICP before gAMA": ([gamma(1), code(1, 13)], CODED),
    "sRGB before gAMA": ([(b"sRGB", b"\0"), gamma(1)], CODED),
    "gAMA of sRGB": ([gamma(0.45455), chromaticities(SRGB_PRIMARIES)], CODED),
    "gAMA linear": ([gamma(1)], LIGHTER),
    "gAMA 1.8": ([gamma(0.55556)], encode_srgb(CODED**1.8)),
    "cHRM P3": ([chromaticities(P3_PRIMARIES)], as_srgb(LINEAR, P3_PRIMARIES)),
    "gAMA 0": ([gamma(0)], CODED),
    "cHRM 0": ([(b"cHRM", bytes(32))], CODED),
}
STRAIGHT = np.linspace(0, 65535, 256).round().astype(np.uint16)
P3_TAG = (319, "2I", 6, (680, 1000, 320, 1000, 265, 1000, 690, 1000, 150, 1000, 60, 1000), True)
TAGS = {  # of TIFF: WhitePoint, PrimaryChromaticities, TransferFunction
    "P3": ([(318, "2I", 2, (3127, 10_000, 3290, 10_000), True), P3_TAG], as_srgb(LINEAR, P3_PRIMARIES)),
    "quotient by 0": ([(318, "2I", 2, (3127, 0, 3290, 10_000), True), P3_TAG], as_srgb(LINEAR, P3_PRIMARIES)),
    "linear": ([(301, "H", 768, np.tile(STRAIGHT, 3), True)], LIGHTER),
}
LINEAR_GREY = icc_profile((), (1.0,))
IGNORED_PROFILES = {
    "sRGB of littleCMS": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    "sRGB": icc_profile(curve=SRGB_CURVE),
    "for grey": LINEAR_GREY,
    "cut": P3[:200],
    "none": b"not a profile",
}

# Names of files: function that writes it, pixels of one channel or three as counts or in [0, 1], and the
# largest error in counts of 255


def photos_of(bits: int) -> dict[str, tuple]:
    """Return the photos of PNG and TIFF, of 8 or 16 bits."""
    rgb, smooth = (RGB, SMOOTH) if bits == 8 else (RGB16, SMOOTH16)
    full, coarse, grey = np.iinfo(rgb.dtype).max, 12 if bits == 8 else 1.5, rgb[..., 1]
    cube = np.random.default_rng(0).integers(0, full + 1, (40, 60, 3)).astype(rgb.dtype)
    p3 = p3_as_srgb(cube), 1.1 if bits == 8 else 150 / 257
    ladder = counts(np.linspace(0, 1, 60).reshape(6, 10), bits)
    lighter = encode_srgb(ladder / full)
    multiplied = counts(np.dstack([LINEAR * FADING[..., None], FADING]), bits)
    black_is_0 = {"photometric": "minisblack"}
    return {
        "a.png": (png(rgb), rgb, 0),
        "grey.png": (png(grey), grey, 0),
        "alpha.png": (png(np.dstack([rgb, cube[:20, :31, 0]])), rgb, 0),
        "a.tif": (tiff(rgb), rgb, 0),
        "grey.tif": (tiff(grey, **black_is_0), grey, 0),
        "zlib.tif": (tiff(rgb, compression="zlib", predictor=True), rgb, 0),
        "lzw.tif": (tiff(rgb, compression="lzw"), rgb, 0),
        "planar.tif": (tiff(np.moveaxis(rgb, -1, 0), planarconfig="separate"), rgb, 0),
        "white is 0.tif": (tiff(full - grey, photometric="miniswhite"), grey, 0),
        "behind a preview.tif": (behind_preview(smooth, False), smooth, 0),
        "inside a preview.tif": (behind_preview(smooth, True), smooth, 0),
        "multiplied.tif": (tiff(multiplied, extrasamples=["assocalpha"]), LINEAR, 5 * 255 / full),
        "not multiplied.tif": (tiff(multiplied, extrasamples=["unassalpha"]), multiplied[..., :3], 0),
        "profile.png": (lambda path: save_png_16(path, cube, P3), *p3),
        "profile.tif": (tiff(cube, iccprofile=P3), *p3),
        "grey profile.tif": (tiff(ladder, iccprofile=LINEAR_GREY, **black_is_0), lighter, 1.5),
        "grey gAMA.png": (png(smooth[..., 0], gamma(1)), LIGHTER[..., 0], coarse),
        **{f"{name}.png": (png(smooth, *CHUNKS[name][0]), CHUNKS[name][1], coarse) for name in CHUNKS},
        **{f"{name}.tif": (tiff(smooth, extratags=TAGS[name][0]), TAGS[name][1], coarse) for name in TAGS},
    }


P3_OF_HEIC = {"icc_profile": P3, "icc_profile_type": "prof"}
LINEAR_GREY_TAGS = {"photometric": "minisblack", "extratags": [(301, "H", 256, STRAIGHT, True)]}
WITH_ALPHA = np.dstack([SMOOTH, SMOOTH[..., 0]])
PHOTOS = photos_of(8) | {f"16 bit, {name}": row for name, row in photos_of(16).items()}
PHOTOS |= {
    "a.webp": (pillow(RGB, lossless=True), RGB, 0),
    "heic.jpg": (lambda path: save_heic(path, RGB), RGB, 0),
    "second.heic": (second_of_heic, RGB, 0),
    "16 bit of 10.heic": (lambda path: save_heic(path, RGB16, "RGB;16"), (RGB16 >> 6) / 1023, 1 / 257),
    "palette.png": (PALETTE.save, np.asarray(PALETTE.convert("RGB")), 0),
    "bilevel.tif": (pillow(RGB[..., 0] > 128), (RGB[..., 0] > 128) * np.uint8(255), 0),
    # read by tifffile, and by Pillow, which round differently
    "YCbCr.tif": (YCBCR.save, YCBCR_AS_RGB, 2),
    "YCbCr, lzw.tif": (lambda path: YCBCR.save(path, compression="tiff_lzw"), YCBCR_AS_RGB, 2),
    "grey, linear.tif": (tiff(SMOOTH[..., 0], **LINEAR_GREY_TAGS), LIGHTER[..., 0], 12),
    "profile, alpha.png": (pillow(WITH_ALPHA, icc_profile=P3), p3_as_srgb(SMOOTH), 1.1),
    "profile.heic": (lambda path: save_heic(path, SMOOTH, **P3_OF_HEIC), p3_as_srgb(SMOOTH), 1.1),
    "profile.jpg": saved_as_p3(Image.fromarray(RGB), "JPEG", quality=100, subsampling=0),
    "profile, palette.png": saved_as_p3(PALETTE, "PNG"),
    "linear profile.png": (pillow(RGB, icc_profile=icc_profile()), encode_srgb(RGB / 255), 2),
}
for name, profile in IGNORED_PROFILES.items():
    PHOTOS[f"profile {name}.png"] = (pillow(RGB, icc_profile=profile), RGB, 0)
for bits in range(9, 16):
    stored = counts(LINEAR, bits)
    write = tiff(stored, bitspersample=bits)
    write_grey = tiff(stored[..., 0], bitspersample=bits, photometric="minisblack")
    PHOTOS[f"16 bit of {bits}.tif"] = (write, stored / (2**bits - 1), 1 / 257)
    PHOTOS[f"16 bit of {bits}, grey.tif"] = (write_grey, stored[..., 0] / (2**bits - 1), 1 / 257)
for bits, start in {8: "8 bit", 10: "16 bit of 10", 12: "16 bit of 12"}.items():
    stored = counts(CODED, bits)
    write = avif(stored, bitspersample=bits, primaries=1)
    PHOTOS[f"{start}.avif"] = (write, stored / (2**bits - 1), 1.01 / 257)


def adobe_exif(way: str) -> bytes:
    exif = Image.Exif()
    if way == "ColorSpace 2":
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] = 2
    elif way != "none":
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ColorSpace] = 1 if way == "R98" else 65535
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.Interop] = {ExifTags.Interop.InteropIndex: way}
    return exif.tobytes()


ADOBE = counts(LINEAR ** (1 / 2.19921875), 8)
LEAST_LOSS = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}, ".png": {}}
INK = Image.merge("CMYK", [*Image.fromarray(255 - RGB).split(), Image.new("L", RGB.shape[1::-1], 51)])
LOSSY = {  # as PHOTOS, but with the mean error
    f"{way}{suffix}": (pillow(ADOBE, exif=adobe_exif(way), **LEAST_LOSS[suffix]), colours, 2.55)
    for suffix in LEAST_LOSS
    for ways, colours in {
        ("ColorSpace 2", "R03"): as_srgb(LINEAR, ADOBE_PRIMARIES),
        ("R98", "none"): ADOBE,
    }.items()
    for way in ways
} | {
    "RGB.jpg": (jpeg(SMOOTH, colorspace="RGB", outcolorspace="RGB"), SMOOTH, 2),
    "YCbCr.jpg": (jpeg(SMOOTH, colorspace="RGB", outcolorspace="YCBCR"), SMOOTH, 2),
    # inverted, as Adobe writes it
    "ink.jpg": (lambda path: INK.save(path, quality=100, subsampling=0), RGB * 0.8 / 255, 1),
    "ink.tif": (INK.save, RGB * 0.8 / 255, 1),
    "coded P3.heic": (coded_heic(12, 13, matrix_coefficients=0), p3_as_srgb(RGB), 2.55),
    "P3.avif": (avif(SMOOTH, primaries=12), as_srgb(LINEAR, P3_PRIMARIES), 2.55),
}


def read_errors(path, write, expected) -> np.ndarray:
    """Write and read a photo; return the differences, in counts of 255."""
    write(path)
    rgb = read_rgb(path)
    assert rgb.dtype == (np.uint16 if path.name.startswith("16 bit") else np.uint8)
    assert rgb.shape == (*expected.shape[:2], 3)
    full = np.iinfo(rgb.dtype).max
    expected = expected / full if expected.dtype.kind == "u" else expected
    return np.abs(rgb / full - expected.reshape(*expected.shape[:2], -1)) * 255


@pytest.mark.parametrize("name", PHOTOS | LOSSY)
def test_photos_are_read_as_stored_in_srgb(tmp_path, name):
    write, expected, limit = (PHOTOS | LOSSY)[name]
    errors = read_errors(tmp_path / name, write, expected)
    assert (errors.max() if name in PHOTOS else errors.mean()) <= limit


@pytest.mark.parametrize("space", ["CMYK", "YCCK"])
def test_jpeg_of_four_inks(tmp_path, space):
    """As Adobe writes it: inverted, with its marker."""
    inks = np.dstack([SMOOTH, np.full(SMOOTH.shape[:2], 255, np.uint8)])  # without black
    jpeg(inks, colorspace="CMYK", outcolorspace=space)(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        adobe = "adobe" in image.info
    assert np.abs(read_rgb(tmp_path / "a.jpg").astype(int) - (SMOOTH if adobe else 0)).mean() < 3


def test_the_colour_spaces_differ_more_than_the_errors():
    assert np.abs(ADOBE / 255 - as_srgb(LINEAR, ADOBE_PRIMARIES)).mean() > 0.02
    assert np.abs(SMOOTH / 255 - p3_as_srgb(SMOOTH)).mean() > 0.02


# Orientation: pixels as stored, the tag for the RAW file


def oriented(orientation: int) -> dict:
    """Return files with an orientation: function that writes one, and the mean error in counts."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data, palette = exif.tobytes(), Image.fromarray(SMOOTH).quantize(256)
    colours = {"photometric": "palette", "colormap": np.reshape(palette.getpalette(), (-1, 3)).T * 257}
    long = colours | {"extratags": [(274, "I", 1, orientation, True)]}
    tag = {"extratags": [(274, "H", 1, orientation, True)]}
    return {
        "a.tif": (tiff(SMOOTH, **tag), 0),
        "zlib.tif": (tiff(SMOOTH, compression="zlib", **tag), 0),
        "16 bit.tif": (tiff(SMOOTH.astype(np.uint16) * 257, **tag), 0),
        "32 bits of orientation.tif": (tiff(np.asarray(palette), **long), 5.1),
        "32 bits of orientation, >.tif": (tiff(np.asarray(palette), byteorder=">", **long), 5.1),
        "palette.tif": (lambda path: palette.save(path, tiffinfo=exif), 5.1),
        "jpeg.tif": (pillow(SMOOTH, compression="jpeg", quality=95, tiffinfo=exif), 5.1),
        "a.png": (pillow(SMOOTH, exif=data), 0),
        "a.jpg": (pillow(SMOOTH, exif=data, quality=95), 5.1),
        "a.webp": (pillow(SMOOTH, exif=data, lossless=True), 0),
        "a.avif": (pillow(SMOOTH, exif=data, quality=95), 5.1),
        # as phones do, pillow-heif also writes it as transforms of the container
        "a.heic": (lambda path: save_heic(path, SMOOTH, exif=data), 0),
    }


@pytest.mark.parametrize("name", oriented(1))
def test_pixels_stay_as_stored_in_all_orientations(tmp_path, name):
    for orientation in range(1, 9):  # the error of a turned image is larger
        write, mean = oriented(orientation)[name]
        assert read_errors(tmp_path / name, write, SMOOTH / 255).mean() <= mean
        assert read_exif(tmp_path / name).orientation == orientation


# Limits


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.avif", "palette.png", "palette.tif"])
@pytest.mark.parametrize("strict", [False, True])
def test_photos_beyond_pillows_limit_of_this_process(tmp_path, monkeypatch, name, strict):
    (PALETTE if name.startswith("palette") else Image.fromarray(RGB)).save(tmp_path / name)
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
    else:
        assert_refused(r"can't be decoded \(Image size .* exceeds limit", read_rgb, tmp_path / "a.webp")


def test_a_large_blank_image_is_no_bomb(tmp_path):
    Image.new("L", (5000, 5000), 255).save(tmp_path / "blank.png")
    assert read_rgb(tmp_path / "blank.png").shape == (5000, 5000, 3)


def test_without_pillow_heif(tmp_path, monkeypatch):
    save_heic(tmp_path / "a.heic", RGB)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert_refused(r"pip install 'overexposure-mask-fusion\[heic\]'", read_rgb, tmp_path / "a.heic")


# At a reduced size


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
    png(RGB)(tmp_path / "a.png")
    np.testing.assert_array_equal(read_reduced(tmp_path / "a.png", 2), RGB)
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    with pytest.raises(InputError, match=r"a\.jpg: can't be decoded"):
        read_reduced(tmp_path / "a.jpg", 2)


# Refused


def with_tags(tags: dict[int, int], pixels=RGB16, **options):
    """Return a writer of a TIFF whose tags are then changed in place."""

    def write_changed(path):
        tiff(pixels, **options)(path)
        with tifffile.TiffFile(path, mode="r+b") as file:
            for tag, value in tags.items():
                file.pages.first.tags[tag].overwrite(value)

    return write_changed


PNG = with_chunks(RGB)
END, LONG_CHUNK = PNG.index(b"IEND") - 4, struct.pack(">I", 2**31 - 1) + b"tEXt"
MISSING_PART = "parts of the image are not in the file"
ANIMATION = {"save_all": True, "append_images": [Image.fromarray(SMOOTH[::-1])]}
CODES = {  # of cICP
    (9, 16, 0, 1): r"HDR colours \(PQ: primaries 9, transfer 16\); save it as sRGB",
    (9, 18, 0, 1): r"HDR colours \(HLG: ",
    (10, 13, 0, 1): "colours of primaries 10, transfer 13",
    (1, 13, 0, 0): "narrow range",
}
KINDS = ("float16", "float32", "float64", "int8", "int16", "uint32")
REFUSED = {
    **{
        f"{kind}.tif": (tiff((LINEAR * 100).astype(kind)), f"{kind} samples; save it with 8 or 16 bits")
        for kind in KINDS
    },
    **{
        f"cICP {code[:2]}, {pixels.dtype}.png": (png(pixels, (b"cICP", bytes(code))), words)
        for code, words in CODES.items()
        for pixels in (SMOOTH, SMOOTH16)
    },
    "previews.tif": (tiff(RGB, subfiletype=1), "contains only previews"),
    "animation.webp": (pillow(SMOOTH, **ANIMATION), "an animation of 2 pictures; give one photo"),
    "PQ.avif": (avif(SMOOTH, primaries=9, transfer=16), "HDR colours"),
    "HLG.avif": (avif(SMOOTH, primaries=9, transfer=18), "HDR colours"),
    "PQ.heic": (coded_heic(9, 16), r"primaries 9, transfer 16\); save it as sRGB"),
    "ImageWidth.tif": (with_tags({256: 20_000}), "can't be decoded"),
    "Photometric.tif": (with_tags({262: 12_345}), "12345 colours in 16 bits"),
    "StripOffsets.tif": (with_tags({273: 2**31}), MISSING_PART),
    "StripByteCounts.tif": (with_tags({279: 2**32 - 1}), MISSING_PART),
    "StripByteCounts 0.tif": (with_tags({279: 0}), MISSING_PART),
    "SamplesPerPixel.tif": (with_tags({277: 60_000}), "samples"),
    # nothing requests the gigabytes that the file says it has, whether Pillow or tifffile reads it
    "JPEG.tif": (with_tags({279: 2**32 - 1}, RGB, photometric="ycbcr", compression="jpeg"), MISSING_PART),
    "JPEG, RGB.tif": (with_tags({279: 2**32 - 1}, RGB, compression="jpeg"), MISSING_PART),
    "TileWidth.tif": (
        with_tags({322: 2**15, 323: 2**15}, tile=(32, 32), compression="zlib"),
        "tiles or strips of 3221225472 samples, more than the image has",
    ),
    "chunk.png": (content(PNG[:END] + LONG_CHUNK + PNG[END:]), r"can't be decoded \(cut short\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_and_damaged_files_are_refused(tmp_path, name):
    write, words = REFUSED[name]
    write(tmp_path / name)
    assert_refused(words, read_rgb, tmp_path / name)


LARGER = random_rgb(120, 160)
INTACT = {
    "baseline.jpg": pillow(LARGER),
    "progressive.jpg": pillow(LARGER, progressive=True),
    "ink.jpg": Image.fromarray(LARGER).convert("CMYK").save,
    "eight.png": pillow(LARGER),
    "sixteen.png": png(LARGER.astype(np.uint16) * 257),
    "eight.tif": tiff(LARGER),
    "packed.tif": tiff(LARGER, compression="lzw", rowsperstrip=10),
    "sixteen.tif": tiff(LARGER.astype(np.uint16), compression="zlib", rowsperstrip=10),
    "plain.tif": tiff(LARGER.astype(np.uint16)),
    "photo.heic": lambda path: save_heic(path, LARGER),
    "photo.webp": pillow(LARGER),
    "photo.avif": pillow(LARGER),
}


@pytest.mark.parametrize("name", INTACT)
def test_truncated_files_are_refused(tmp_path, name):
    path = tmp_path / name
    INTACT[name](path)
    whole = path.read_bytes()
    assert read_rgb(path).shape == LARGER.shape
    for length in (13, 40, 150, *(int(len(whole) * share) for share in (0.02, 0.1, 0.5, 0.9, 0.99))):
        path.write_bytes(whole[:length])
        assert_refused("; ", read_rgb, path)
