import io
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from conftest import random_rgb
from PIL import Image, ImageCms

from omf.errors import InputError
from omf.images import group_by_stem, list_images, read_rgb
from omf.isp import encode_srgb

RGB = random_rgb(20, 31)
RGB16 = random_rgb(20, 31, dtype=np.uint16)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "A.PNG", "with space.tiff"])
def test_8_bit_is_read_as_it_is(tmp_path, name):
    Image.fromarray(RGB).save(tmp_path / name)
    assert (read_rgb(tmp_path / name) == RGB).all()
    assert read_rgb(tmp_path / name).dtype == np.uint8


def test_jpeg(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", quality=100, subsampling=0)
    assert np.abs(read_rgb(tmp_path / "a.jpg").astype(int) - RGB).mean() < 1


def test_16_bit_png_keeps_its_16_bits(tmp_path):
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(RGB16))
    assert (read_rgb(tmp_path / "a.png") == RGB16).all()


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "predictor": True}, {"compression": "lzw"}])
def test_16_bit_tiff_keeps_its_16_bits(tmp_path, options):
    tifffile.imwrite(tmp_path / "a.tif", RGB16, photometric="rgb", **options)
    assert (read_rgb(tmp_path / "a.tif") == RGB16).all()


def test_tiff_in_planes(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(RGB16, -1, 0), photometric="rgb", planarconfig="separate")
    assert (read_rgb(tmp_path / "a.tif") == RGB16).all()


@pytest.mark.parametrize("name", ["grey.jpg", "grey.png", "grey.tif"])
def test_grey_becomes_three_equal_channels(tmp_path, name):
    Image.fromarray(RGB[..., 1]).save(tmp_path / name)
    pixels = read_rgb(tmp_path / name)
    assert pixels.shape == RGB.shape
    assert (pixels[..., 0] == pixels[..., 1]).all()
    assert (pixels[..., 1] == pixels[..., 2]).all()
    if name != "grey.jpg":
        assert (pixels[..., 0] == RGB[..., 1]).all()


@pytest.mark.parametrize("name", ["grey.png", "grey.tif"])
def test_grey_of_16_bits(tmp_path, name):
    if name == "grey.png":
        (tmp_path / name).write_bytes(imagecodecs.png_encode(RGB16[..., 0].copy()))
    else:
        tifffile.imwrite(tmp_path / name, RGB16[..., 0])
    assert (read_rgb(tmp_path / name) == RGB16[..., :1]).all()


def test_alpha_is_dropped_and_the_colours_stay(tmp_path):
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


def test_pixels_stay_in_the_sensors_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to look at it
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif)
    assert read_rgb(tmp_path / "a.jpg").shape == RGB.shape


def linear_profile() -> bytes:
    """An ICC profile with sRGB's primaries and no tone curve (ICC.1:2001, matrix/TRC)."""

    def xyz(*values):
        return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))

    curve = b"curv" + bytes(4) + struct.pack(">I", 0)
    text = b"desc" + bytes(4) + struct.pack(">I", 7) + b"linear\0" + bytes(78 + 1)
    tags = {
        b"desc": text,
        b"wtpt": xyz(0.9642, 1, 0.8249),
        b"rXYZ": xyz(0.4361, 0.2225, 0.0139),
        b"gXYZ": xyz(0.3851, 0.7169, 0.0971),
        b"bXYZ": xyz(0.1431, 0.0606, 0.7141),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    table, data, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += name + struct.pack(">II", offset + len(data), len(value))
        data += value
    body = struct.pack(">I", len(tags)) + table + data
    header = struct.pack(">I4sI4s4s4s", 128 + len(body), b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ") + bytes(12)
    header += b"acsp" + bytes(28) + struct.pack(">3i", *(round(v * 65536) for v in (0.9642, 1, 0.8249)))
    return header + bytes(128 - len(header)) + body


def test_an_embedded_profile_is_converted_to_srgb(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "linear.png", icc_profile=linear_profile())
    expected = 255 * encode_srgb(RGB / 255)
    assert np.abs(read_rgb(tmp_path / "linear.png") - expected).max() <= 2


@pytest.mark.parametrize("profile", [ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), b"not a profile"])
def test_srgb_and_broken_profiles_change_nothing(tmp_path, profile):
    Image.fromarray(RGB).save(tmp_path / "a.png", icc_profile=profile)
    assert (read_rgb(tmp_path / "a.png") == RGB).all()


def jpeg_bytes() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(random_rgb(200, 200)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jpg", b"", "not a picture that can be read"),
        ("text.jpg", b"not a picture", "not a picture that can be read"),
        ("cut.jpg", jpeg_bytes()[:3000], "can't be decoded"),
        ("cut.png", b"\x89PNG\r\n\x1a\n" + bytes(20), "not a picture|can't be decoded"),
        ("gone.jpg", None, "No such file"),
    ],
)
def test_what_can_not_be_read_is_told_in_one_line(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_rgb(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_other_kinds_of_pictures_are_refused(tmp_path):
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


def test_a_folder_without_pictures_is_told(tmp_path):
    with pytest.raises(InputError, match="no pictures in it"):
        list_images(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        list_images(tmp_path / "nowhere")
