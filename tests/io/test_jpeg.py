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
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_files import assert_refused
from PIL import Image

from omf.io.images import read_rgb

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
END = b"\xff\xd9"


def jpeg(pixels: np.ndarray = PHOTO, mode: str = "RGB", **options: object) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(content, "JPEG", **{"quality": 92} | options)
    return content.getvalue()


@functools.cache
def of_kind(kind: str) -> bytes:
    mode, options = KINDS[kind]
    return jpeg(PHOTO, mode, **options)


def write(folder: Path, content: bytes) -> Path:
    (folder / "a.jpg").write_bytes(content)
    return folder / "a.jpg"


def read(folder: Path, content: bytes) -> np.ndarray:
    return read_rgb(write(folder, content))


def as_pillow(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


TAILS = {  # what follows the intact part, and of the length of the file
    "zeros": lambda length: bytes(length),
    "zeros and an end": lambda length: bytes(length - 2) + END,
    "FF": lambda length: b"\xff" * length,
    "text": lambda length: (b"<html>error</html>\n" * length)[:length],
    "another photo": lambda length: jpeg(random_rgb(99, 99)),
    "nothing": lambda length: b"",
    "an end": lambda length: END,
}


@pytest.mark.parametrize("share", [0.3, 0.8, 0.995])
@pytest.mark.parametrize("tail", TAILS)
def test_a_wrong_tail_is_refused(tmp_path, tail, share):
    for kind in KINDS:
        content = of_kind(kind)
        kept = int(len(content) * share)
        damaged = write(tmp_path, content[:kept] + TAILS[tail](len(content) - kept))
        assert_refused(r"can't be decoded \(", read_rgb, damaged)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "progressive" not in kind])
def test_damage_in_the_middle_is_refused(tmp_path, kind):
    content = of_kind(kind)
    for share, size, filling in product((0.3, 0.6), (512, 4096), (b"\0", b"")):
        start = int(len(content) * share)
        damaged = content[:start] + filling * size + content[start + size :]
        assert_refused("can't be decoded", read_rgb, write(tmp_path, damaged))


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_that_are_no_pixels_are_ignored(tmp_path, kind):
    content = of_kind(kind)
    odd = [
        content,
        content + bytes(5000),
        content + jpeg(random_rgb(9, 9)),
        content[:-2] + b"\xff" * 30 + END,
        content[:2] + b"\xff\xfe\0\4ab" + content[2:],
    ]
    if "progressive" not in kind and kind != "own tables":
        odd.append(content[:-2] + bytes(100) + END)
    for changed in odd:
        np.testing.assert_array_equal(read(tmp_path, changed), as_pillow(content))


def test_zeros_behind_data_that_end_in_a_zero_are_ignored(tmp_path):
    content = jpeg(np.full((16, 16, 3), 128, np.uint8), subsampling=2)
    assert content[-3] == 0
    assert (read(tmp_path, content[:-2] + bytes(100) + END) == 128).all()


def test_a_photo_of_two_images(tmp_path):
    images = [Image.fromarray(random_rgb(80, 90, seed)) for seed in (1, 2)]
    file = io.BytesIO()
    images[0].save(file, "MPO", save_all=True, append_images=images[1:])
    content = file.getvalue()
    assert Image.open(file).format == "MPO"
    np.testing.assert_array_equal(read(tmp_path, content), as_pillow(content))
    first = content.index(b"\xff\xd9\xff\xd8")
    damaged = content[: first - 500] + bytes(500) + content[first:]
    assert_refused("can't be decoded", read_rgb, write(tmp_path, damaged))


OPTIONS = {
    "quality": st.integers(1, 100),
    "subsampling": st.integers(0, 2),
    "progressive": st.booleans(),
    "optimize": st.booleans(),
    "restart_marker_blocks": st.integers(0, 5),
}


@settings(max_examples=40)
@given(
    shape=st.tuples(st.integers(2, 40), st.integers(2, 40)),
    kind=st.sampled_from(["noise", "even", "ramp"]),
    mode=st.sampled_from(["RGB", "L", "CMYK"]),
    options=st.fixed_dictionaries(OPTIONS),
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
    np.testing.assert_array_equal(read(tmp_path_factory.getbasetemp(), content), as_pillow(content))


def test_a_large_even_photo_is_no_gap(tmp_path):
    """Own tables code even areas by zeros."""
    content = jpeg(np.full((1500, 2000, 3), 255, np.uint8), optimize=True)
    assert bytes(1000) in content
    assert (read(tmp_path, content) == 255).all()


@pytest.mark.parametrize("folder", ["phones", "s7", "real"])
def test_photos_of_cameras_are_accepted(folder):
    photos = sorted((ROOT.parent / "shared" / folder).glob("*.jpg"))[:8:4]
    if not photos:
        pytest.skip(f"needs {folder}")
    for photo in photos:
        np.testing.assert_array_equal(read_rgb(photo), as_pillow(photo.read_bytes()))


def changed(offset: int, field: bytes) -> bytes:
    """Return a JPEG with another field in its frame header."""
    at = jpeg().index(b"\xff\xc0") + offset
    return jpeg()[:at] + field + jpeg()[at + len(field) :]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (changed(4, b"\x0c"), "a JPEG of 12 bits a sample; save it with 8"),
        (changed(5, struct.pack(">H", 0)), "a JPEG whose header gives no height"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + jpeg(), "a JPEG behind 19 bytes that do not belong to it; remove them"),
    ],
)
def test_jpeg_that_pillow_does_not_know_is_named(tmp_path, content, words):
    assert_refused(words, read_rgb, write(tmp_path, content))
