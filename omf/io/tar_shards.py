"""Tar files of samples as WebDataset reads them. No torch here.

The files of a sample are neighbours in the tar, with a common name up to the first dot, the key. A file in a
tar is written as a path, TAR/FILE, here and in records.
"""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile

from omf.io.dng_tags import CFA_COLOURS
from omf.raw.bayer import CFA_ORIGINS, WHITE_LEVEL, crop_to_cells, demosaic, mosaic, pack
from omf.raw.isp import linearise
from omf.utils.errors import InputError
from omf.utils.files import atomic_write

TAR = ".tar"
DOT = "%2E"  # stands for a dot in a key


class Member(NamedTuple):
    """A file in a tar."""

    file: str  # name
    offset: int  # bytes, of its content in the tar
    size: int  # bytes


def sample_key(name: str) -> str:
    """Return the key of a sample. WebDataset ends it at the first dot, so that it contains none."""
    return name.replace(".", DOT)


def sample_name(file: str) -> str:
    """Invert `sample_key` for the name of a file in a tar."""
    return file.partition(".")[0].replace(DOT, ".")


class TarShard:
    """A tar that is being written: the same files give the same bytes."""

    def __init__(self, archive: tarfile.TarFile):
        self.archive, self.members = archive, []

    def add(self, file: str, content: bytes) -> None:
        """Append a file."""
        entry = tarfile.TarInfo(file)
        entry.size, entry.mode = len(content), 0o644
        self.archive.addfile(entry, io.BytesIO(content))
        padded = -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        self.members.append(Member(file, self.archive.offset - padded, len(content)))

    def add_sample(self, name: str, files: Mapping[str, bytes], facts: dict) -> None:
        """Append the files of a sample, by suffix, and its facts as .json."""
        for suffix, content in files.items():
            self.add(sample_key(name) + suffix, content)
        self.add(f"{sample_key(name)}.json", json.dumps(facts, sort_keys=True).encode() + b"\n")


@contextmanager
def write_tar(path: Path) -> Iterator[TarShard]:
    """Write a tar, atomically."""
    with atomic_write(path) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive:
        yield TarShard(archive)


def is_in_tar(path: Path) -> bool:
    """Return True for a file in a tar, TAR/FILE."""
    return path.parent.suffix == TAR and path.parent.is_file()


def list_raw_in_tar(tar: Path) -> dict[str, Path]:
    """Map the names of samples to their RAW files in a tar that `TarShard` wrote."""
    files = members_of(tar)
    return {sample_name(file): tar / file for file in files if file.endswith((".npy", ".dng"))}


def members_of(tar: Path) -> dict[str, Member]:
    """Return the files of a tar by name. Raises InputError if it can't be read."""
    try:
        status = tar.stat()
        return read_members(tar, status.st_mtime_ns, status.st_size)
    except (OSError, tarfile.TarError, EOFError) as error:
        raise InputError(f"{tar}: can't be read ({error}); give an intact tar") from error


@lru_cache(8)
def read_members(tar: Path, modified: int, size: int) -> dict[str, Member]:
    """Return the files of a tar by name, as long as the tar stays as it is."""
    with tarfile.open(tar) as archive:
        entries = [entry for entry in archive if entry.isfile()]
    return {entry.name: Member(entry.name, entry.offset_data, entry.size) for entry in entries}


def read_in_tar(path: Path) -> bytes:
    """Return the content of a file in a tar, TAR/FILE. Raises InputError if it can't be read."""
    member = members_of(path.parent).get(path.name)
    if member is None:
        raise InputError(f"{path}: not in that tar; run again")
    with path.parent.open("rb") as file:
        file.seek(member.offset)
        return file.read(member.size)


def read_raw_in_tar(path: Path) -> np.ndarray:
    """Read a RAW file of a tar that `TarShard` wrote.

    Args:
        path: TAR/NAME.npy, packed, or TAR/NAME.dng.

    Returns:
        Packed RGGB (H/2, W/2, 4): the counts of the .npy, uint16; of a DNG float64, black at 0 and white at
        1024. Of a CFA other than RGGB, the colours are interpolated.
    """
    content = io.BytesIO(read_in_tar(path))
    if path.suffix == ".npy":
        return np.load(content, allow_pickle=False)
    with tifffile.TiffFile(content) as tiff:
        page = tiff.pages.first.pages[0]
        counts, tags = page.asarray(), page.tags
        cfa = "".join(CFA_COLOURS[colour] for colour in tags["CFAPattern"].value)
        black = np.atleast_1d(tags["BlackLevel"].value)[0]
        linear = crop_to_cells(linearise(counts, int(black), int(tags["WhiteLevel"].value)))
    if cfa != next(iter(CFA_ORIGINS)):
        linear = mosaic(np.clip(demosaic(linear, cfa), 0, 1))
    return pack(linear).astype(np.float64) * WHITE_LEVEL
