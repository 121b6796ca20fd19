"""A job that is done says which files it left, and of how many bytes: so the next one knows that it sees them all.

After a power failure, a file may be shorter than it was; on a file server, other machines may see a file later than its folder.
"""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from omf.utils.errors import InputError
from omf.utils.files import save_json

MANIFEST = ".files.json"  # in a folder of its files
PATIENCE = 60.0  # seconds that files may take to be seen


def write_manifest(files: Iterable[Path], record: Path) -> None:
    """Write down what there is, once all of it is there."""
    save_json(record, {os.path.relpath(path, record.parent): path.stat().st_size for path in sorted(files)})


def write_folder_manifest(folder: Path) -> None:
    """`write_manifest` the files of a folder in the folder itself."""
    write_manifest((path for path in folder.iterdir() if not path.name.startswith(".")), folder / MANIFEST)


def find_missing(record: Path) -> str | None:
    """What is not there as the record says, or the record itself; None where all is. Files that have grown are somebody's own."""
    try:
        sizes = json.loads(record.read_text())
    except (OSError, ValueError):
        return str(record)
    for name, size in sizes.items():
        path = record.parent / name
        try:
            if path.stat().st_size < size:
                return str(path)
        except OSError:
            return str(path)
    return None


def wait_for_files(folder: Path) -> list[Path]:
    """The files of a folder that was sealed, by name, once all of them are seen. Raises InputError where they are not in a minute."""
    record, until = folder / MANIFEST, time.monotonic() + PATIENCE
    while lacking := find_missing(record):
        if time.monotonic() > until:
            raise InputError(
                f"{lacking}: not there, or not whole, after {PATIENCE:.0f} s; start again, and {folder} is made again"
            )
        time.sleep(0.2)
    return [folder / name for name in json.loads(record.read_text())]
