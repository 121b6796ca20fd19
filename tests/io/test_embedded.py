"""Photos embedded in camera RAW: sizes, orientations, formats and damage."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from camera_dng import bayer_of, jpeg_of, photo_of, scene, write_dng
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
REMEDY = "; put the camera's JPEG beside it, x.jpg"


def decoded(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


def test_the_pixels_are_those_of_the_jpeg(tmp_path: Path):
    write_dng(tmp_path / "x.dng", BAYER, embedded=(JPEG,))
    rgb = read_embedded_photo(tmp_path / "x.dng")
    assert rgb.dtype == np.uint8 and rgb.flags.c_contiguous
    np.testing.assert_array_equal(rgb, decoded(JPEG))
    (tmp_path / "x.jpg").write_bytes(JPEG)
    np.testing.assert_array_equal(rgb, read_rgb(tmp_path / "x.jpg"))
    np.testing.assert_allclose(read_camera_raw(tmp_path / "x.dng").mosaic, BAYER, atol=1e-4)


@pytest.mark.parametrize("order", [1, -1])
def test_the_largest_photo_is_read(tmp_path: Path, order: int):
    small = jpeg_of(PHOTO[::4, ::4])
    write_dng(tmp_path / "x.dng", BAYER, embedded=(small, JPEG)[::order])
    np.testing.assert_array_equal(read_embedded_photo(tmp_path / "x.dng"), decoded(JPEG))


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_orientations_are_not_applied(tmp_path: Path, orientation: int):
    exif = Image.Exif()
    exif[274] = orientation
    write_dng(
        tmp_path / "x.dng", BAYER, orientation=orientation, embedded=(jpeg_of(PHOTO, exif=exif.tobytes()),)
    )
    np.testing.assert_array_equal(read_embedded_photo(tmp_path / "x.dng"), decoded(JPEG))


@pytest.mark.parametrize(
    "photo",
    [
        PHOTO[4:-3, 6:],
        PHOTO[15:-15],
        PHOTO[:, 20:-20],
        np.rot90(PHOTO),
        np.pad(PHOTO, [(4, 4), (4, 4), (0, 0)]),
    ],
    ids=["cropped", "16:9", "1:1", "turned", "larger"],
)
def test_nearly_full_sizes(tmp_path: Path, photo: np.ndarray):
    jpeg = jpeg_of(photo)
    write_dng(tmp_path / "x.dng", BAYER, embedded=(jpeg,))
    np.testing.assert_array_equal(read_embedded_photo(tmp_path / "x.dng"), decoded(jpeg))


def test_uncompressed_photo(tmp_path: Path):
    write_dng(tmp_path / "x.dng", BAYER, embedded=(PHOTO,))
    with rawpy.imread(str(tmp_path / "x.dng")) as raw:
        assert raw.extract_thumb().format == rawpy.ThumbFormat.BITMAP
    np.testing.assert_array_equal(read_embedded_photo(tmp_path / "x.dng"), PHOTO)


def test_grey_photo(tmp_path: Path):
    grey = jpeg_of(PHOTO[..., 1])
    write_dng(tmp_path / "x.dng", BAYER, embedded=(grey,))
    np.testing.assert_array_equal(read_embedded_photo(tmp_path / "x.dng"), decoded(grey))


def test_colour_profile_is_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write_dng(tmp_path / "x.dng", BAYER, embedded=(jpeg_of(PHOTO, icc_profile=profile),))
    given = []
    monkeypatch.setattr("omf.io.images.to_srgb", lambda colours, profile: given.append(profile))
    read_embedded_photo(tmp_path / "x.dng")
    assert given == [profile]


def replaced(content: bytes, replacement: bytes) -> Callable[[bytes], bytes]:
    """Return a function that overwrites a part of the JPEG in a DNG file."""

    def damage(data: bytes) -> bytes:
        start = data.index(JPEG) + JPEG.index(content)
        return data[:start] + replacement + data[start + len(replacement) :]

    return damage


FRAME = b"\xff\xc0"  # marker in front of height and width
HALF = len(JPEG) // 2
RANDOM = np.random.default_rng(0).bytes(len(JPEG) - HALF - 2)
NOT_DECODED, CUT = "the photo embedded in it can't be decoded (", "the photo embedded in it is cut short"
UNKNOWN = "the photo embedded in it is damaged, or not in a format that can be read"
DAMAGE = {  # of the DNG file: what the message says
    "another size in the header": (replaced(FRAME, FRAME + b"\0\x11\x08\xea\x60\xea\x60"), CUT + REMEDY),
    "no JPEG": (replaced(JPEG[:2], b"hello, this is no picture" * 40), UNKNOWN + REMEDY),
    "overwritten": (replaced(JPEG[HALF:], RANDOM + b"\xff\xd9"), NOT_DECODED),
    "half of it zeros": (replaced(JPEG[HALF:], bytes(len(JPEG) - HALF)), CUT + REMEDY),
    "file cut within it": (lambda data: data[: data.index(JPEG) + HALF], CUT + REMEDY),
    "empty": (lambda data: b"", "an empty file"),
    "text": (lambda data: b"hello", "can't be decoded"),
}


def check_refused(path: Path, words: str) -> None:
    with pytest.raises(InputError) as error:
        read_embedded_photo(path)
    line = str(error.value)
    assert line.startswith(f"{path}: ") and words in line and "\n" not in line
    assert "object at" not in line  # a Python object as Pillow quotes it


@pytest.mark.parametrize("case", DAMAGE)
def test_invalid_file_is_reported_on_one_line_in_words(tmp_path: Path, case: str):
    damage, words = DAMAGE[case]
    write_dng(tmp_path / "x.dng", BAYER, embedded=(JPEG,))
    (tmp_path / "x.dng").write_bytes(damage((tmp_path / "x.dng").read_bytes()))
    check_refused(tmp_path / "x.dng", words)


@pytest.mark.parametrize(
    ("photo", "size"),
    [
        (jpeg_of(PHOTO[::2, ::2]), "80 x 60"),
        (jpeg_of(np.rot90(PHOTO)[::2, ::2]), "60 x 80"),
        (PHOTO[:60, :80], "80 x 60"),  # uncompressed
        (jpeg_of(PHOTO.repeat(2, 0).repeat(2, 1)), "320 x 240"),
    ],
)
def test_another_size_is_refused(tmp_path: Path, photo: bytes | np.ndarray, size: str):
    write_dng(tmp_path / "x.dng", BAYER, embedded=(photo,))
    words = f"the photo embedded in it has {size} pixels, the RAW 160 x 120"
    check_refused(tmp_path / "x.dng", words + REMEDY)


def test_without_a_photo_or_a_file(tmp_path: Path):
    check_refused(tmp_path / "x.dng", "no such file")
    write_dng(tmp_path / "x.dng", BAYER)
    check_refused(tmp_path / "x.dng", "no photo is embedded in it" + REMEDY)


def test_sizes_are_checked_without_decoding(tmp_path: Path):
    write_dng(tmp_path / "x.dng", BAYER, embedded=(JPEG,))
    data = (tmp_path / "x.dng").read_bytes()
    (tmp_path / "x.dng").write_bytes(replaced(JPEG[-1000:], b"\xff\xd9" * 500)(data))
    assert open_embedded_photo(tmp_path / "x.dng").size == (160, 120)


@pytest.mark.parametrize(
    ("photo", "raw", "full"),
    [
        ((5472, 3648), (5496, 3670), True),
        ((3648, 5472), (5496, 3670), True),
        ((5472, 3078), (5496, 3670), True),  # 16:9
        ((3648, 3648), (5496, 3670), True),  # 1:1
        ((3200, 2400), (4608, 3456), False),
        ((1616, 1080), (6048, 4024), False),
        ((160, 120), (4032, 3024), False),
        ((8000, 6000), (4000, 3000), False),
    ],
)
def test_full_size(photo: tuple[int, int], raw: tuple[int, int], full: bool):
    assert is_full_size(photo, raw) == full


def test_a_format_that_rawpy_has_no_type_for():
    class Unsupported:
        def extract_thumb(self):
            raise NotImplementedError("thumb type: 5")

    with pytest.raises(InputError, match="not in a format that can be read; put the camera's JPEG beside it"):
        extract_photo(Path("x.dng"), Unsupported())


@pytest.mark.parametrize(
    ("jpeg", "complete"),
    [
        (JPEG, True),
        (JPEG + bytes(100), True),
        (JPEG[:-2], False),
        (jpeg_of(PHOTO, exif=b"Exif\0\0\xff\xd9"), True),
        (jpeg_of(PHOTO, exif=b"Exif\0\0\xff\xd9")[:-2], False),
        (jpeg_of(PHOTO, progressive=True), True),
        (jpeg_of(PHOTO, progressive=True)[:-2], False),
        (JPEG[:2] + b"\xff\xff\xff" + JPEG[2:], True),
        (JPEG[:2], False),
        (b"", False),
    ],
)
def test_the_end_of_a_jpeg(jpeg: bytes, complete: bool):
    assert has_end(jpeg) == complete


def test_a_photo_too_large_for_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(image):
        raise MemoryError

    write_dng(tmp_path / "x.dng", BAYER, embedded=(JPEG,))
    monkeypatch.setattr("omf.io.embedded.decode_8_bit", fail)
    with pytest.raises(InputError, match=r"x\.dng: too large for the available memory; use a machine"):
        read_embedded_photo(tmp_path / "x.dng")


def test_a_name_that_is_not_utf8(tmp_path: Path):
    write_dng(tmp_path / "x.dng", BAYER, embedded=(JPEG,))
    path = (tmp_path / "x.dng").rename(tmp_path / "x\udcff.dng")
    for read in (read_embedded_photo, read_camera_raw):
        with pytest.raises(InputError, match="its name is not UTF-8"):
            read(path)


def test_without_rawpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(InputError, match=r"pip install 'overexposure-mask-fusion\[raw\]'"):
        read_embedded_photo(tmp_path / "x.dng")
