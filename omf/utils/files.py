"""Atomic writes, locks, hashes and checks of files."""

import fcntl
import functools
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from omf.utils.errors import InputError
from omf.utils.remote import is_remote
from omf.utils.written import check_replaceable, mark, note_input

MAX_NAME_BYTES = 200
SPECIAL_FILES = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@contextmanager
def atomic_write(path: Path, synced: bool = True, own: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to, and rename it to `path` if the block succeeds.

    Args:
        path: file to write.
        synced: True to sync the content to disk before the renaming, so that the file is complete after a
            power failure too.
        own: True for state of the program, which is replaced whoever wrote it.

    Raises:
        InputError: a file of the user is there, see `check_replaceable`.
        OSError: the file can't be written; `filename` is `path`.
    """
    # the dot hides the file from listings; the process ID keeps concurrent writers apart
    temporary = path.with_name(f".{shorten_name(path.name)}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if synced:
            sync(temporary)
        if not own:
            check_replaceable(path, temporary)
            mark(temporary, path)
        temporary.replace(path)
    except OSError as error:
        if error.filename not in (None, str(temporary)):
            raise
        # NumPy's OSError contains neither the number nor the name
        raise OSError(error.errno, error.strerror or f"{error}: is the disk full?", str(path)) from error
    finally:
        with suppress(OSError):  # the file system may be read-only by now
            temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on a file, which is made if it is missing; another process waits for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        with suppress(OSError):  # some file systems have no locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sync(path: Path) -> None:
    """Flush a file's content to disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def shorten_name(name: str) -> str:
    """Return a name short enough to be extended (file systems allow 255 bytes): itself, or its hash."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= MAX_NAME_BYTES else hashlib.sha256(encoded).hexdigest()


def save_npy(path: Path, array: np.ndarray, synced: bool = True, own: bool = False) -> None:
    """Write an array as .npy, atomically; for `synced` and `own` see `atomic_write`."""
    with atomic_write(path, synced, own) as temporary, temporary.open("wb") as file:
        np.save(file, array)


def save_text(path: Path, text: str, own: bool = False) -> None:
    """Write a text in UTF-8, atomically; for `own` see `atomic_write`."""
    with atomic_write(path, own=own) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_json(path: Path, value: object, own: bool = False) -> None:
    """Write a value as indented JSON, atomically; for `own` see `atomic_write`."""
    save_text(path, json.dumps(value, indent=2) + "\n", own)


def sha256(path: Path) -> str:
    """Return the hash of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unique_files(paths: Iterable[Path]) -> list[Path]:
    """Drop files that were named before, also by another path to their folder; links count as files."""
    resolve, unique = functools.cache(os.path.realpath), {}
    for path in paths:
        folder = path.parent if is_remote(path) else resolve(path.parent)
        unique.setdefault((folder, path.name), path)
    return list(unique.values())


def check_is_file(path: Path, wanted: str) -> None:
    """Check an input file, to which the running command then never writes; `wanted` describes a valid one.

    Raises:
        InputError: the file is missing, empty, inaccessible or not regular: pipes or devices could block.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        fault = "a broken symbolic link" if path.is_symlink() else "no such file"
        raise InputError(f"{path}: {fault}; give {wanted}") from None
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror}); give {wanted}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = SPECIAL_FILES.get(stat.S_IFMT(status.st_mode), "something else")
        raise InputError(f"{path}: {kind}, not a file; give {wanted}")
    if status.st_size == 0:
        raise InputError(f"{path}: an empty file; copy it again from where it came")
    note_input(status)
