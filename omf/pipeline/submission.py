"""The challenge entry: RAW files, readme.txt and submission.zip."""

import csv
import io
import os
import shutil
import zipfile
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from omf.utils.console import progress
from omf.utils.errors import InputError
from omf.utils.files import atomic_write, save_text
from omf.utils.written import remove_own

README = "readme.txt"
ARCHIVE = "submission.zip"
INDEX = "index.csv"  # of the samples in tar files
INDEX_COLUMNS = ("name", "shard", "file", "offset", "bytes")
NOTHING = "no image could be reconstructed, so there is nothing to submit; see the list of problems"
RAW_SUFFIXES = (".npy", ".npz", ".png", ".dng")  # of all output formats


def write_submission(raws: list[Path], readme: str, out: Path, zipped: bool = True) -> list[Path]:
    """Write the entry to `out`: the RAW files, readme.txt and, if `zipped`, submission.zip.

    The zip contains exactly these files. Other RAW files of earlier runs in `out` are removed, and so is
    their zip if this run writes none.

    Args:
        raws: RAW files, with unique names.
        zipped: write the zip; False for formats that the challenge does not accept.

    Returns:
        The files of the entry.

    Raises:
        InputError: `raws` is empty, or a file of the user would be overwritten.
    """
    if not raws:
        raise InputError(NOTHING)
    prepare_folder(out, {raw.name for raw in raws}, INDEX, *([] if zipped else [ARCHIVE]))
    for raw in raws:
        link_or_copy(raw, out / raw.name)
    save_text(out / README, readme)
    files = [out / README, *(out / raw.name for raw in sorted(raws))]
    if not zipped:
        return files
    with atomic_write(out / ARCHIVE) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for path in progress(files, ARCHIVE, unit="file"):
            # a fixed date, so that the same files give the same bytes
            entry = zipfile.ZipInfo(path.name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            # level 6 takes 5 times as long and saves 6 %
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=1)
    return [*files, out / ARCHIVE]


def prepare_folder(out: Path, raws: Container[str], *others: str) -> None:
    """Make the submission folder, without what earlier runs wrote: RAW files but `raws`, and `others`."""
    out.mkdir(parents=True, exist_ok=True)
    for path in list(out.iterdir()):
        if path.name in others or (path.suffix in RAW_SUFFIXES and path.name not in raws):
            remove_own(path)


def write_index(samples: Iterable[Sequence], readme: str, out: Path) -> list[Path]:
    """Write index.csv, which tells where the RAW of each sample is, and readme.txt.

    The RAW files and the zip of earlier runs are removed.

    Args:
        samples: rows of `INDEX_COLUMNS`.

    Returns:
        The two files.

    Raises:
        InputError: there are no samples, or a file of the user would be overwritten.
    """
    rows = sorted(samples)
    if not rows:
        raise InputError(NOTHING)
    prepare_folder(out, (), ARCHIVE)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([INDEX_COLUMNS, *rows])
    save_text(out / INDEX, text.getvalue())
    save_text(out / README, readme)
    return [out / README, out / INDEX]


def link_or_copy(source: Path, target: Path) -> None:
    """Create a hard link to a finished file, or a copy if the file system does not support links."""
    with atomic_write(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
