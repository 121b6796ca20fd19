"""Files that appear under their name only when they are whole."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from omf.utils.errors import InputError

MAX_NAME_BYTES = 200  # bytes of a name
OTHERS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@contextmanager
def atomic_write(path: Path, synced: bool = True) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; rename to `path` if the block succeeds.

    Args:
        path: of the file to be.
        synced: whether its content reaches the disk before its name does, so that it is whole after a power failure too.

    Raises:
        OSError: it can't be written; its `filename` is `path`.
    """
    # a dot in front keeps it out of listings; process and host number keep two writers apart
    temporary = path.with_name(f".{short(path.name)}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if synced:
            sync(temporary)
        temporary.replace(path)
    except OSError as error:
        if error.filename not in (None, str(temporary)):
            raise
        # NumPy tells neither the number nor the name
        raise OSError(error.errno, error.strerror or f"{error}: is the disk full?", str(path)) from error
    finally:
        with suppress(OSError):  # on a file system that is read-only by now
            temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def short(name: str) -> str:
    """A name to which more can be added: file systems take 255 bytes. Of a long one, its hash."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= MAX_NAME_BYTES else hashlib.sha256(encoded).hexdigest()


def save_npy(path: Path, array: np.ndarray, synced: bool = True) -> None:
    with atomic_write(path, synced) as temporary, temporary.open("wb") as file:
        np.save(file, array)


def save_text(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_json(path: Path, value: object) -> None:
    save_text(path, json.dumps(value, indent=2) + "\n")


def sha256(path: Path) -> str:
    """The file's hash, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_is_file(path: Path, wanted: str) -> None:
    """Refuse what is not there, is empty, or would be waited for: a pipe, a device.

    Args:
        path: of the input.
        wanted: what to give instead.

    Raises:
        InputError: it is no file with something in it, or can't be looked at.
    """
    try:
        known = path.stat()
    except FileNotFoundError:
        gone = "a link to a file that is not there" if path.is_symlink() else "no such file"
        raise InputError(f"{path}: {gone}; give {wanted}") from None
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror}); give {wanted}") from error
    if not stat.S_ISREG(known.st_mode):
        raise InputError(
            f"{path}: {OTHERS.get(stat.S_IFMT(known.st_mode), 'something else')}, not a file; give {wanted}"
        )
    if known.st_size == 0:
        raise InputError(f"{path}: an empty file; copy it again from where it came")
