"""Zeros in coded photos and camera RAW, as a power failure or a broken disk leaves them."""

import functools
import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from camera_dng import bayer_of, photo_of, scene, write_dng
from PIL import Image

import omf
from omf.io.camera_raw import read_camera_raw
from omf.io.images import read_rgb
from omf.io.isobmff import coded_images
from omf.io.packed import read_counts
from omf.utils.errors import InputError

SHOWN = scene(0, 240, 320)
NOISE = np.random.default_rng(0).normal(0, 6, (240, 320, 3))
PHOTO = np.clip(photo_of(SHOWN) + NOISE, 0, 255).astype(np.uint8)


@functools.cache
def coded(kind: str, value: int | None = None) -> bytes:
    """Return a file of the photo, or of an even one."""
    pixels = PHOTO if value is None else np.full((600, 800, 3), value, np.uint8)
    content = io.BytesIO()
    if kind == "heic":
        pytest.importorskip("pillow_heif").from_pillow(Image.fromarray(pixels)).save(content)
    elif kind == "tif":
        tifffile.imwrite(content, pixels, photometric="rgb", compression="jpeg", rowsperstrip=64)
    else:
        options = {"lossless": True} if kind == "lossless.webp" else {}
        Image.fromarray(pixels).save(content, kind.rpartition(".")[2].upper(), **options)
    return content.getvalue()


def read(tmp_path: Path, kind: str, content: bytes) -> np.ndarray:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(content)
    return read_rgb(path)


@pytest.mark.parametrize("kind", ["webp", "lossless.webp", "avif", "heic", "tif", "png"])
def test_a_tail_of_zeros_is_refused(tmp_path, kind):
    content = coded(kind)
    read(tmp_path, kind, content)
    for share in (0.4, 0.6, 0.9):
        kept = content[: int(len(content) * share)]
        with pytest.raises(InputError, match="can't be decoded"):
            read(tmp_path, kind, kept.ljust(len(content), b"\0"))


@pytest.mark.parametrize("kind", ["webp", "lossless.webp", "avif", "heic", "png"])
def test_an_empty_sector_is_refused(tmp_path, kind):
    content = coded(kind)
    half = len(content) // 2
    for byte in (b"\0", b"\xff"):
        with pytest.raises(InputError, match="can't be decoded"):
            read(tmp_path, kind, content[:half] + byte * 512 + content[half + 512 :])


def damaged(content: bytes, number: int) -> bytes:
    """Return a file with one wrong byte in its second half."""
    at = len(content) // 2 + number * (len(content) // 24)
    return content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :]


@pytest.mark.parametrize("number", range(8))
def test_checksums_are_compared(tmp_path, number):
    deflate, archive = io.BytesIO(), io.BytesIO()
    tifffile.imwrite(deflate, PHOTO, photometric="rgb", compression="zlib")
    np.savez(archive, raw=PHOTO)
    for kind, content in (("png", coded("png")), ("tif", deflate.getvalue())):
        with pytest.raises(InputError, match="can't be decoded"):
            read(tmp_path, kind, damaged(content, number))
    (tmp_path / "a.npz").write_bytes(damaged(archive.getvalue(), number))
    with pytest.raises(InputError, match="can't be read"):
        read_counts(tmp_path / "a.npz")


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("kind", ["webp", "lossless.webp", "avif", "heic"])
def test_even_photos_are_accepted(tmp_path, kind, value):
    assert read(tmp_path, kind, coded(kind, value)).shape == (600, 800, 3)


def test_the_coded_data_of_heif_are_found():
    for kind in ("heic", "avif"):
        content = coded(kind)
        images = coded_images(content)
        assert 0.5 * len(content) < sum(map(len, images)) < len(content)
        assert all(image and image in content for image in images)
    assert coded_images(b"") == [] and coded_images(bytes(100)) == []


def test_zeros_below_the_black_level_of_camera_raw_are_refused(tmp_path):
    pytest.importorskip("rawpy")
    path = tmp_path / "a.dng"
    write_dng(path, bayer_of(SHOWN), "RGGB", (64,) * 4, 1023)
    assert read_camera_raw(path).mosaic.shape == (240, 320)
    content = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        page = max((p for top in tiff.pages for p in (top, *(top.pages or ()))), key=lambda p: p.imagelength)
        start = page.dataoffsets[0] + page.databytecounts[0] // 2
    for damaged in (
        content[:start].ljust(len(content), b"\0"),
        content[:start] + bytes(512) + content[start + 512 :],
    ):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="a part of it is zeros, below its black level"):
            read_camera_raw(path)


def test_tiles_of_camera_raw_that_end_in_zeros_are_refused(tmp_path):
    pytest.importorskip("rawpy")
    path = tmp_path / "a.dng"
    omf.write_dng((SHOWN + 0.001).clip(0, 1).astype(np.float32), path)
    read_camera_raw(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3].ljust(len(content), b"\0"))
    with pytest.raises(InputError, match="can't be decoded"):
        read_camera_raw(path)
