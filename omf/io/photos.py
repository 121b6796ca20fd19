"""Find photos, and map the names of their RAW files to them. Does not import torch."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from omf.io.camera_raw import CAMERA_RAW_SUFFIXES
from omf.io.identify import OTHER_SUFFIXES, identify
from omf.io.images import PHOTO_FORMATS, PHOTO_SUFFIXES
from omf.io.tars import TAR
from omf.utils.console import count_of, log
from omf.utils.errors import InputError, printable
from omf.utils.files import unique_files
from omf.utils.remote import is_remote, remote_errors

T = TypeVar("T")

# Endings by which phones tell the photo and the RAW of one shot: PXL_x.RAW-01.COVER.jpg and
# PXL_x.RAW-02.ORIGINAL.dng, IMG_x_COVER.jpg and IMG_x.dng, IMG_x.jpg and IMG_x_RAW.dng
SHOT_ENDING = re.compile(
    r"(?:(?:[._]RAW-\d+)?(?:[._]MP)?[._](?:COVER|ORIGINAL)|[._]RAW-\d+|_RAW)$", re.IGNORECASE
)


def list_images(folder: Path) -> list[Path]:
    """List the pictures in a folder, sorted by name, without subfolders and without hidden files.

    Files with a suffix of pictures count as such; the content of all others decides. Pictures of formats
    that are not supported are listed too, so that an error names each. The number of files that are no
    pictures is logged, without a README. Camera RAW next to its photo is left out, see `exclude_paired_raw`.

    Raises InputError if the folder does not exist, cannot be read, or contains no photos.
    """
    photos, _ = list_photos_and_tars(folder)
    if not photos:
        raise InputError(f"{folder}: no pictures in it; put {PHOTO_FORMATS} files there")
    return photos


def list_photos_and_tars(folder: Path) -> tuple[list[Path], list[Path]]:
    """List the pictures in a folder as `list_images`, and its tars; either may be none."""
    try:
        with remote_errors(folder):
            if not folder.is_dir():
                raise InputError(f"{folder}: no such folder; give one that holds {PHOTO_FORMATS} files")
            paths = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(
            f"{folder}: can't be read ({error.strerror}); let this user list the folder"
        ) from error
    paths = [path for path in paths if path.name and not path.name.startswith(".")]
    tars = [path for path in paths if path.suffix == TAR and path.is_file()]
    photos = [path for path in paths if is_picture(path)]
    others = {*paths} - {*photos, *tars}
    if count := sum(path.is_file() and path.stem != "README" for path in others):
        log.info(f"{folder}: {count_of(count, 'file')} without a picture; left out")
    return exclude_paired_raw(photos), tars


def is_picture(path: Path) -> bool:
    """Return True for a photo, camera RAW, or a picture of another format; by its name in object storage."""
    if path.suffix.lower() in PHOTO_SUFFIXES | CAMERA_RAW_SUFFIXES | OTHER_SUFFIXES:
        return True
    return not is_remote(path) and path.is_file() and identify(path) != ""


def shot_name(stem: str) -> str:
    """Return the name that the photo and the RAW of a shot share, without what a phone appends to it."""
    return SHOT_ENDING.sub("", stem) or stem


def match_shots(names: Iterable[str], files: Mapping[str, T]) -> dict[str, T]:
    """Rename RAW files, by name without suffix, after the photos, names without suffix, of the same shots.

    Returns:
        The files by the name of their photo: of the same name, else of the same shot if only one photo and
        one file have it; all other files by their own names.
    """
    same = set(names) & files.keys()
    photos, raws = (group_by(set(keys) - same, shot_name) for keys in (names, files))
    renamed = {
        raws[shot][0]: photos[shot][0]
        for shot in photos.keys() & raws.keys()
        if len(photos[shot]) == len(raws[shot]) == 1
    }
    return {renamed.get(name, name): file for name, file in files.items()}


def group_by(items: Iterable[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    """Group items by a key, in their order."""
    groups: dict[str, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def is_folder(path: Path) -> bool:
    """Return True for a folder. Raises InputError if object storage can't be asked."""
    with remote_errors(path):
        # os.path.isdir treats an inaccessible path as a file; reading it reports the error
        return path.is_dir() if is_remote(path) else os.path.isdir(path)  # noqa: PTH112


def find_photos(paths: Iterable[Path]) -> list[Path]:
    """Replace folders by the photos in them, and drop duplicates and camera RAW next to its photo."""
    photos = [photo for path in paths for photo in (list_images(path) if is_folder(path) else [path])]
    return exclude_paired_raw(unique_files(photos))  # a photo may be given next to its folder


def filter_utf8_names(photos: list[Path]) -> tuple[list[Path], list[str]]:
    """Select the photos with UTF-8 names, which Snakemake and zip files require; a line for each other photo.

    Raises InputError if no name is UTF-8.
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
    """Drop camera RAW next to a photo of the same shot.

    The photo was developed from it, so it is not another photo, and may serve as ground truth.
    """
    shots = [path.with_name(shot_name(path.stem)) for path in paths]
    suffixes = [path.suffix.lower() for path in paths]
    photos = {shot for shot, suffix in zip(shots, suffixes) if suffix in PHOTO_SUFFIXES}
    return [
        path
        for path, shot, suffix in zip(paths, shots, suffixes)
        if suffix not in CAMERA_RAW_SUFFIXES or shot not in photos
    ]


def match_patterns(photos: list[Path], patterns: Path) -> list[Path]:
    """Select the photos that match a file of patterns: a file name or glob per line, # for comments.

    Raises InputError if the file of patterns cannot be read.
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
    return group_by(photos, lambda photo: photo.stem)


def map_by_name(photos: Iterable[Path]) -> tuple[dict[str, Path], list[str]]:
    """Map the names of RAW files to their photos; a line for each photo that shares its name with another."""
    grouped = group_by_stem(photos)
    alone = {name: group[0] for name, group in grouped.items() if len(group) == 1}
    clashing = [group for group in grouped.values() if len(group) > 1]
    return alone, [describe_clash(photo, group) for group in clashing for photo in group]


def describe_clash(photo: Path, group: list[Path]) -> str:
    """Return a line about a photo whose RAW file would overwrite those of the other photos in its group."""
    others = ", ".join(
        other.name if other.parent == photo.parent else str(other) for other in group if other != photo
    )
    return printable(
        f"{photo}: would become {photo.stem}.npy, and so would another picture ({others}); rename one"
    )
