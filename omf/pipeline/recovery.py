"""What a run leaves that was killed, or that lost its power: how another one finds out, and clears it away. No torch here."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from omf.pipeline.manifest import MANIFEST, find_missing

SHARDS = ("decoded", "demosaiced", "raw", "files")  # of results/: a folder for each shard
RECORDS = ("photos", "timing", "written", "scores")  # a JSON file for each shard
KNOWN_BY = {
    "package.json": "readme.txt",
    "report.json": "summary.txt",
}  # what a job leaves in submission/; without it the job runs again
LATEST = 300  # seconds before the last write; what is older has long been on the disk


def lock(path: Path) -> bool:
    """Take part in a lock until this process ends; whether no other process did.

    Where the file system has no locks, the answer is False: nothing is known.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)  # stays open, and so locked
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False
        finally:
            fcntl.flock(file, fcntl.LOCK_SH)
    except OSError:
        return False


def wait_for_lock(path: Path, tell: Callable[[], None]) -> None:
    """Wait until no process holds a lock any more; `tell` is called if that is not at once."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell()
            fcntl.flock(file, fcntl.LOCK_EX)


def remove_partial_outputs(results: Path, submission: Path) -> list[Path]:
    """Remove what a killed run left half-written, and what a power failure cut off, so that it is made again.

    Returns:
        What was not whole, and is gone; see `find_partial_outputs`.
    """
    for folder in (submission, *(results / kind for kind in (*RECORDS, "sealed"))):
        for part in folder.glob(".*.part"):
            part.unlink()
    found = find_partial_outputs(results, submission)
    for path in found:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return found


def find_partial_outputs(results: Path, submission: Path) -> list[Path]:
    """Find what is not whole, without a change.

    Files get their names when they are whole. But those that pass from one step to the next need not have reached the disk then, and a
    disk, or a file server, may promise what it does not keep. So whatever was written last is compared with its seal.

    Returns:
        Folders and records of shards, and what a damaged submission is known by.
    """
    seals = {folder: folder / MANIFEST for kind in SHARDS for folder in (results / kind).glob("s*")}
    seals |= {
        submission / known_by: results / "sealed" / job
        for job, known_by in KNOWN_BY.items()
        if (submission / known_by).exists()
    }
    records = [record for kind in RECORDS for record in (results / kind).glob("*.json")]
    return [
        path
        for path in most_recent([*seals, *records])
        if (find_missing(seals[path]) if path in seals else not is_json(path))
    ]


def most_recent(paths: Iterable[Path]) -> list[Path]:
    """Those that were written last."""
    written = {path: path.stat().st_mtime for path in paths}
    since = max(written.values(), default=0) - LATEST
    return [path for path, when in written.items() if when > since]


def is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except ValueError:
        return False
    return True
