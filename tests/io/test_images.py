"""Photo decoding: formats, bit depths, colour profiles, orientation, and damaged files."""

import io
import struct
import sys
import warnings
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from conftest import random_rgb
from picture_files import P3, SRGB_COLORANTS, SRGB_CURVE, icc_profile, save_heic, save_png_16
from PIL import Image, ImageCms

from omf.io.exif import read_exif
from omf.io.images import read_rgb
from omf.io.photos import find_photos, group_by_stem, list_images
from omf.raw.isp import decode_srgb, encode_srgb
from omf.utils.errors import InputError

RGB = random_rgb(20, 31)
RGB16 = random_rgb(20, 31, dtype=np.uint16)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "A.PNG", "with space.tiff"])
def test_8_bit_samples_are_unchanged(tmp_path, name):
    Image.fromarray(RGB).save(tmp_path / name)
    assert (read_rgb(tmp_path / name) == RGB).all()
    assert read_rgb(tmp_path / name).dtype == np.uint8


def test_jpeg(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", quality=100, subsampling=0)
    assert np.abs(read_rgb(tmp_path / "a.jpg").astype(int) - RGB).mean() < 1


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
    with pytest.raises(InputError, match=r"a\.webp: can't be decoded \(Image size .* exceeds limit"):
        read_rgb(tmp_path / "a.webp")


def test_16_bit_png_keeps_16_bits(tmp_path):
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(RGB16))
    assert (read_rgb(tmp_path / "a.png") == RGB16).all()


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "predictor": True}, {"compression": "lzw"}])
def test_16_bit_tiff_keeps_16_bits(tmp_path, options):
    tifffile.imwrite(tmp_path / "a.tif", RGB16, photometric="rgb", **options)
    assert (read_rgb(tmp_path / "a.tif") == RGB16).all()


def test_planar_tiff(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", np.moveaxis(RGB16, -1, 0), photometric="rgb", planarconfig="separate"
    )
    assert (read_rgb(tmp_path / "a.tif") == RGB16).all()


@pytest.mark.parametrize("name", ["grey.jpg", "grey.png", "grey.tif"])
def test_grey_is_expanded_to_three_equal_channels(tmp_path, name):
    Image.fromarray(RGB[..., 1]).save(tmp_path / name)
    pixels = read_rgb(tmp_path / name)
    assert pixels.shape == RGB.shape
    assert (pixels[..., 0] == pixels[..., 1]).all()
    assert (pixels[..., 1] == pixels[..., 2]).all()
    if name != "grey.jpg":
        assert (pixels[..., 0] == RGB[..., 1]).all()


@pytest.mark.parametrize("name", ["grey.png", "grey.tif"])
def test_16_bit_grey(tmp_path, name):
    if name == "grey.png":
        (tmp_path / name).write_bytes(imagecodecs.png_encode(RGB16[..., 0].copy()))
    else:
        tifffile.imwrite(tmp_path / name, RGB16[..., 0])
    assert (read_rgb(tmp_path / name) == RGB16[..., :1]).all()


def test_alpha_is_dropped_and_colours_are_unchanged(tmp_path):
    alpha = np.random.default_rng(0).integers(0, 256, RGB.shape[:2]).astype(np.uint8)
    Image.fromarray(np.dstack([RGB, alpha])).save(tmp_path / "a.png")
    assert (read_rgb(tmp_path / "a.png") == RGB).all()
    (tmp_path / "b.png").write_bytes(imagecodecs.png_encode(np.dstack([RGB16, alpha.astype(np.uint16)])))
    assert (read_rgb(tmp_path / "b.png") == RGB16).all()


def test_palette_and_bilevel(tmp_path):
    palette = Image.fromarray(RGB).quantize(16)
    palette.save(tmp_path / "p.png")
    assert (read_rgb(tmp_path / "p.png") == np.asarray(palette.convert("RGB"))).all()
    Image.fromarray(RGB[..., 0] > 128).save(tmp_path / "b.tif")
    assert set(np.unique(read_rgb(tmp_path / "b.tif"))) == {0, 255}


def test_pixels_stay_in_sensor_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees for display
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif)
    assert read_rgb(tmp_path / "a.jpg").shape == RGB.shape


