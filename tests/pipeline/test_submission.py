"""The challenge entry: submission.zip and its files."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from omf.pipeline.submission import write_submission
from omf.utils import written
from omf.utils.errors import InputError


@pytest.fixture(autouse=True)
def command(monkeypatch):
    """Run a test as a step of the workflow."""
    monkeypatch.setattr(written, "command", written.Command(written.RUN_COMMAND))


def packed(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(exist_ok=True)
    np.save(path, np.full((4, 6, 4), value, np.uint16))
    return path


def test_the_zip_contains_exactly_this_run(tmp_path):
    out = tmp_path / "submission"
    for text, a, other in (("first\n", 1, "b"), ("second\n", 3, "c")):
        raws = [packed(tmp_path / "one" / "a.npy", a), packed(tmp_path / "two" / f"{other}.npy")]
        write_submission(raws, text, out)
    (out / "notes.md").write_text("the user's own")
    with zipfile.ZipFile(out / "submission.zip") as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["a.npy", "c.npy", "readme.txt"]
        assert archive.read("readme.txt") == b"second\n"
        with archive.open("a.npy") as file:
            assert (np.load(file) == 3).all()
    kept = {written.LIST, "a.npy", "c.npy", "notes.md", "readme.txt", "submission.zip"}
    assert {path.name for path in out.iterdir()} == kept


@pytest.mark.parametrize("kind", ["npy", "npz", "png", "dng"])
def test_only_files_of_earlier_runs_are_removed(tmp_path, kind):
    out = tmp_path / "submission"
    own, edited = (packed(tmp_path / "one" / f"{name}.npy") for name in ("own", "edited"))
    write_submission([own, edited], "first\n", out)
    (out / "edited.npy").unlink()
    packed(out / "edited.npy", 7)
    (out / f"my_chart.{kind}").write_text("the user's own")
    (out / "link.png").symlink_to(out / f"my_chart.{kind}")
    before = {path.name for path in out.iterdir()}
    write_submission([packed(tmp_path / "two" / "b.npy")], "second\n", out, zipped=False)
    assert {path.name for path in out.iterdir()} == before - {"own.npy", "submission.zip"} | {"b.npy"}
    assert (np.load(out / "edited.npy") == 7).all()
    (out / "submission.zip").write_text("the user's own")
    write_submission([packed(tmp_path / "two" / "b.npy")], "third\n", out, zipped=False)
    assert (out / "submission.zip").read_text() == "the user's own"


def test_files_of_the_user_are_not_replaced(tmp_path):
    out = tmp_path / "submission"
    packed(out / "a.npy", 7)
    with pytest.raises(InputError, match=r"a\.npy: exists, and is not from an earlier run"):
        write_submission([packed(tmp_path / "one" / "a.npy", 1)], "first\n", out)
    assert (np.load(out / "a.npy") == 7).all()
    # a power failure: the same file, cut short
    (out / "a.npy").write_bytes((tmp_path / "one" / "a.npy").read_bytes()[:100])
    write_submission([tmp_path / "one" / "a.npy"], "first\n", out)
    assert (np.load(out / "a.npy") == 1).all()


def test_the_same_files_give_the_same_zip(tmp_path):
    raws = [packed(tmp_path / "raw" / f"{name}.npy", i) for i, name in enumerate("ba")]
    write_submission(raws, "text", tmp_path / "first")
    write_submission(raws[::-1], "text", tmp_path / "second")
    first, second = (tmp_path / folder / "submission.zip" for folder in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_nothing_to_submit_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no image could be reconstructed"):
        write_submission([], "text", tmp_path)
