import struct

import numpy as np
import pytest

from omf.io.packed import list_packed, read_packed
from omf.utils.errors import InputError


def packed(path, value=0, shape=(4, 6, 4), dtype=np.uint16):
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
def test_other_files_are_refused_by_name(tmp_path, shape, dtype, value, message):
    np.save(tmp_path / "a.npy", np.full(shape, value, dtype), allow_pickle=True)
    with pytest.raises(InputError, match=message) as caught:
        read_packed(tmp_path / "a.npy")
    assert "a.npy" in str(caught.value)


def npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(192)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"not an array", b"\x93NUMPY\x01\x00", b"PK\x03\x04" + bytes(60)),
        npy(
            "{'descr': '<u2', 'fortran_order': False, 'shape': (1099511627776, 2, 4), }"
        ),  # more than the file holds
        npy("{'descr': '<u2', 'fortran_order': False, 'shape': (4, 6, 4), "),
        npy("{'descr': '<u2', 'fortran_order': False, 'shape': (4, 6, 4), 3: 4}"),
        npy("{'descr': '<u2', 'fortran_order': False, 'shape': (4, 6, 4), []: 4}"),
        npy("{'descr': ('<u2',), 'fortran_order': False, 'shape': (4, 6, 4)}"),
        npy("(" * 3000),
    ],
)
def test_broken_files_are_refused_by_name(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npy: (can't be read|an empty file)"):
        read_packed(tmp_path / "a.npy")


def test_the_white_level_itself_is_allowed(tmp_path):
    assert read_packed(packed(tmp_path / "a.npy", 1024)).max() == 1024


def test_listing(tmp_path):
    packed(tmp_path / "a.npy")
    packed(tmp_path / ".b.npy")
    assert list_packed(tmp_path) == {"a": tmp_path / "a.npy"}
    with pytest.raises(InputError, match="no such folder"):
        list_packed(tmp_path / "nowhere")
