"""Recovery from killed runs: removal of partial outputs, and locks."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from omf.pipeline.manifest import write_folder_manifest, write_manifest
from omf.pipeline.recovery import (
    check_outputs,
    lock,
    remove_partial_outputs,
    set_damaged_aside,
    wait_for_lock,
)
from omf.utils import written
from omf.utils.errors import InputError
from omf.utils.files import save_json, save_npy, save_text


@pytest.fixture
def outputs(tmp_path, monkeypatch) -> Path:
    """Return a folder with the outputs of two shards."""
    monkeypatch.setattr(written, "command", written.Command(written.RUN_COMMAND))
    results, submission = tmp_path / "results", tmp_path / "submission"
    for shard in ("s0", "s1"):
        save_npy(results / "raw" / shard / f"{shard}.npy", np.arange(100))
        write_folder_manifest(results / "raw" / shard)
        (results / "raw" / shard / ".snakemake_timestamp").touch()
        save_json(results / "timing" / f"{shard}.json", {"images": 1})
        save_npy(submission / f"{shard}.npy", np.arange(100))
    save_text(submission / "readme.txt", "runtime\n")
    save_text(submission / "summary.txt", "images\n")
    entry = [submission / name for name in ("s0.npy", "s1.npy", "readme.txt")]
    write_manifest(entry, results / "manifest" / "package.json")
    write_manifest([submission / "summary.txt"], results / "manifest" / "report.json")
    return tmp_path


def remove_partial(folder: Path) -> list[str]:
    """Remove partial outputs and return their paths."""
    removed = remove_partial_outputs(folder / "results", folder / "submission")
    return sorted(str(path.relative_to(folder)) for path in removed)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 3)


def test_complete_outputs_and_older_ones_are_kept(outputs):
    before = sorted(outputs.rglob("*"))
    assert remove_partial(outputs) == []
    assert remove_partial_outputs(outputs / "missing", outputs / "absent") == []
    truncate(outputs / "results" / "raw" / "s0" / "s0.npy")
    long_ago = time.time() - 3600
    os.utime(outputs / "results" / "raw" / "s0", (long_ago, long_ago))
    assert remove_partial(outputs) == []
    assert sorted(outputs.rglob("*")) == before


@pytest.mark.parametrize("damage", [truncate, Path.unlink])
@pytest.mark.parametrize(
    ("damaged", "removed"),
    [
        ("results/raw/s0/s0.npy", "results/raw/s0"),
        ("results/raw/s1/.files.json", "results/raw/s1"),
        ("results/timing/s1.json", "results/timing/s1.json"),
        ("submission/s1.npy", "submission/readme.txt"),
        ("submission/readme.txt", "submission/readme.txt"),
        ("submission/summary.txt", "submission/summary.txt"),
        ("results/manifest/report.json", "submission/summary.txt"),
    ],
)
def test_damaged_outputs_are_removed(outputs, damage, damaged, removed):
    damage(outputs / damaged)
    assert remove_partial(outputs) == ([] if damage == Path.unlink and damaged == removed else [removed])
    assert not (outputs / removed).exists()
    assert (outputs / "results" / "timing" / "s0.json").exists()


def test_temporary_files_and_files_of_the_user(outputs):
    submission = outputs / "submission"
    (submission / ".b.npy.12.part").write_text("half")
    (submission / "readme.txt").write_text("runtime\nand what I added\n")
    mine = [submission / name for name in ("notes of mine.txt", ".mine.part", ".a.b.part", "a.12.part")]
    for path in mine:
        path.write_text("mine")
    assert remove_partial(outputs) == []
    assert not (submission / ".b.npy.12.part").exists()
    assert all(path.exists() for path in mine)


def test_damaged_files_are_kept_under_another_name(outputs):
    submission = outputs / "submission"

    def aside(killed: bool = False) -> dict[str, str]:
        renamed = set_damaged_aside(outputs / "results", submission, ["s0.npy", "s2.npy"], killed)
        return {old.name: new.name for old, new in renamed.items()}

    assert aside() == aside(killed=True) == {}
    (submission / "readme.txt").write_text("runtime\nand what I added\n")
    assert aside() == {}  # the entry is whole
    (submission / "readme.txt").write_text("mine")
    assert aside() == {"readme.txt": "readme.txt.old"}
    assert (submission / "readme.txt.old").read_text() == "mine"
    (submission / "report.html").write_text("half of it")
    assert aside() == {}  # the user's own, unless
    assert aside(killed=True) == {"report.html": "report.html.old"}
    truncate(submission / "s0.npy")
    assert aside() == {"s0.npy": "s0.npy.old"}


def test_only_files_of_earlier_runs_are_outputs(outputs):
    declared = [outputs / "submission" / "readme.txt", outputs / "results" / "raw" / "s0"]
    check_outputs([*declared, outputs / "absent"])
    (outputs / "results" / "done").touch()
    check_outputs([*declared, outputs / "results" / "done"])
    (outputs / "results" / "raw" / "s0" / "notes").write_text("mine")
    with pytest.raises(InputError, match=r"raw/s0/notes: exists, and is not from an earlier run"):
        check_outputs(declared)
    (outputs / "link").symlink_to("nowhere")
    with pytest.raises(InputError, match="link: exists"):
        check_outputs([outputs / "link"])


HOLDER = """
import sys, time
from pathlib import Path
from omf.pipeline.recovery import lock

print(lock(Path(sys.argv[1])), flush=True)
time.sleep(60)
"""


def test_lock_reports_the_only_holder(tmp_path):
    assert [lock(tmp_path / "new" / "lock") for _ in range(3)] == [True, False, False]


def test_lock_reports_false_without_lock_support(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    assert lock(tmp_path / "lock") is False


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("ext4", "rw,relatime", True),
        ("nfs", "rw,vers=3,local_lock=none", True),
        ("nfs", "rw,vers=3,local_lock=flock", False),
        ("nfs", "rw,vers=3,nolock,local_lock=all", False),
        ("nfs4", "rw,vers=4.2,local_lock=none", True),
        ("lustre", "rw,flock,lazystatfs", True),
        ("lustre", "rw,localflock", False),
        ("cifs", "rw,nobrl", False),
        ("beegfs", "rw,relatime", False),
        ("fuse.sshfs", "rw,nosuid", False),
        ("fuseblk", "rw,nosuid", True),
        ("gpfs", "rw,relatime", True),
    ],
)
def test_locks_that_other_machines_do_not_see_tell_nothing(tmp_path, monkeypatch, kind, options, expected):
    mounts = [("/", "ext4", "rw"), (str(tmp_path), "tmpfs", "rw"), (str(tmp_path), kind, options)]
    partitions = [SimpleNamespace(mountpoint=at, fstype=fs, opts=opts) for at, fs, opts in mounts]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: partitions)
    assert lock(tmp_path / "work" / "lock") is expected


def test_a_lock_is_waited_for_until_its_holder_ends(tmp_path):
    path, calls = tmp_path / "lock", []
    wait_for_lock(path, lambda: calls.append("no holder"))
    assert calls == []
    with subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "True\n"
        wait_for_lock(path, lambda: (calls.append("one holder"), holder.kill()))
    assert calls == ["one holder"]
    assert lock(path)
