import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from omf.pipeline.manifest import write_folder_manifest, write_manifest
from omf.pipeline.recovery import lock, most_recent, remove_partial_outputs, wait_for_lock
from omf.utils.files import save_json, save_npy, save_text


@pytest.fixture
def left(tmp_path) -> Path:
    """What two shards leave."""
    results, submission = tmp_path / "results", tmp_path / "submission"
    for shard in ("s0", "s1"):
        save_npy(results / "raw" / shard / f"{shard}.npy", np.arange(100))
        write_folder_manifest(results / "raw" / shard)
        (results / "raw" / shard / ".snakemake_timestamp").touch()
        save_json(results / "timing" / f"{shard}.json", {"images": 1})
        save_npy(submission / f"{shard}.npy", np.arange(100))
    save_text(submission / "readme.txt", "runtime\n")
    save_text(submission / "summary.txt", "images\n")
    write_manifest(
        [submission / name for name in ("s0.npy", "s1.npy", "readme.txt")],
        results / "sealed" / "package.json",
    )
    write_manifest([submission / "summary.txt"], results / "sealed" / "report.json")
    return tmp_path


def cleared(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder))
        for path in remove_partial_outputs(folder / "results", folder / "submission")
    )


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 3)


def test_what_is_whole_stays(left):
    before = sorted(left.rglob("*"))
    assert cleared(left) == []
    assert sorted(left.rglob("*")) == before
    assert remove_partial_outputs(left / "nothing", left / "there") == []


@pytest.mark.parametrize(
    ("damaged", "removed"),
    [
        ("results/raw/s0/s0.npy", "results/raw/s0"),
        ("results/raw/s1/.files.json", "results/raw/s1"),
        ("results/timing/s1.json", "results/timing/s1.json"),
        ("submission/s1.npy", "submission/readme.txt"),
        ("submission/readme.txt", "submission/readme.txt"),
        ("submission/summary.txt", "submission/summary.txt"),
        ("results/sealed/report.json", "submission/summary.txt"),
    ],
)
def test_what_was_cut_off_is_made_again(left, damaged, removed):
    truncate(left / damaged)
    assert cleared(left) == [removed]
    assert not (left / removed).exists()
    assert (left / "results" / "timing" / "s0.json").exists()


def test_what_is_not_there_is_made_again(left):
    (left / "results" / "raw" / "s0" / "s0.npy").unlink()
    (left / "submission" / "s0.npy").unlink()
    assert cleared(left) == ["results/raw/s0", "submission/readme.txt"]


def test_half_written_files_and_those_of_others(left):
    (left / "submission" / ".b.npy.12.part").write_text("half")
    (left / "submission" / "notes of mine.txt").write_text("mine")
    (left / "submission" / "readme.txt").write_text("runtime\nand what I added\n")
    assert cleared(left) == []
    assert not (left / "submission" / ".b.npy.12.part").exists()
    assert (left / "submission" / "notes of mine.txt").exists()


def test_only_what_was_written_last_is_looked_at(left):
    truncate(left / "results" / "raw" / "s0" / "s0.npy")
    long_ago = time.time() - 3600
    os.utime(left / "results" / "raw" / "s0", (long_ago, long_ago))
    assert cleared(left) == []
    assert most_recent([]) == []


HOLDER = """
import sys, time
from pathlib import Path
from omf.pipeline.recovery import lock

print(lock(Path(sys.argv[1])), flush=True)
time.sleep(60)
"""


def holder(path: Path) -> tuple[subprocess.Popen, str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def test_the_first_to_hold_a_lock_knows_that_it_is_alone(tmp_path):
    path = tmp_path / "new" / "lock"
    processes = []
    try:
        for expected in ("True", "False", "False"):
            process, said = holder(path)
            processes.append(process)
            assert said == expected
        for process in processes:
            process.kill()
            process.wait()
        process, said = holder(path)
        processes.append(process)
        assert said == "True"
    finally:
        for process in processes:
            process.kill()


def test_without_locks_nothing_is_known(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    assert lock(tmp_path / "lock") is False


def test_waiting_for_those_that_hold_a_lock(tmp_path):
    path = tmp_path / "lock"
    told = []
    wait_for_lock(path, lambda: told.append("nobody"))
    assert told == []
    process, _ = holder(path)
    wait_for_lock(path, lambda: (told.append("one"), process.kill()))
    assert told == ["one"]
    process.wait()
