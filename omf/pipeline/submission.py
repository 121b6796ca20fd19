"""The challenge entry: RAW files, readme.txt and submission.zip."""

import os
import shutil
import zipfile
from pathlib import Path

from omf.utils.console import progress
from omf.utils.errors import InputError
from omf.utils.files import atomic_write, save_text
from omf.utils.written import remove_own

README = "readme.txt"
ARCHIVE = "submission.zip"
RAW_SUFFIXES = (".npy", ".npz", ".png", ".dng")  # of all output formats


def write_submission(raws: list[Path], readme: str, out: Path, zipped: bool = True) -> list[Path]:
    """Write the entry to `out`: the RAW files, readme.txt and, if `zipped`, submission.zip.

    The zip contains exactly these files. Other RAW files of earlier runs in `out` are removed, and so is
    their zip if this run writes none.

    Args:
        raws: RAW files, with unique names.
        readme: content of readme.txt.
        out: submission folder, created if needed.
        zipped: write the zip; False for formats that the challenge does not accept.

    Returns:
        The files of the entry.

    Raises:
        InputError: `raws` is empty, or a file of the user would be overwritten.
    """
    if not raws:
        raise InputError(
            "no image could be reconstructed, so there is nothing to submit; see the list of problems"
        )
    out.mkdir(parents=True, exist_ok=True)
    names = {raw.name for raw in raws}
    for path in list(out.iterdir()):
        if path.suffix in RAW_SUFFIXES and path.name not in names:
            remove_own(path)
    for raw in raws:
        link_or_copy(raw, out / raw.name)
    save_text(out / README, readme)
    files = [out / README, *(out / raw.name for raw in sorted(raws))]
    if not zipped:
        remove_own(out / ARCHIVE)
        return files
    with atomic_write(out / ARCHIVE) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for path in progress(files, ARCHIVE, unit="file"):
            # a fixed date, so that the same files give the same bytes
            entry = zipfile.ZipInfo(path.name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            # level 6 takes 5 times as long and saves 6 %
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=1)
    return [*files, out / ARCHIVE]


def link_or_copy(source: Path, target: Path) -> None:
    """Create a hard link to a finished file, or a copy if the file system does not support links."""
    with atomic_write(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
