"""Manifests of finished jobs, and plans of jobs to come."""

import threading
from pathlib import Path

import pytest

from omf.pipeline import manifest
from omf.pipeline.manifest import find_missing, wait_for_files, write_folder_manifest, write_manifest
from omf.pipeline.plan import load_plan, plan_file, save_plan
from omf.utils.errors import InputError

PLAN = {"photos": [Path("a b.jpg"), "\udcff.jpg"], "white_level": 1024}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "s0"
    folder.mkdir()
    for name in ("b.npy", "a.npy", ".hidden"):
        (folder / name).write_bytes(b"12345")
    write_folder_manifest(folder)
    return folder


def test_late_files_are_waited_for(folder):
    moved = {folder / name: folder.parent / name for name in (".files.json", "a.npy")}
    for delay, (path, elsewhere) in enumerate(moved.items(), start=1):
        path.rename(elsewhere)
        threading.Timer(0.3 * delay, elsewhere.rename, (path,)).start()
    assert wait_for_files(folder) == [folder / "a.npy", folder / "b.npy"]


@pytest.mark.parametrize("content", [None, b"123"])
def test_missing_files_are_reported(folder, monkeypatch, content):
    monkeypatch.setattr(manifest, "TIMEOUT_SECONDS", 0.1)
    (folder / "b.npy").unlink()
    if content:
        (folder / "b.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"b\.npy: missing or incomplete after 0 s; run again"):
        wait_for_files(folder)
    with pytest.raises(InputError, match=r"s0\..*\.json: missing or incomplete after 0 s; run again"):
        load_plan(plan_file(folder, "s0", PLAN))


def test_a_manifest_of_files_in_several_folders(tmp_path, folder):
    (tmp_path / "c.txt").write_text("c")
    record = tmp_path / "records" / "one.json"
    write_manifest([tmp_path / "c.txt", folder / "a.npy"], record)
    assert find_missing(record) is None
    (tmp_path / "c.txt").write_text("longer")
    assert find_missing(record) is None
    (tmp_path / "c.txt").write_text("")
    assert find_missing(record).endswith("c.txt")


def test_other_plans_have_other_names(tmp_path):
    others = [PLAN | {"white_level": 1023}, PLAN | {"photos": []}, PLAN | {"cfa": "RGGB"}]
    assert len({plan_file(tmp_path, "s0", plan) for plan in (PLAN, *others)}) == 4
    path = plan_file(tmp_path, "s0", dict(PLAN))
    assert path == plan_file(tmp_path, "s0", PLAN)
    assert path.name.startswith("s0.") and path.name.endswith(".json")


def test_a_plan_is_read_once_it_is_visible_with_paths_as_text(tmp_path):
    path = plan_file(tmp_path / "preprocess", "s0", PLAN)
    threading.Timer(0.3, save_plan, (path, PLAN)).start()
    assert not path.exists()
    assert load_plan(path) == {"photos": ["a b.jpg", "\udcff.jpg"], "white_level": 1024}
