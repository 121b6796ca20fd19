"""JPEG: the same pixels as Pillow's of intact files, and no invented ones of damaged files."""

import functools
import io
import struct
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from camera_dng import photo_of, scene
from conftest import ROOT, random_rgb
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from omf.io.images import read_rgb
from omf.utils.errors import InputError

PHOTO = photo_of(scene(0, 200, 280))
KINDS = {
    "baseline": ("RGB", {"subsampling": 0}),
    "4:2:0": ("RGB", {"subsampling": 2}),
    "own tables": ("RGB", {"optimize": True}),
    "grey": ("L", {}),
    "CMYK": ("CMYK", {}),
    "restart markers": ("RGB", {"restart_marker_rows": 1}),
    "many restart markers": ("RGB", {"restart_marker_blocks": 3}),
    "thumbnail": ("RGB", {"exif": b"Exif\0\0" + b"\xff\xd8\xff\xda\0\2\xff\xd9" * 9}),
    "progressive": ("RGB", {"progressive": True}),
    "progressive, grey, restart markers": ("L", {"progressive": True, "restart_marker_rows": 2}),
}


def jpeg(pixels: np.ndarray = PHOTO, mode: str = "RGB", **options: object) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(content, "JPEG", **{"quality": 92} | options)
    return content.getvalue()


@functools.cache
def of_kind(kind: str) -> bytes:
    mode, options = KINDS[kind]
    return jpeg(PHOTO, mode, **options)


def read(tmp_path: Path, content: bytes) -> np.ndarray:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    return read_rgb(path)


def fill(content: bytes, share: float, byte: bytes) -> bytes:
    """Replace all that follows a share of a file."""
    kept = content[: int(len(content) * share)]
    return (kept + byte * len(content))[: len(content)]


TAILS = {
    "zeros": lambda content, share: fill(content, share, b"\0"),
    "zeros and an end": lambda content, share: fill(content, share, b"\0")[:-2] + b"\xff\xd9",
    "FF": lambda content, share: fill(content, share, b"\xff"),
    "text": lambda content, share: fill(content, share, b"<html>error</html>\n"),
    "another photo": lambda content, share: content[: int(len(content) * share)] + jpeg(random_rgb(99, 99)),
    "nothing": lambda content, share: content[: int(len(content) * share)],
    "an end": lambda content, share: content[: int(len(content) * share)] + b"\xff\xd9",
}


@pytest.mark.parametrize("share", [0.3, 0.8, 0.995])
@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_tail_is_refused(tmp_path, kind, tail, share):
    with pytest.raises(InputError, match="decoded") as error:
        read(tmp_path, TAILS[tail](of_kind(kind), share))
    assert "can't be decoded (" in str(error.value)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "progressive" not in kind])
def test_damage_in_the_middle_is_refused(tmp_path, kind):
    content = of_kind(kind)
    starts = [int(len(content) * share) for share in (0.3, 0.6)]
    for start, size, filling in product(starts, (512, 4096), (b"\0", b"")):
        with pytest.raises(InputError, match="can't be decoded"):
            read(tmp_path, content[:start] + filling * size + content[start + size :])


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_that_are_no_pixels_are_ignored(tmp_path, kind):
    content = of_kind(kind)
    expected = read(tmp_path, content)
    for odd in (
        content + bytes(5000),
        content + jpeg(random_rgb(9, 9)),
        content[:-2] + b"\xff" * 30 + content[-2:],
        content[:2] + b"\xff\xfe\0\4ab" + content[2:],
    ):
        np.testing.assert_array_equal(read(tmp_path, odd), expected)
    if "progressive" not in kind and kind != "own tables":
        np.testing.assert_array_equal(read(tmp_path, content[:-2] + bytes(100) + content[-2:]), expected)


def test_zeros_behind_data_that_end_in_a_zero_are_ignored(tmp_path):
    content = jpeg(np.full((16, 16, 3), 128, np.uint8), subsampling=2)
    assert content[-3] == 0
    assert (read(tmp_path, content[:-2] + bytes(100) + content[-2:]) == 128).all()


def test_a_photo_of_two_images(tmp_path):
    images = [Image.fromarray(random_rgb(80, 90, seed)) for seed in (1, 2)]
    content = io.BytesIO()
    images[0].save(content, "MPO", save_all=True, append_images=images[1:])
    content = content.getvalue()
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "MPO"
        np.testing.assert_array_equal(read(tmp_path, content), np.asarray(image))
    first = content.index(b"\xff\xd9\xff\xd8")
    with pytest.raises(InputError, match="can't be decoded"):
        read(tmp_path, content[: first - 500] + bytes(500) + content[first:])


@given(
    shape=st.tuples(st.integers(2, 40), st.integers(2, 40)),
    kind=st.sampled_from(["noise", "even", "ramp"]),
    mode=st.sampled_from(["RGB", "L", "CMYK"]),
    options=st.fixed_dictionaries(
        {
            "quality": st.integers(1, 100),
            "subsampling": st.integers(0, 2),
            "progressive": st.booleans(),
            "optimize": st.booleans(),
            "restart_marker_blocks": st.integers(0, 5),
        }
    ),
    seed=st.integers(0, 999),
)
def test_any_intact_jpeg_is_read_as_pillow_does(tmp_path_factory, shape, kind, mode, options, seed):
    rng = np.random.default_rng(seed)
    pixels = {
        "noise": rng.integers(0, 256, (*shape, 3)),
        "even": np.full((*shape, 3), rng.integers(256)),
        "ramp": np.add.outer(*map(np.arange, shape))[..., None] * [1, 2, 3] % 256,
    }[kind].astype(np.uint8)
    content = jpeg(pixels, mode, **options)
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(read(tmp_path_factory.getbasetemp(), content), expected)


def test_a_large_even_photo_is_no_gap(tmp_path):
    """Own tables code even areas by zeros."""
    pixels = np.full((1500, 2000, 3), 255, np.uint8)
    content = jpeg(pixels, optimize=True)
    assert bytes(1000) in content
    assert (read(tmp_path, content) == 255).all()


@pytest.mark.parametrize("folder", ["phones", "s7", "real"])
def test_photos_of_cameras_are_accepted(folder):
    photos = sorted((ROOT.parent / "shared" / folder).glob("*.jpg"))[:8:4]
    if not photos:
        pytest.skip(f"needs {folder}")
    for photo in photos:
        expected = np.asarray(Image.open(photo).convert("RGB"))
        np.testing.assert_array_equal(read_rgb(photo), expected)


def changed(content: bytes, offset: int, field: bytes) -> bytes:
    """Return a JPEG with another field in its frame header."""
    at = content.index(b"\xff\xc0") + offset
    return content[:at] + field + content[at + len(field) :]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (changed(jpeg(), 4, b"\x0c"), "a JPEG of 12 bits a sample; save it with 8"),
        (changed(jpeg(), 5, struct.pack(">H", 0)), "a JPEG whose header gives no height"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + jpeg(), "a JPEG behind 19 bytes that do not belong to it; remove them"),
    ],
)
def test_what_pillow_does_not_know_is_named(tmp_path, content, words):
    with pytest.raises(InputError, match=words):
        read(tmp_path, content)
