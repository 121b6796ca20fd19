"""Photos embedded in camera RAW: sizes, orientations, formats and damage."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from camera_dng import bayer_of, jpeg_of, photo_of, scene, write_dng
from picture_files import assert_refused
from PIL import Image, ImageCms

from omf.io.camera_raw import read_camera_raw
from omf.io.embedded import extract_photo, is_full_size, open_embedded_photo, read_embedded_photo
from omf.io.images import read_rgb
from omf.io.jpeg import has_end
from omf.utils.errors import InputError

rawpy = pytest.importorskip("rawpy")

SHOWN = scene(0, 120, 160)
PHOTO = photo_of(SHOWN)
BAYER = bayer_of(SHOWN)
JPEG = jpeg_of(PHOTO)
REMEDY = "; put the camera's JPEG beside it, x.jpg$"


@pytest.fixture
def path(tmp_path) -> Path:
    """Return a DNG with an embedded JPEG."""
    write_dng(tmp_path / "x.dng", BAYER, embedded=(JPEG,))
    return tmp_path / "x.dng"


def decoded(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


def test_the_pixels_are_those_of_the_jpeg(path):
    rgb = read_embedded_photo(path)
    assert rgb.dtype == np.uint8 and rgb.flags.c_contiguous
    np.testing.assert_array_equal(rgb, decoded(JPEG))
    path.with_suffix(".jpg").write_bytes(JPEG)
    np.testing.assert_array_equal(rgb, read_rgb(path.with_suffix(".jpg")))
    np.testing.assert_allclose(read_camera_raw(path).mosaic, BAYER, atol=1e-4)


SMALL = jpeg_of(PHOTO[::4, ::4])
PHOTOS = {  # embedded photos, of which the last is read
    "largest last": (SMALL, JPEG),
    "cropped": (jpeg_of(PHOTO[4:-3, 6:]),),
    "16:9": (jpeg_of(PHOTO[15:-15]),),
    "1:1": (jpeg_of(PHOTO[:, 20:-20]),),
    "turned": (jpeg_of(np.rot90(PHOTO)),),
    "larger": (jpeg_of(np.pad(PHOTO, [(4, 4), (4, 4), (0, 0)])),),
    "grey": (jpeg_of(PHOTO[..., 1]),),
}


@pytest.mark.parametrize("case", PHOTOS)
def test_the_largest_photo_of_nearly_full_size_is_read(tmp_path, case):
    for photos in (PHOTOS[case], PHOTOS[case][::-1]):
        write_dng(tmp_path / "x.dng", BAYER, embedded=photos)
        np.testing.assert_array_equal(read_embedded_photo(tmp_path / "x.dng"), decoded(PHOTOS[case][-1]))


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_orientations_are_not_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    jpeg = jpeg_of(PHOTO, exif=exif.tobytes())
    write_dng(tmp_path / "x.dng", BAYER, orientation=orientation, embedded=(jpeg,))
    np.testing.assert_array_equal(read_embedded_photo(tmp_path / "x.dng"), decoded(JPEG))


def test_uncompressed_photo(tmp_path):
    write_dng(tmp_path / "x.dng", BAYER, embedded=(PHOTO,))
    with rawpy.imread(str(tmp_path / "x.dng")) as raw:
        assert raw.extract_thumb().format == rawpy.ThumbFormat.BITMAP
    np.testing.assert_array_equal(read_embedded_photo(tmp_path / "x.dng"), PHOTO)


def test_colour_profile_is_applied(tmp_path, monkeypatch):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write_dng(tmp_path / "x.dng", BAYER, embedded=(jpeg_of(PHOTO, icc_profile=profile),))
    given = []
    monkeypatch.setattr("omf.io.images.to_srgb", lambda colours, profile: given.append(profile))
    read_embedded_photo(tmp_path / "x.dng")
    assert given == [profile]


def replaced(data: bytes, content: bytes, replacement: bytes) -> bytes:
    """Return a DNG with a part of its JPEG overwritten."""
    start = data.index(JPEG) + JPEG.index(content)
    return data[:start] + replacement + data[start + len(replacement) :]


FRAME = b"\xff\xc0"  # marker in front of height and width
HALF = len(JPEG) // 2
RANDOM = np.random.default_rng(0).bytes(len(JPEG) - HALF - 2)
NOT_DECODED, CUT = r"the photo embedded in it can't be decoded \(", "the photo embedded in it is cut short"
UNKNOWN = "the photo embedded in it is damaged, or not in a format that can be read"
HUGE = FRAME + b"\0\x11\x08\xea\x60\xea\x60"
DAMAGE = {
    "another size in the header": (lambda data: replaced(data, FRAME, HUGE), CUT + REMEDY),
    "no JPEG": (lambda data: replaced(data, JPEG[:2], b"hello, this is no picture" * 40), UNKNOWN + REMEDY),
    "overwritten": (lambda data: replaced(data, JPEG[HALF:], RANDOM + b"\xff\xd9"), NOT_DECODED),
    "half zeros": (lambda data: replaced(data, JPEG[HALF:], bytes(len(JPEG) - HALF)), CUT + REMEDY),
    "file cut within it": (lambda data: data[: data.index(JPEG) + HALF], CUT + REMEDY),
    "empty": (lambda data: b"", "an empty file"),
    "text": (lambda data: b"hello", "can't be decoded"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_reported_in_words(path, case):
    damage, words = DAMAGE[case]
    path.write_bytes(damage(path.read_bytes()))
    assert_refused(words, read_embedded_photo, path)


@pytest.mark.parametrize(
    ("photos", "words"),
    [
        ((jpeg_of(PHOTO[::2, ::2]),), "has 80 x 60 pixels, the RAW 160 x 120"),
        ((jpeg_of(np.rot90(PHOTO)[::2, ::2]),), "has 60 x 80 pixels, the RAW 160 x 120"),
        ((PHOTO[:60, :80],), "has 80 x 60 pixels, the RAW 160 x 120"),  # uncompressed
        ((jpeg_of(PHOTO.repeat(2, 0).repeat(2, 1)),), "has 320 x 240 pixels, the RAW 160 x 120"),
        ((), "no photo is embedded in it"),
    ],
)
def test_another_size_or_none_is_refused(tmp_path, photos, words):
    write_dng(tmp_path / "x.dng", BAYER, embedded=photos)
    assert_refused(words + REMEDY, read_embedded_photo, tmp_path / "x.dng")


def test_sizes_are_checked_without_decoding(path):
    path.write_bytes(replaced(path.read_bytes(), JPEG[-1000:], b"\xff\xd9" * 500))
    assert open_embedded_photo(path).size == (160, 120)


def test_full_size():
    for photo in ((5472, 3648), (3648, 5472), (5472, 3078), (3648, 3648)):  # 3:2, turned, 16:9, 1:1
        assert is_full_size(photo, (5496, 3670))
    small, large = ((3200, 2400), (1616, 1080), (160, 120)), ((4608, 3456), (6048, 4024), (4032, 3024))
    for photo, raw in (*zip(small, large), ((8000, 6000), (4000, 3000))):
        assert not is_full_size(photo, raw)


def test_a_format_that_rawpy_has_no_type_for():
    class Unsupported:
        def extract_thumb(self):
            raise NotImplementedError("thumb type: 5")

    assert_refused(UNKNOWN + REMEDY, lambda path: extract_photo(path, Unsupported()), Path("x.dng"))


END_IN_EXIF = jpeg_of(PHOTO, exif=b"Exif\0\0\xff\xd9")
PROGRESSIVE = jpeg_of(PHOTO, progressive=True)


@pytest.mark.parametrize("jpeg", [JPEG, END_IN_EXIF, PROGRESSIVE, JPEG[:2] + b"\xff\xff\xff" + JPEG[2:]])
def test_the_end_of_a_jpeg(jpeg):
    assert has_end(jpeg) and has_end(jpeg + bytes(100))
    assert not any(map(has_end, (jpeg[:-2], jpeg[:2], b"")))


def test_a_photo_too_large_for_the_memory(path, monkeypatch):
    def fail(image):
        raise MemoryError

    monkeypatch.setattr("omf.io.embedded.decode_8_bit", fail)
    assert_refused("too large for the available memory; use a machine", read_embedded_photo, path)


def test_a_name_that_is_not_utf8(path):
    path = path.rename(path.with_name("x\udcff.dng"))
    for read in (read_embedded_photo, read_camera_raw):
        with pytest.raises(InputError, match="its name is not UTF-8"):
            read(path)


def test_without_rawpy(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(InputError, match=r"pip install 'overexposure-mask-fusion\[raw\]'"):
        read_embedded_photo(path)
