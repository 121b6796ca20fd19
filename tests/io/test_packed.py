import struct

import numpy as np
import pytest

from omf.io.packed import list_packed, read_packed
from omf.utils.errors import InputError


def save_packed(path, value=0, shape=(4, 6, 4), dtype=np.uint16):
    np.save(path, np.full(shape, value, dtype))
    return path


@pytest.mark.parametrize(
    ("shape", "dtype", "value", "message"),
    [
        ((4, 6), np.uint16, 0, r"uint16 \(4, 6\)"),
        ((4, 6, 3), np.uint16, 0, r"uint16 \(4, 6, 3\)"),
        ((4, 6, 4), np.float32, 0, "float32"),
        ((4, 6, 4), np.uint16, 1025, "counts up to 1025; the white level is 1024"),
        ((4, 6, 4), object, None, "can't be read"),
    ],
)
def test_other_content_is_rejected_with_the_file_name(tmp_path, shape, dtype, value, message):
    np.save(tmp_path / "a.npy", np.full(shape, value, dtype), allow_pickle=True)
    with pytest.raises(InputError, match=message) as caught:
        read_packed(tmp_path / "a.npy")
    assert "a.npy" in str(caught.value)


def npy_bytes(header: str) -> bytes:
    """Return a .npy file with the given header and 192 bytes of zeros."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(192)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"not an array", b"\x93NUMPY\x01\x00", b"PK\x03\x04" + bytes(60)),
        # a larger shape than the file contains
        npy_bytes("{'descr': '<u2', 'fortran_order': False, 'shape': (1099511627776, 2, 4), }"),
        npy_bytes("{'descr': '<u2', 'fortran_order': False, 'shape': (4, 6, 4), "),
        npy_bytes("{'descr': '<u2', 'fortran_order': False, 'shape': (4, 6, 4), 3: 4}"),
        npy_bytes("{'descr': '<u2', 'fortran_order': False, 'shape': (4, 6, 4), []: 4}"),
        npy_bytes("{'descr': ('<u2',), 'fortran_order': False, 'shape': (4, 6, 4)}"),
        npy_bytes("(" * 3000),
    ],
)
def test_damaged_files_are_rejected_with_their_name(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npy: (can't be read|an empty file)"):
        read_packed(tmp_path / "a.npy")


def test_counts_at_the_white_level_are_valid(tmp_path):
    assert read_packed(save_packed(tmp_path / "a.npy", 1024)).max() == 1024


def test_listing(tmp_path):
    save_packed(tmp_path / "a.npy")
    save_packed(tmp_path / ".b.npy")
    assert list_packed(tmp_path) == {"a": tmp_path / "a.npy"}
    with pytest.raises(InputError, match="no such folder"):
        list_packed(tmp_path / "nowhere")
