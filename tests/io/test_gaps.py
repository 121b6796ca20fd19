"""Zeros in coded photos and camera RAW, as a power failure or a broken disk leaves them."""

import functools
import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from camera_dng import bayer_of, photo_of, scene, write_dng
from picture_files import assert_refused
from PIL import Image

import omf
from omf.io.camera_raw import read_camera_raw
from omf.io.images import read_rgb
from omf.io.isobmff import coded_images
from omf.io.packed import read_counts

SHOWN = scene(0, 240, 320)
NOISE = np.random.default_rng(0).normal(0, 6, (240, 320, 3))
PHOTO = np.clip(photo_of(SHOWN) + NOISE, 0, 255).astype(np.uint8)
WITH_GAPS = ("webp", "lossless.webp", "avif", "heic")


@functools.cache
def coded(kind: str, value: int | None = None) -> bytes:
    """Return a file of the photo, or of an even one."""
    pixels = PHOTO if value is None else np.full((600, 800, 3), value, np.uint8)
    content = io.BytesIO()
    if kind == "heic":
        pytest.importorskip("pillow_heif").from_pillow(Image.fromarray(pixels)).save(content)
    elif kind.endswith("tif"):
        options = (
            {"compression": "zlib"} if kind == "zlib.tif" else {"compression": "jpeg", "rowsperstrip": 64}
        )
        tifffile.imwrite(content, pixels, photometric="rgb", **options)
    elif kind == "npz":
        np.savez(content, raw=pixels)
    else:
        options = {"lossless": True} if kind == "lossless.webp" else {}
        Image.fromarray(pixels).save(content, kind.rpartition(".")[2].upper(), **options)
    return content.getvalue()


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file of a kind and returns its path."""

    def write_file(kind: str, content: bytes) -> Path:
        (tmp_path / f"a.{kind}").write_bytes(content)
        return tmp_path / f"a.{kind}"

    return write_file


@pytest.mark.parametrize("kind", [*WITH_GAPS, "tif", "png"])
def test_zeros_in_place_of_the_tail_or_of_a_sector_are_refused(write, kind):
    content = coded(kind)
    read_rgb(write(kind, content))
    damaged = [content[: int(len(content) * share)].ljust(len(content), b"\0") for share in (0.4, 0.6, 0.9)]
    if kind != "tif":
        half = len(content) // 2
        damaged += [content[:half] + byte * 512 + content[half + 512 :] for byte in (b"\0", b"\xff")]
    for data in damaged:
        assert_refused("can't be decoded", read_rgb, write(kind, data))


@pytest.mark.parametrize(("kind", "read"), [("png", read_rgb), ("zlib.tif", read_rgb), ("npz", read_counts)])
def test_checksums_are_compared(write, kind, read):
    content = coded(kind)
    for number in range(8):  # one wrong byte in the second half
        at = len(content) // 2 + number * (len(content) // 24)
        damaged = content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :]
        assert_refused("can't be (decoded|read)", read, write(kind, damaged))


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("kind", WITH_GAPS)
def test_even_photos_are_accepted(write, kind, value):
    assert read_rgb(write(kind, coded(kind, value))).shape == (600, 800, 3)


@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_the_coded_data_of_heif_are_found(kind):
    content = coded(kind)
    images = coded_images(content)
    assert 0.5 * len(content) < sum(map(len, images)) < len(content)
    assert all(image and image in content for image in images)
    assert coded_images(b"") == [] and coded_images(bytes(100)) == []


def test_zeros_below_the_black_level_of_camera_raw_are_refused(write, tmp_path):
    pytest.importorskip("rawpy")
    write_dng(tmp_path / "a.dng", bayer_of(SHOWN), white=1023)
    assert read_camera_raw(tmp_path / "a.dng").mosaic.shape == (240, 320)
    content = (tmp_path / "a.dng").read_bytes()
    with tifffile.TiffFile(tmp_path / "a.dng") as tiff:
        page = tiff.pages.first
        start = page.dataoffsets[0] + page.databytecounts[0] // 2
    tail = content[:start].ljust(len(content), b"\0")
    sector = content[:start] + bytes(512) + content[start + 512 :]
    for damaged in (tail, sector):
        words = "a part of it is zeros, below its black level"
        assert_refused(words, read_camera_raw, write("dng", damaged))


def test_tiles_of_camera_raw_that_end_in_zeros_are_refused(write, tmp_path):
    pytest.importorskip("rawpy")
    omf.write_dng((SHOWN + 0.001).clip(0, 1).astype(np.float32), tmp_path / "a.dng")
    read_camera_raw(tmp_path / "a.dng")
    content = (tmp_path / "a.dng").read_bytes()
    damaged = content[: len(content) * 2 // 3].ljust(len(content), b"\0")
    assert_refused("can't be decoded", read_camera_raw, write("dng", damaged))
