"""Recognise the files that a command wrote in earlier runs, so that it replaces and removes no others.

A command lists what it writes in a hidden file of the same folder: a line for each file, with a hash of the
command, the file's name, its size and samples of its content. A file that was edited or renamed is no longer
listed; those of a copied folder are.
"""

import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from omf.utils.errors import InputError

LIST = ".omf-files"
RUN_COMMAND = "run"  # of the workflow, for its steps that write to submission/
SAMPLE_BYTES = 2**16  # of a file's start, middle and end


@dataclass
class Command:
    """The running command. Outside of commands, as in a program that uses the library, the name is empty."""

    name: str = ""
    inputs: set[tuple[int, int]] = field(default_factory=set)  # device and inode of the files that it reads


@dataclass
class MarkList:
    """The marks in a folder's list, as far as it has been read."""

    size: int = 0  # bytes
    marks: set[bytes] = field(default_factory=set)


command = Command()
lists: dict[Path, MarkList] = {}


def begin_command(name: str) -> None:
    """Protect files from here on: list those that are written, and replace none that others wrote."""
    command.name, command.inputs = name, set()


def note_input(status: os.stat_result) -> None:
    """Note that a file is read by the running command."""
    if command.name:
        command.inputs.add((status.st_dev, status.st_ino))


def mark_of(file: Path, name: str) -> bytes:
    """Return the mark of a file that has, or will have, a name: 16 hexadecimal digits."""
    size = file.stat().st_size
    digest = hashlib.blake2b(f"{command.name}\0{size}\0".encode() + os.fsencode(name), digest_size=8)
    with file.open("rb") as opened:
        for offset in sorted({0, size // 2, max(size - SAMPLE_BYTES, 0)}):
            opened.seek(offset)
            digest.update(opened.read(SAMPLE_BYTES))
    return digest.hexdigest().encode()


def mark(file: Path, path: Path) -> None:
    """List a finished file, which is then renamed to `path`. One that can't be listed is kept for ever."""
    if not command.name:
        return
    status = file.stat()
    command.inputs.discard((status.st_dev, status.st_ino))  # the number of an input that was deleted
    if not is_listed(path.parent, new := mark_of(file, path.name)):
        with suppress(OSError), (path.parent / LIST).open("ab", buffering=0) as marks:
            marks.write(new + b"\n")  # at once: others may append too


def is_own(path: Path) -> bool:
    """Return True for a file that an earlier run of this command wrote, and that is unchanged since."""
    with suppress(OSError):
        return stat.S_ISREG(path.lstat().st_mode) and is_listed(path.parent, mark_of(path, path.name))
    return False


def is_listed(folder: Path, mark: bytes) -> bool:
    """Return True if the list of a folder contains a mark; reads what was appended since the last call."""
    known = lists.setdefault(folder.absolute(), MarkList())
    if mark not in known.marks:
        with suppress(OSError), (folder / LIST).open("rb") as file:
            if file.seek(0, os.SEEK_END) < known.size:  # another list
                known.size = 0
            file.seek(known.size)
            known.marks |= set(file.read().split(b"\n"))
            known.size = file.tell()
    return mark in known.marks


def check_replaceable(path: Path, content: Path | None = None) -> None:
    """Check that a file may be written, which replaces what is there.

    One that `content`, the file that will replace it, begins with is not lost.

    Raises:
        InputError: the command reads the file, or no earlier run of it wrote the file as it is.
    """
    if not (command.name and os.path.lexists(path)):
        return
    with suppress(OSError):
        status = path.stat()
        if (status.st_dev, status.st_ino) in command.inputs:
            raise InputError(f"{path}: is an input, and would be overwritten; give another output")
    if not (is_own(path) or (content and begins_with(content, path))):
        raise InputError(
            f"{path}: exists, and is not from an earlier run of this command (or was changed since);"
            " move it, or give another output"
        )


def begins_with(path: Path, start: Path) -> bool:
    """Return True if a file begins with the whole content of another one, or equals it."""
    if start.is_file() and not start.is_symlink():
        with suppress(OSError), path.open("rb") as file, start.open("rb") as beginning:
            return all(file.read(len(chunk)) == chunk for chunk in iter(partial(beginning.read, 2**20), b""))
    return False


def remove_own(path: Path) -> None:
    """Remove a file if an earlier run of this command wrote it."""
    if is_own(path):
        path.unlink()


def set_aside(path: Path) -> Path:
    """Rename a file to NAME.old, .old2, ..., whichever is free, and return the new path."""
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.name}.old{number if number > 1 else ''}")):
        number += 1
    path.rename(aside)
    return aside