@pytest.mark.parametrize("orientation", range(1, 9))
def test_transforms_of_heic_are_undone(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation  # as phones do, pillow-heif also writes it as transforms of the container
    rgb = random_rgb(64, 80)
    save_heic(tmp_path / "a.heic", rgb, exif=exif.tobytes())
    assert (read_rgb(tmp_path / "a.heic") == rgb).all()


def test_10_bit_heic_is_scaled_to_16_bits(tmp_path):
    save_heic(tmp_path / "a.heic", RGB16, "RGB;16")
    stored = RGB16 >> 6
    assert (read_rgb(tmp_path / "a.heic") == stored.astype(np.uint32) * 65535 // 1023).all()


def test_heic_with_another_suffix(tmp_path):
    save_heic(tmp_path / "a.jpg", RGB)
    assert (read_rgb(tmp_path / "a.jpg") == RGB).all()


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


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"quality": 95, "subsampling": 2}, {"restart_marker_rows": 1}]
)
def test_jpeg_variants(tmp_path, options):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", **{"quality": 100, "subsampling": 0, **options})
    expected = np.asarray(Image.open(tmp_path / "a.jpg").convert("RGB"))
    assert (read_rgb(tmp_path / "a.jpg") == expected).all()
    assert np.abs(expected.astype(int) - RGB).mean() < 8  # chroma noise of 5 % is lost


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
        xyz = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
        white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
        return xyz * np.linalg.solve(xyz, white)

    p3, srgb = (
        to_xyz((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
        to_xyz((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    )
    full = np.iinfo(rgb.dtype).max
    return full * encode_srgb(np.clip(decode_srgb(rgb / full) @ np.linalg.solve(srgb, p3).T, 0, 1))


CUBE = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
CUBE16 = np.random.default_rng(0).integers(0, 65536, (40, 60, 3)).astype(np.uint16)


WITH_PROFILE = {
    "rgb.png": lambda path: Image.fromarray(CUBE).save(path, icc_profile=P3),
    "alpha.png": lambda path: Image.fromarray(np.dstack([CUBE, CUBE[..., :1]])).save(path, icc_profile=P3),
    "rgb.tif": lambda path: Image.fromarray(CUBE).save(path, icc_profile=P3),
    "rgb.heic": lambda path: save_heic(path, CUBE, icc_profile=P3, icc_profile_type="prof"),
    "sixteen.png": lambda path: save_png_16(path, CUBE16, P3),
    "sixteen.tif": lambda path: tifffile.imwrite(path, CUBE16, photometric="rgb", iccprofile=P3),
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


def jpeg_bytes() -> bytes:
    """Return a JPEG file of 200 x 200 pixels."""
    buffer = io.BytesIO()
    Image.fromarray(random_rgb(200, 200)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jpg", b"", "an empty file"),
        ("text.jpg", b"not a picture", "not a picture that can be read"),
        ("cut.jpg", jpeg_bytes()[:3000], "can't be decoded"),
        ("cut.png", b"\x89PNG\r\n\x1a\n" + bytes(20), "not a picture|can't be decoded"),
        ("gone.jpg", None, "no such file"),
    ],
)
def test_unreadable_file_is_reported_on_one_line(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_rgb(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


LARGER = random_rgb(120, 160)
INTACT = {
    "baseline.jpg": lambda path: Image.fromarray(LARGER).save(path),
    "progressive.jpg": lambda path: Image.fromarray(LARGER).save(path, progressive=True),
    "ink.jpg": lambda path: Image.fromarray(LARGER).convert("CMYK").save(path),
    "eight.png": lambda path: Image.fromarray(LARGER).save(path),
    "sixteen.png": lambda path: path.write_bytes(imagecodecs.png_encode(LARGER.astype(np.uint16) * 257)),
    "eight.tif": lambda path: tifffile.imwrite(path, LARGER, photometric="rgb"),
    "packed.tif": lambda path: tifffile.imwrite(
        path, LARGER, photometric="rgb", compression="lzw", rowsperstrip=10
    ),
    "sixteen.tif": lambda path: tifffile.imwrite(
        path, LARGER.astype(np.uint16), photometric="rgb", compression="zlib", rowsperstrip=10
    ),
    "plain.tif": lambda path: tifffile.imwrite(path, LARGER.astype(np.uint16), photometric="rgb"),
    "photo.heic": lambda path: save_heic(path, LARGER),
}


@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", INTACT)
def test_truncated_files_are_rejected(tmp_path, name, fraction):
    path = tmp_path / name
    INTACT[name](path)
    content = path.read_bytes()
    assert read_rgb(path).shape == LARGER.shape
    path.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(InputError) as caught:
        read_rgb(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_unsupported_formats_are_rejected(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.gif")
    with pytest.raises(InputError, match="a GIF file; convert it"):
        read_rgb(tmp_path / "a.gif")
    tifffile.imwrite(tmp_path / "f.tif", RGB.astype(np.float32), photometric="rgb")
    with pytest.raises(InputError, match="float32 samples"):
        read_rgb(tmp_path / "f.tif")
    Image.fromarray(RGB[:1]).save(tmp_path / "flat.png")
    with pytest.raises(InputError, match="31 x 1 pixels"):
        read_rgb(tmp_path / "flat.png")


def test_listing(tmp_path):
    for name in ("b.JPG", "a.png", "c.tiff", "d.heic", "notes.txt", ".hidden.jpg", "raw.npy"):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "b.JPG", "c.tiff", "d.heic"]
    assert group_by_stem(list_images(tmp_path)).keys() == {"a", "b", "c", "d"}


def test_raw_next_to_its_photo_is_excluded(tmp_path):
    (tmp_path / "other").mkdir()
    for name in ("a.jpg", "a.dng", "b.HEIC", "b.CR2", "b.nef", "c.dng", "d.gif", "d.arw", "other/a.dng"):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.HEIC", "c.dng", "d.arw", "d.gif"]
    given = [tmp_path / "a.dng", tmp_path / "a.jpg", tmp_path / "other"]  # as expanded from a shell's *
    assert find_photos(given) == [tmp_path / "a.jpg", tmp_path / "other" / "a.dng"]


def test_camera_raw_is_rejected_despite_its_preview(tmp_path):
    tifffile.imwrite(tmp_path / "a.dng", RGB, photometric="rgb")
    with pytest.raises(InputError, match=r"a\.dng: camera RAW; give the photo that was developed from it"):
        read_rgb(tmp_path / "a.dng")


def test_folder_without_photos_is_rejected(tmp_path):
    with pytest.raises(InputError, match="no pictures in it"):
        list_images(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        list_images(tmp_path / "nowhere")


def with_tag(data: bytes, tag: int, value: int) -> bytes:
    """Return a little-endian TIFF file with a tag of its first IFD set to another value."""
    (ifd,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, ifd)
    entries = (ifd + 2 + 12 * index for index in range(count))
    entry = next(entry for entry in entries if struct.unpack_from("<H", data, entry) == (tag,))
    short = struct.unpack_from("<H", data, entry + 2) == (3,)
    return (
        data[: entry + 8]
        + struct.pack("<HH" if short else "<I", *((value, 0) if short else (value,)))
        + data[entry + 12 :]
    )


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
    tifffile.imwrite(tmp_path / "a.tif", RGB16, photometric="rgb", metadata=None)
    (tmp_path / "a.tif").write_bytes(with_tag((tmp_path / "a.tif").read_bytes(), tag, value))
    with pytest.raises(InputError, match=message) as caught:
        read_rgb(tmp_path / "a.tif")
    assert str(caught.value).startswith(str(tmp_path / "a.tif"))


def test_tile_larger_than_the_image_is_rejected(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", RGB16, photometric="rgb", tile=(32, 32), compression="zlib", metadata=None
    )
    data = with_tag((tmp_path / "a.tif").read_bytes(), 322, 2**15)  # TileWidth
    (tmp_path / "a.tif").write_bytes(with_tag(data, 323, 2**15))
    with pytest.raises(InputError, match="tiles or strips of 3221225472 samples, more than the image has"):
        read_rgb(tmp_path / "a.tif")


def png_of_size(width: int, height: int, bits: int) -> bytes:
    """Return a PNG file with the given header and almost no data."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(100))),
        (b"IEND", b""),
    ]
    encoded = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(encoded)


@pytest.mark.parametrize("bits", [8, 16])
def test_large_image_in_a_small_file_is_rejected(tmp_path, bits):
    (tmp_path / "a.png").write_bytes(data := png_of_size(20_000, 20_000, bits))
    with pytest.raises(InputError, match=f"20000 x 20000 pixels in {len(data)} bytes; give an intact"):
        read_rgb(tmp_path / "a.png")


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
