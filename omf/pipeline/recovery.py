"""Detect and remove partial results of a run that was killed or lost power. No torch here."""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from omf.io.tars import TAR
from omf.pipeline.manifest import MANIFEST, find_missing
from omf.pipeline.submission import ARCHIVE, INDEX, README
from omf.report.summary import REPORT_FILES, SUMMARY
from omf.utils.written import check_replaceable, is_own, set_aside

SHARD_FOLDERS = ("decoded", "demosaiced", "raw", "files")  # in results/; each holds a folder per shard
SHARDS = "shards"  # in results/: a tar per shard, with its manifest beside it
SHARD_RECORDS = ("photos", "timing", "written", "scores")  # in results/; each holds a JSON file per shard
# {manifest of a job: its files in submission/}; without the first one, it runs again
JOB_FILES = {"package.json": (README, ARCHIVE, INDEX), "report.json": (SUMMARY, *REPORT_FILES)}
TEMPORARY = re.compile(r"\..+\.\d+\.part", re.DOTALL)  # names that `omf.utils.files.atomic_write` makes
# {file system: mount options with which flock is local to one machine; None: no option shows otherwise}
LOCAL_LOCKS = {
    "nfs": {"local_lock=flock", "local_lock=all", "nolock"},
    "nfs4": {"local_lock=flock", "local_lock=all"},
    "lustre": {"localflock"},
    "cifs": {"nobrl"},
    "smb3": {"nobrl"},
    "beegfs": None,
    "fuse": None,  # fuse.sshfs and others
}
RECENT_SECONDS = 300  # before the last write; older files have long reached the disk


def lock(path: Path) -> bool:
    """Hold a shared lock until this process ends, and return True if no other process held it.

    Returns False if that can't be told, since the file system has no locks, or locks that other machines
    don't see.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)  # stays open, which keeps the lock
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return not locks_are_local(path.resolve())
        finally:
            fcntl.flock(file, fcntl.LOCK_SH)
    except OSError:
        return False


def locks_are_local(path: Path) -> bool:
    """Return True if the file system of an absolute path has locks that other machines don't see."""
    mounts = {mount.mountpoint: mount for mount in psutil.disk_partitions(all=True)}
    mount = next((mounts[str(folder)] for folder in path.parents if str(folder) in mounts), None)
    if mount is None:
        return False
    local = LOCAL_LOCKS.get(mount.fstype.partition(".")[0], set())
    return local is None or not local.isdisjoint(mount.opts.split(","))


def wait_for_lock(path: Path, on_wait: Callable[[], None]) -> None:
    """Wait until no process holds the lock; call `on_wait` first if it is held now."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)


def remove_partial_outputs(results: Path, submission: Path) -> list[Path]:
    """Remove temporary files of a killed run and outputs truncated by a power failure, to be made again.

    Returns the incomplete outputs, now removed; see `find_partial_outputs`.
    """
    for folder in (submission, *(results / kind for kind in (*SHARD_RECORDS, SHARDS, "manifest"))):
        for temporary in folder.glob(".*.part"):
            if TEMPORARY.fullmatch(temporary.name):
                temporary.unlink()
    partial = find_partial_outputs(results, submission)
    for path in partial:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return partial


def set_damaged_aside(results: Path, submission: Path, raws: Iterable[str], killed: bool) -> dict[Path, Path]:
    """Rename files of the entry and the report that are not as they were written, after damage to either.

    A power failure may have truncated them, or the user may have edited them: only the user can tell.

    Args:
        raws: names of the RAW files.
        killed: True if the last run did not end by itself, so that its files may lack a manifest.

    Returns:
        {former path: new path}.
    """
    aside = {}
    for name, files in JOB_FILES.items():
        manifest = results / "manifest" / name
        if killed or (manifest.exists() and find_missing(manifest)):
            files = dict.fromkeys([*files, *raws] if name == "package.json" else files)
            changed = [path for file in files if (path := submission / file).exists() and not is_own(path)]
            aside |= {path: set_aside(path) for path in changed}
    return aside


def check_outputs(outputs: Iterable[Path]) -> None:
    """Check that a run may replace files and folders. Hidden and empty files do not count.

    Raises:
        InputError: no earlier run wrote one of the files.
    """
    for output in outputs:
        for path in output.rglob("*") if output.is_dir() else [output]:
            visible = os.path.lexists(path) and not path.is_dir() and not path.name.startswith(".")
            if visible and path.lstat().st_size:
                check_replaceable(path)


def find_partial_outputs(results: Path, submission: Path) -> list[Path]:
    """Find incomplete outputs, without changing anything.

    Files are renamed to their final names only when they are complete. However, intermediate files are not
    synced to the disk before that, and a disk or file server may lose writes that it has confirmed. The most
    recent outputs are therefore compared with their manifests.

    Returns:
        Incomplete folders and records of shards, and the completion files of jobs whose outputs are damaged.
    """
    shards = (folder for kind in SHARD_FOLDERS for folder in (results / kind).glob("[!.]*"))
    manifests = {folder: folder / MANIFEST for folder in shards}
    manifests |= {tar: tar.with_suffix(".json") for tar in (results / SHARDS).glob(f"[!.]*{TAR}")}
    manifests |= {
        submission / first: results / "manifest" / manifest
        for manifest, (first, *_) in JOB_FILES.items()
        if (submission / first).exists()
    }
    records = [record for kind in SHARD_RECORDS for record in (results / kind).glob("*.json")]
    return [
        path
        for path in most_recent([*manifests, *records])
        if (find_missing(manifests[path]) if path in manifests else not is_json(path))
    ]


def most_recent(paths: Iterable[Path]) -> list[Path]:
    """Return the paths that were modified within `RECENT_SECONDS` of the last modification."""
    modified = {path: path.stat().st_mtime for path in paths}
    since = max(modified.values(), default=0) - RECENT_SECONDS
    return [path for path, seconds in modified.items() if seconds > since]


def is_json(path: Path) -> bool:
    """Return True if the content of a file is valid JSON."""
    try:
        json.loads(path.read_text())
    except ValueError:
        return False
    return True
