"""Find photos, and map the names of their RAW files to them. Does not import torch."""

import os
from collections.abc import Iterable
from pathlib import Path

from omf.io.camera_raw import CAMERA_RAW_SUFFIXES
from omf.io.images import PHOTO_FORMATS, PHOTO_SUFFIXES
from omf.utils.errors import InputError, printable

# Formats that a user may expect to work. They are listed too, so that an error names each file.
OTHER_SUFFIXES = {".avif", ".bmp", ".gif", ".jp2", ".jxl", ".webp"} | CAMERA_RAW_SUFFIXES


def list_images(folder: Path) -> list[Path]:
    """List the photos in a folder, sorted by name, without subfolders and without hidden files.

    Camera RAW is listed too, unless `exclude_paired_raw` removes it.

    Raises:
        InputError: the folder does not exist, cannot be read, or contains no photos.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that holds {PHOTO_FORMATS} files")
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(
            f"{folder}: can't be read ({error.strerror}); let this user list the folder"
        ) from error
    photos = [
        path
        for path in paths
        if path.suffix.lower() in PHOTO_SUFFIXES | OTHER_SUFFIXES and not path.name.startswith(".")
    ]
    if not photos:
        raise InputError(f"{folder}: no pictures in it; put {PHOTO_FORMATS} files there")
    return exclude_paired_raw(photos)


def find_photos(paths: Iterable[Path]) -> list[Path]:
    """Replace folders by the photos in them, and drop duplicates and camera RAW next to its photo.

    Args:
        paths: photo files and folders.

    Raises:
        InputError: a folder contains no photos.
    """
    # os.path.isdir treats an inaccessible path as a file; reading it reports the error
    photos = [photo for path in paths for photo in (list_images(path) if os.path.isdir(path) else [path])]  # noqa: PTH112
    return exclude_paired_raw(list(dict.fromkeys(photos)))  # a photo may be given next to its folder


def filter_utf8_names(photos: list[Path]) -> tuple[list[Path], list[str]]:
    """Select the photos with UTF-8 names, which Snakemake and zip files require.

    Returns:
        The selected photos, and a line for each other photo.

    Raises:
        InputError: no name is UTF-8.
    """
    selected, problems = [], []
    for photo in photos:
        try:
            str(photo).encode()
            selected.append(photo)
        except UnicodeEncodeError:
            problems.append(
                printable(f"{photo}: its name is not UTF-8, which a submission requires; rename it")
            )
    if not selected:
        raise InputError(problems[0])
    return selected, problems


def exclude_paired_raw(paths: list[Path]) -> list[Path]:
    """Drop camera RAW next to a photo of the same name.

    The photo was developed from it, so it is not another photo, and may serve as ground truth.
    """
    photos = {path.with_suffix("") for path in paths if path.suffix.lower() in PHOTO_SUFFIXES}
    return [
        path
        for path in paths
        if path.suffix.lower() not in CAMERA_RAW_SUFFIXES or path.with_suffix("") not in photos
    ]


def match_patterns(photos: list[Path], patterns: Path) -> list[Path]:
    """Select the photos that match one of the patterns in a file.

    Args:
        photos: photo files.
        patterns: text file with a file name or glob per line; lines that begin with # are comments.

    Raises:
        InputError: the file of patterns cannot be read.
    """
    try:
        lines = [line.strip() for line in patterns.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{patterns}: can't be read ({error}); give a text file with a file name or glob in each line"
        ) from error
    globs = [line for line in lines if line and not line.startswith("#")]
    return [photo for photo in photos if any(photo.match(glob) for glob in globs)]


def group_by_stem(photos: Iterable[Path]) -> dict[str, list[Path]]:
    """Group photos by the name of their RAW file: the photo's file name without its suffix."""
    grouped: dict[str, list[Path]] = {}
    for photo in photos:
        grouped.setdefault(photo.stem, []).append(photo)
    return grouped


def map_by_name(photos: Iterable[Path]) -> tuple[dict[str, Path], list[str]]:
    """Map the names of RAW files to their photos.

    Returns:
        Photos by name, and a line for each photo that shares its name with another one.
    """
    grouped = group_by_stem(photos)
    problems = [
        describe_clash(photo, group) for group in grouped.values() if len(group) > 1 for photo in group
    ]
    return {name: group[0] for name, group in grouped.items() if len(group) == 1}, problems


def describe_clash(photo: Path, group: list[Path]) -> str:
    """Return a line about a photo whose RAW file would overwrite those of the other photos in its group."""
    others = ", ".join(
        other.name if other.parent == photo.parent else str(other) for other in group if other != photo
    )
    return printable(
        f"{photo}: would become {photo.stem}.npy, and so would another picture ({others}); rename one"
    )
