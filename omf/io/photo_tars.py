"""Photos in tars, as WebDataset writes them. No torch here."""

import os
from collections.abc import Iterable
from pathlib import Path

from braceexpand import UnbalancedBracesError, braceexpand

from omf.io.camera_raw import CAMERA_RAW_SUFFIXES
from omf.io.images import PHOTO_FORMATS, PHOTO_SUFFIXES
from omf.io.photos import exclude_paired_raw, filter_utf8_names, is_folder, list_photos_and_tars
from omf.io.tars import TAR, members_of
from omf.utils.console import count_of, log
from omf.utils.errors import InputError
from omf.utils.files import unique_files
from omf.utils.remote import remote_errors, to_path

PICTURES = PHOTO_SUFFIXES | CAMERA_RAW_SUFFIXES


def list_inputs(place: str) -> tuple[list[Path], list[str]]:
    """List the photos and tars that a text stands for, sorted; and a line for each tar that is not there.

    It is a folder of photos, of tars or of both; a tar; or several, shards/{00..99}.tar. All may be in object
    storage. Raises InputError if there is none.
    """
    if not place.endswith(TAR) or os.path.isdir(place):  # noqa: PTH112 - no tar, but a folder called so
        photos, tars = list_photos_and_tars(to_path(place))
        if not photos and not tars:
            raise InputError(f"{place}: no pictures in it; put {PHOTO_FORMATS} files there, or tars of them")
        return [*photos, *tars], []
    try:
        paths = [to_path(text) for text in braceexpand(place)]
    except UnbalancedBracesError:
        raise InputError(f"{place}: braces without their partner; give shards/{{00..99}}{TAR}") from None
    tars, problems = [], []
    for path in paths:
        with remote_errors(path):
            if path.is_file():
                tars.append(path)
            else:
                problems.append(f"{path}: no such file; give a {TAR} of photos")
    if not tars:
        raise InputError(problems[0])
    return tars, problems


def find_inputs(paths: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """Replace folders and tars by the photos in them; a line for each tar that can't be read in full.

    Raises InputError if a folder contains none.
    """
    found, problems = [], []
    for path in paths:
        is_place = path.suffix == TAR or is_folder(path)
        inputs, missing = list_inputs(str(path)) if is_place else ([path], [])
        found += inputs
        problems += missing
    photos, faults = expand_tars(found)
    return exclude_paired_raw(unique_files(photos)), problems + faults


def expand_tars(paths: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """Replace tars by the photos in them; a line for each tar that can't be read in full."""
    photos, problems = [], []
    for path in paths:
        try:
            found, faults = list_photos_in_tar(path) if path.suffix == TAR else ([path], [])
        except InputError as error:
            found, faults = [], [str(error)]
        photos += found
        problems += faults
    return photos, problems


def list_photos_in_tar(tar: Path) -> tuple[list[Path], list[str]]:
    """List the photos in a tar by their suffixes, in its order, without hidden files.

    Returns:
        TAR/FILE of each, and a line for each fault: damage, a name that is not UTF-8, no photos at all.

    Raises InputError if nothing in it can be read.
    """
    with remote_errors(tar):
        files, fault = members_of(tar)
    shown = [tar / file for file in files if not Path(file).name.startswith(".")]
    photos = exclude_paired_raw([path for path in shown if path.suffix.lower() in PICTURES])
    log.info(f"{tar}: {count_of(len(photos), 'photo')}, {count_of(len(files) - len(photos), 'other file')}")
    if not photos:
        return [], [f"{tar}: no pictures in it{fault and f', and {fault}'}; put {PHOTO_FORMATS} files there"]
    problems = [f"{tar}: {fault} behind {photos[-1].name}; copy it again from where it came"] if fault else []
    utf8, nameless = filter_utf8_names(photos)
    return utf8, problems + nameless
