"""The challenge entry: submission.zip and its files."""

import zipfile

import numpy as np
import pytest

from omf.pipeline.submission import write_submission
from omf.utils.errors import InputError


def packed(path, value=0, shape=(4, 6, 4), dtype=np.uint16):
    path.parent.mkdir(exist_ok=True)
    np.save(path, np.full(shape, value, dtype))
    return path


def test_the_zip_contains_exactly_this_run(tmp_path):
    out = tmp_path / "submission"
    write_submission(
        [packed(tmp_path / "one" / "a.npy", 1), packed(tmp_path / "two" / "b.npy", 2)], "first\n", out
    )
    write_submission(
        [packed(tmp_path / "one" / "a.npy", 3), packed(tmp_path / "two" / "c.npy", 4)], "second\n", out
    )
    (out / "notes.md").write_text("the user's own")
    with zipfile.ZipFile(out / "submission.zip") as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["a.npy", "c.npy", "readme.txt"]
        assert archive.read("readme.txt") == b"second\n"
        with archive.open("a.npy") as file:
            assert (np.load(file) == 3).all()
    assert sorted(path.name for path in out.iterdir()) == [
        "a.npy",
        "c.npy",
        "notes.md",
        "readme.txt",
        "submission.zip",
    ]


def test_the_same_files_give_the_same_zip(tmp_path):
    raws = [packed(tmp_path / "raw" / f"{name}.npy", i) for i, name in enumerate("ba")]
    write_submission(raws, "text", tmp_path / "first")
    write_submission(raws[::-1], "text", tmp_path / "second")
    assert (tmp_path / "first" / "submission.zip").read_bytes() == (
        tmp_path / "second" / "submission.zip"
    ).read_bytes()


def test_nothing_to_submit_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no image could be reconstructed"):
        write_submission([], "text", tmp_path)
