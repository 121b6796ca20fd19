"""The challenge's formats: packed RAW files, scores, readme.txt and submission.zip."""

import os
import shutil
import zipfile
from pathlib import Path

from omf.utils.console import progress
from omf.utils.errors import InputError
from omf.utils.files import atomic_write, save_text

README = "readme.txt"
ARCHIVE = "submission.zip"
RAW_SUFFIXES = (".npy", ".npz", ".png", ".dng")  # that a run may leave


def write_submission(raws: list[Path], readme: str, out: Path, zipped: bool = True) -> list[Path]:
    """Leave the entry in `out`: the RAW files, readme.txt and, unless the format is no challenge's, the zip of exactly these.

    Other RAW files in `out` are those of an earlier run and are removed, and so is its zip.

    Returns:
        The files of the entry.
    """
    if not raws:
        raise InputError(
            "no image could be reconstructed, so there is nothing to submit; see the list of problems"
        )
    out.mkdir(parents=True, exist_ok=True)
    for stale in {path.name for suffix in RAW_SUFFIXES for path in out.glob(f"*{suffix}")} - {
        raw.name for raw in raws
    }:
        (out / stale).unlink()
    for raw in raws:
        place(raw, out / raw.name)
    save_text(out / README, readme)
    files = [out / README, *(out / raw.name for raw in sorted(raws))]
    if not zipped:
        (out / ARCHIVE).unlink(missing_ok=True)
        return files
    with atomic_write(out / ARCHIVE) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for path in progress(files, ARCHIVE, unit="file"):
            # a fixed date: the same files give the same bytes
            entry = zipfile.ZipInfo(path.name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(
                entry, path.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=1
            )  # 6 takes 5 times as long for 6 % less
    return [*files, out / ARCHIVE]


def place(source: Path, target: Path) -> None:
    """Put a finished file under a second name: a hard link where the file system can, else a copy."""
    with atomic_write(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
