"""Find photos, and group them by the names that their RAW files get. No torch here."""

import os
from collections.abc import Iterable
from pathlib import Path

from omf.io.camera_raw import CAMERA_RAW_SUFFIXES
from omf.io.images import PHOTO_FORMATS, PHOTO_SUFFIXES
from omf.utils.errors import InputError, printable

# Pictures that a user may expect to be taken; they are listed too, so that they are refused by name.
OTHER_SUFFIXES = {".avif", ".bmp", ".gif", ".jp2", ".jxl", ".webp"} | CAMERA_RAW_SUFFIXES
MOST_LINES = 100  # about names; they have to fit on a command line


def list_images(folder: Path) -> list[Path]:
    """The pictures directly in a folder, by name, as `without_raw` leaves them. Raises InputError where there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that holds {PHOTO_FORMATS} files")
    try:
        names = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(
            f"{folder}: can't be read ({error.strerror}); let this user list the folder"
        ) from error
    found = [
        path
        for path in names
        if path.suffix.lower() in PHOTO_SUFFIXES | OTHER_SUFFIXES and not path.name.startswith(".")
    ]
    if not found:
        raise InputError(f"{folder}: no pictures in it; put {PHOTO_FORMATS} files there")
    return without_raw(found)


def gather(paths: Iterable[Path]) -> list[Path]:
    """Folders replaced by the pictures in them, as `without_raw` leaves them. Raises InputError for a folder without pictures."""
    # os.path.isdir takes what can't be looked at for a file, which is told when it is read
    photos = [photo for path in paths for photo in (list_images(path) if os.path.isdir(path) else [path])]  # noqa: PTH112
    return without_raw(list(dict.fromkeys(photos)))  # one that is named beside its folder is meant once


def named_in_utf8(photos: list[Path]) -> tuple[list[Path], list[str]]:
    """The photos whose names are UTF-8, which Snakemake and zip files ask for, and a line for each other one.

    Raises InputError where there are no others.
    """
    named, problems = [], []
    for photo in photos:
        try:
            str(photo).encode()
            named.append(photo)
        except UnicodeEncodeError:
            problems.append(printable(f"{photo}: its name is not UTF-8, as names in an entry are; rename it"))
    if not named:
        raise InputError(problems[0])
    more = len(problems) - MOST_LINES
    return named, problems if more <= 0 else [
        *problems[:MOST_LINES],
        f"{more} more photos: their names are not UTF-8; rename them",
    ]


def without_raw(pictures: list[Path]) -> list[Path]:
    """Leave out camera RAW that a photo of the same name lies beside: what the photo was made from, and may be its ground truth."""
    photos = {path.with_suffix("") for path in pictures if path.suffix.lower() in PHOTO_SUFFIXES}
    return [
        path
        for path in pictures
        if path.suffix.lower() not in CAMERA_RAW_SUFFIXES or path.with_suffix("") not in photos
    ]


def matching(photos: list[Path], patterns: Path) -> list[Path]:
    """The photos whose names match one of the globs in a file; lines with # are comments."""
    try:
        lines = [line.strip() for line in patterns.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{patterns}: can't be read ({error}); give a text file with a file name or glob in each line"
        ) from error
    globs = [line for line in lines if line and not line.startswith("#")]
    return [photo for photo in photos if any(photo.match(glob) for glob in globs)]


def group_by_stem(photos: Iterable[Path]) -> dict[str, list[Path]]:
    """Pictures by the name that their RAW gets: the file's name without its suffix."""
    grouped: dict[str, list[Path]] = {}
    for photo in photos:
        grouped.setdefault(photo.stem, []).append(photo)
    return grouped


def by_name(photos: Iterable[Path]) -> tuple[dict[str, Path], list[str]]:
    """Photos by the name that their RAW gets, and a line for each that shares its name with another."""
    grouped = group_by_stem(photos)
    problems = [same_name(photo, same) for same in grouped.values() if len(same) > 1 for photo in same]
    return {name: same[0] for name, same in grouped.items() if len(same) == 1}, problems


def same_name(photo: Path, same: list[Path]) -> str:
    """A line about a photo whose RAW would overwrite that of others."""
    others = ", ".join(
        other.name if other.parent == photo.parent else str(other) for other in same if other != photo
    )
    return printable(
        f"{photo}: would become {photo.stem}.npy, and so would another picture ({others}); rename one"
    )
