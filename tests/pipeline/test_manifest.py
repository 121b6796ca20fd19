"""Manifests of finished jobs."""

import threading
import time

import pytest

from omf.pipeline import manifest
from omf.pipeline.manifest import find_missing, wait_for_files, write_folder_manifest, write_manifest
from omf.utils.errors import InputError


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "s0"
    folder.mkdir()
    for name in ("b.npy", "a.npy", ".hidden"):
        (folder / name).write_bytes(b"12345")
    write_folder_manifest(folder)
    return folder


def test_the_files_of_a_folder_with_manifest(folder):
    assert wait_for_files(folder) == [folder / "a.npy", folder / "b.npy"]


def test_late_files_are_waited_for(folder):
    (folder / "a.npy").rename(folder.parent / "elsewhere")
    record = (folder / ".files.json").read_text()
    (folder / ".files.json").unlink()

    def show():
        time.sleep(0.3)
        (folder / ".files.json").write_text(record)
        time.sleep(0.3)
        (folder.parent / "elsewhere").rename(folder / "a.npy")

    thread = threading.Thread(target=show)
    thread.start()
    assert len(wait_for_files(folder)) == 2
    thread.join()


@pytest.mark.parametrize("content", [None, b"123"])
def test_missing_files_are_reported(folder, monkeypatch, content):
    monkeypatch.setattr(manifest, "TIMEOUT_SECONDS", 0.3)
    (folder / "b.npy").unlink()
    if content:
        (folder / "b.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"b\.npy: missing or incomplete after .*; run again"):
        wait_for_files(folder)


def test_a_manifest_of_files_in_several_folders(tmp_path, folder):
    (tmp_path / "c.txt").write_text("c")
    record = tmp_path / "records" / "one.json"
    write_manifest([tmp_path / "c.txt", folder / "a.npy"], record)
    assert find_missing(record) is None
    (tmp_path / "c.txt").write_text("longer")
    assert find_missing(record) is None
    (tmp_path / "c.txt").write_text("")
    assert find_missing(record).endswith("c.txt")
