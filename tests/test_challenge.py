import struct
import zipfile

import numpy as np
import pytest

from omf.challenge import list_packed, read_packed, readme_text, scores_text, write_submission
from omf.errors import InputError


def packed(path, value=0, shape=(4, 6, 4), dtype=np.uint16):
    path.parent.mkdir(exist_ok=True)
    np.save(path, np.full(shape, value, dtype))
    return path


def test_the_readme_has_the_scorers_four_lines():
    text = readme_text(1.23456, on_cpu=True, extra_data=False, description="a: b")
    assert text.splitlines() == [
        "runtime per image [s] : 1.2346",
        "CPU[1] / GPU[0] : 1",
        "Extra Data [1] / No Extra Data [0] : 0",
        "Other description : a: b",
    ]


def test_the_scorers_answer():
    readme = readme_text(1.23456, on_cpu=True, extra_data=False, description="a: b")
    assert scores_text(28.5, 0.8, readme) == "PSNR:28.5\nSSIM:0.8\nExtraRuntime:1.2346\nExtraPlatform:1\nExtraData:0\n"


def test_the_zip_holds_exactly_this_run(tmp_path):
    out = tmp_path / "submission"
    write_submission([packed(tmp_path / "one" / "a.npy", 1), packed(tmp_path / "two" / "b.npy", 2)], "first\n", out)
    write_submission([packed(tmp_path / "one" / "a.npy", 3), packed(tmp_path / "two" / "c.npy", 4)], "second\n", out)
    (out / "notes.md").write_text("the user's own")
    with zipfile.ZipFile(out / "submission.zip") as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["a.npy", "c.npy", "readme.txt"]
        assert archive.read("readme.txt") == b"second\n"
        with archive.open("a.npy") as file:
            assert (np.load(file) == 3).all()
    assert sorted(path.name for path in out.iterdir()) == ["a.npy", "c.npy", "notes.md", "readme.txt", "submission.zip"]


def test_the_same_files_give_the_same_zip(tmp_path):
    raws = [packed(tmp_path / "raw" / f"{name}.npy", i) for i, name in enumerate("ba")]
    write_submission(raws, "text", tmp_path / "first")
    write_submission(raws[::-1], "text", tmp_path / "second")
    assert (tmp_path / "first" / "submission.zip").read_bytes() == (tmp_path / "second" / "submission.zip").read_bytes()


def test_nothing_to_submit_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no image could be reconstructed"):
        write_submission([], "text", tmp_path)


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
        npy("{'descr': '<u2', 'fortran_order': False, 'shape': (1099511627776, 2, 4), }"),  # more than the file holds
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
