"""Each finished job writes a manifest of its files and their sizes.

The next job uses it to verify that all files exist in full. After a power failure, a file may be shorter
than when it was written; on a file server, other machines may see a folder before they see its files.
"""

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from omf.utils.errors import InputError
from omf.utils.files import save_json

MANIFEST = ".files.json"  # manifest of a folder, inside it
TIMEOUT_SECONDS = 60.0  # for files to become visible


def write_manifest(files: Iterable[Path], manifest: Path) -> None:
    """Write a manifest, {path relative to the manifest: bytes}, of finished files."""
    sizes = {os.path.relpath(path, manifest.parent): path.stat().st_size for path in sorted(files)}
    save_json(manifest, sizes, own=True)


def write_folder_manifest(folder: Path) -> None:
    """Write a manifest of the files in a folder, except hidden ones, into the folder itself."""
    write_manifest((path for path in folder.iterdir() if not path.name.startswith(".")), folder / MANIFEST)


def find_missing(manifest: Path) -> str | None:
    """Return the first file that is missing or shorter than its manifest says, or None if all are complete.

    Returns the manifest itself if it cannot be read. Files that have grown are accepted, since users may
    edit them.
    """
    try:
        sizes = json.loads(manifest.read_text())
    except (OSError, ValueError):
        return str(manifest)
    for name, size in sizes.items():
        path = manifest.parent / name
        try:
            if path.stat().st_size < size:
                return str(path)
        except OSError:
            return str(path)
    return None


def wait_for_files(folder: Path) -> list[Path]:
    """Wait until all files in the manifest of a folder exist in full, and return them sorted by name.

    Raises InputError if they do not within a minute.
    """
    manifest = folder / MANIFEST
    wait_until_found(lambda: find_missing(manifest))
    return [folder / name for name in json.loads(manifest.read_text())]


def write_file_manifest(path: Path) -> None:
    """Write the manifest of a single file, beside it: NAME.json."""
    write_manifest([path], path.with_suffix(".json"))


def wait_for_file(path: Path) -> None:
    """Wait until a file exists in full, by its manifest. Raises InputError if it does not within a minute."""
    wait_until_found(lambda: find_missing(path.with_suffix(".json")))


def wait_until_found(find_missing: Callable[[], str | None]) -> None:
    """Wait until no file is missing. Raises InputError if one still is after a minute."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while missing := find_missing():
        if time.monotonic() > deadline:
            raise InputError(
                f"{missing}: missing or incomplete after {TIMEOUT_SECONDS:.0f} s; run again, which makes it"
            )
        time.sleep(0.2)
