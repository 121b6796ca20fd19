"""Files in tars, written as paths, TAR/FILE, here and in records. No torch here."""

import tarfile
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from omf.utils.errors import InputError
from omf.utils.remote import is_remote, version_of

TAR = ".tar"
LISTING_BLOCK = 2**20  # bytes to ask of object storage at once, between the heads of two files


class Member(NamedTuple):
    """A file in a tar."""

    file: str  # name
    offset: int  # bytes, of its content in the tar
    size: int  # bytes


class Members(NamedTuple):
    """The files of a tar."""

    files: dict[str, Member]  # by name
    fault: str  # empty, or what is wrong behind the last of them


places: dict[str, Member] = {}  # by path, of files whose tars need not be listed


def tar_of(path: Path) -> Path | None:
    """Return the tar that a path leads into, or None for a path that leads into none."""
    if TAR not in str(path.parent):
        return None
    tars = (place for place in path.parents if place.suffix == TAR)
    return next((tar for tar in tars if is_remote(tar) or tar.is_file()), None)


def members_of(tar: Path) -> Members:
    """List the files of a tar, up to a damaged part. Raises InputError if nothing in it can be read."""
    try:
        return read_members(tar, version_of(tar))
    except (OSError, tarfile.TarError, EOFError, ValueError) as error:
        raise InputError(f"{tar}: can't be read ({error}); give an intact tar, not compressed") from error


@lru_cache(8)
def read_members(tar: Path, version: tuple) -> Members:
    """List the files of a tar that are all there, as long as it has this version; see `version_of`."""
    files: dict[str, Member] = {}
    with open_tar(tar) as file, tarfile.open(fileobj=file, mode="r:") as archive:
        try:
            for entry in archive:
                if entry.isfile():
                    name = str(PurePosixPath(entry.name.lstrip("/")))
                    files[name] = Member(name, entry.offset_data, entry.size)
            file.seek(archive.offset)  # `tarfile` takes any damaged head of a file for the end
            fault = "damaged" if file.read(tarfile.BLOCKSIZE).strip(b"\0") else ""
        except (tarfile.TarError, EOFError, ValueError):
            fault = "cut short"
    whole = {name: member for name, member in files.items() if member.offset + member.size <= version[0]}
    return Members(whole, fault)


def open_tar(tar: Path) -> BinaryIO:
    """Open a tar to read some of its files."""
    return tar.open("rb", block_size=LISTING_BLOCK) if is_remote(tar) else tar.open("rb")


def is_in_tar(path: Path) -> bool:
    """Return True for a file in a tar. Raises InputError if nothing in the tar can be read."""
    return find_member(path) is not None


def note_place(path: Path, offset: int, size: int) -> None:
    """Note where a file is in its tar, so that this process doesn't list the tar for it."""
    places[str(path)] = Member(path.name, offset, size)


def find_member(path: Path) -> Member | None:
    """Return what a tar has under a path, TAR/FILE."""
    if str(path) in places:
        return places[str(path)]
    tar = tar_of(path)
    return members_of(tar).files.get(str(path.relative_to(tar))) if tar else None


def read_in_tar(path: Path) -> bytes:
    """Return the content of a file in a tar, TAR/FILE. Raises InputError if it can't be read."""
    tar, member = tar_of(path), find_member(path)
    if tar is None or member is None:
        raise InputError(f"{path}: not in that tar; run again")
    with open_tar(tar) as file:
        file.seek(member.offset)
        return file.read(member.size)
