"""Tars in object storage: what is the run's own, and what is lost."""

import json
from pathlib import Path

import pytest

from omf.pipeline.uploads import check_uploads, find_lost_uploads, upload_tar
from omf.utils.errors import InputError
from omf.utils.files import save_json
from omf.utils.remote import to_path


@pytest.fixture
def store() -> Path:
    folder = to_path("memory://store/raw")
    yield folder
    folder.fs.store.clear()


@pytest.fixture
def results(tmp_path, store) -> Path:
    """Return the results of a run of three shards."""
    for shard in "abc":
        (tmp_path / f"{shard}.tar").write_bytes(shard.encode() * 9)
        upload_tar(tmp_path / f"{shard}.tar", store, tmp_path / "results")
        save_json(tmp_path / "results" / "written" / f"{shard}.json", {})
    return tmp_path / "results"


def test_what_a_run_wrote_is_its_own(results, store, tmp_path):
    assert find_lost_uploads(store, results) == []
    check_uploads(store, results, "abcd")
    (tmp_path / "a.tar").write_bytes(b"new")
    upload_tar(tmp_path / "a.tar", store, results)
    assert (store / "a.tar").read_bytes() == b"new"
    assert find_lost_uploads(store, results) == []


def test_missing_and_changed_tars_are_lost(results, store):
    (store / "a.tar").unlink()
    (store / "b.tar").write_bytes(b"b" * 9)  # of the same size
    assert find_lost_uploads(store, results) == ["a", "b"]
    assert find_lost_uploads(to_path("memory://store/other"), results) == ["a", "b", "c"]


def test_an_object_of_the_user_is_kept(results, store, tmp_path):
    (store / "b.tar").write_bytes(b"mine")
    check_uploads(store, results, "ac")
    for write in (
        lambda: check_uploads(store, results, "abc"),
        lambda: upload_tar(tmp_path / "b.tar", store, results),
        lambda: upload_tar(tmp_path / "c.tar", store, tmp_path / "results of another run"),
    ):
        with pytest.raises(InputError, match="there already, and not written by this run"):
            write()
    assert (store / "b.tar").read_bytes() == b"mine"


def test_a_run_killed_after_an_upload_knows_its_own(results, store, tmp_path):
    note = results / "uploads" / "c.json"
    facts = json.loads(note.read_text())
    save_json(note, facts | {"version": ""}, own=True)  # as it is while the upload runs
    check_uploads(store, results, "abc")
    (tmp_path / "c.tar").write_bytes(b"c" * 9)
    upload_tar(tmp_path / "c.tar", store, results)
    assert json.loads(note.read_text())["version"]
