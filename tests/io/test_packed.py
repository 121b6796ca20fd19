"""Packed RAW that is read, listed and refused."""

import struct

import numpy as np
import pytest
from picture_files import assert_refused

from omf.io.packed import list_packed, read_packed

SHAPE = (4, 6, 4)


def npy(header: str) -> bytes:
    """Return a .npy file with the given header and 192 bytes of zeros."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(192)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (np.zeros((4, 6), np.uint16), r"uint16 \(4, 6\)"),
        (np.zeros((4, 6, 3), np.uint16), r"uint16 \(4, 6, 3\)"),
        (np.zeros(SHAPE, np.float32), "float32"),
        (np.full(SHAPE, 1025, np.uint16), "counts up to 1025; the white level is 1024"),
        (np.full(SHAPE, None, object), "can't be read"),
        (b"", "an empty file"),
        (b"not an array", "can't be read"),
        (b"\x93NUMPY\x01\x00", "can't be read"),
        (b"PK\x03\x04" + bytes(60), "can't be read"),
        # a larger shape than the file contains
        (npy("{'descr': '<u2', 'fortran_order': False, 'shape': (1099511627776, 2, 4), }"), "can't be read"),
        (npy("{'descr': '<u2', 'fortran_order': False, 'shape': (4, 6, 4), "), "can't be read"),
        (npy("{'descr': '<u2', 'fortran_order': False, 'shape': (4, 6, 4), 3: 4}"), "can't be read"),
        (npy("{'descr': '<u2', 'fortran_order': False, 'shape': (4, 6, 4), []: 4}"), "can't be read"),
        (npy("{'descr': ('<u2',), 'fortran_order': False, 'shape': (4, 6, 4)}"), "can't be read"),
        (npy("(" * 3000), "can't be read"),
    ],
)
def test_other_content_is_refused(tmp_path, content, words):
    path = tmp_path / "a.npy"
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    assert_refused(words, read_packed, path)


def test_visible_files_are_listed_and_may_be_white(tmp_path):
    for name in ("a", ".b"):
        np.save(tmp_path / f"{name}.npy", np.full(SHAPE, 1024, np.uint16))
    assert list_packed(tmp_path) == {"a": tmp_path / "a.npy"}
    assert read_packed(tmp_path / "a.npy").max() == 1024
    assert_refused("no such folder", list_packed, tmp_path / "nowhere")
