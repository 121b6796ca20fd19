"""Tar files of samples as WebDataset reads them. No torch here.

The files of a sample are neighbours in the tar, with a common name up to the first dot, the key.
"""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile

from omf.io.dng_tags import CFA_COLOURS
from omf.io.tars import Member, members_of, read_in_tar
from omf.raw.bayer import CFA_ORIGINS, WHITE_LEVEL, crop_to_cells, demosaic, mosaic, pack
from omf.raw.isp import linearise
from omf.utils.files import atomic_write

DOT = "%2E"  # stands for a dot in a key


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


def list_raw_in_tar(tar: Path) -> dict[str, Path]:
    """Map the names of samples to their RAW files in a tar that `TarShard` wrote."""
    files = members_of(tar).files
    return {sample_name(file): tar / file for file in files if file.endswith((".npy", ".dng"))}


def read_raw_in_tar(path: Path) -> np.ndarray:
    """Read a RAW file of a tar that `TarShard` wrote, TAR/NAME.npy or TAR/NAME.dng.

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
