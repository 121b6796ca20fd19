"""Pairs of a photo and its RAW in a folder: find, load and check them.

Layouts:

aim     NAME.jpg + NAME.npy (AIM 2022 Reversed ISP), in the folder or in its `train/`: uint16 packed
        RGGB (H/2, W/2, 4), 1024 = white.
ntire   NAME.png + NAME.npy (NTIRE 2025 RAW reconstruction): 1024 x 1024 pixels, RAW (512, 512, 4),
        4095 = white. Or NAME.npz with `raw` and `max_val`, the form of the same organisers' other
        challenges.
dng     NAME.jpg + NAME.dng or another camera's RAW; to be converted before training.

A `dataset.json` beside the pairs, {"white_level": 4095}, tells the white level where it is another.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from omf.io.camera_raw import CAMERA_RAW_SUFFIXES
from omf.io.images import PHOTO_SUFFIXES, read_rgb
from omf.io.packed import PACKED_SUFFIXES, READING_ERRORS, read_counts, unreadable
from omf.raw.bayer import WHITE_LEVEL, unpack
from omf.raw.overexposure import overexposure_mask
from omf.utils.console import progress
from omf.utils.errors import InputError

NTIRE_SHAPE, NTIRE_WHITE_LEVEL = (512, 512, 4), 4095
DESCRIPTION = "dataset.json"
EXPECTED = (
    "expected NAME.jpg with NAME.npy (AIM 2022), NAME.png with NAME.npy or NAME.npz (NTIRE 2025),"
    " or NAME.jpg with NAME.dng or another camera's RAW"
)


@dataclass(frozen=True)
class Pair:
    """A photo and its packed RAW."""

    photo: Path
    raw: Path
    white_level: int  # counts of the RAW for 1.0

    @property
    def name(self) -> str:
        return self.photo.stem

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        """Read both.

        Returns:
            sRGB, uint8 or uint16 (H, W, 3), and Bayer, float32 (H, W), RGGB, 1 = white level. Of a photo
            of odd height or width the last row or column is left out.

        Raises:
            InputError: one can't be read, they don't fit together, or the RAW can't be one.
        """
        rgb = read_rgb(self.photo)
        height, width = rgb.shape[0] // 2, rgb.shape[1] // 2
        counts = read_counts(self.raw)
        if counts.dtype != np.uint16 or counts.shape != (height, width, 4):
            raise InputError(
                f"{self.raw}: {counts.dtype} {counts.shape}; to {self.photo.name} of {rgb.shape[1]} x {rgb.shape[0]} pixels belongs"
                f" uint16 {(height, width, 4)}, planes R, Gr, Gb, B"
            )
        low, high = counts.min(), counts.max()
        if high > self.white_level:
            raise InputError(
                f"{self.raw}: counts up to {high}, but the white level is {self.white_level};"
                f' if another is right, put {DESCRIPTION} beside the pairs: {{"white_level": 4095}}, say'
            )
        if low == high:
            raise InputError(f"{self.raw}: every value is {low}; give a RAW that shows something")
        return rgb[: 2 * height, : 2 * width], unpack(counts).astype(np.float32) / np.float32(
            self.white_level
        )


@dataclass(frozen=True)
class Dataset:
    """What a folder holds."""

    layout: str  # aim, ntire or dng
    pairs: list[Pair]  # to train on; none in the layout dng
    problems: list[str]  # a line each
    camera_pairs: list[tuple[Path, Path]] = field(
        default_factory=list
    )  # photo and camera RAW, of the layout dng
    overexposed: int | None = None  # pairs whose photo holds overexposed pixels; None: not looked at


def find_pairs(folder: Path) -> Dataset:
    """Find the pairs in a folder or in its `train/` and tell their layout, from names and headers alone.

    Raises:
        InputError: there is no such folder, or no pair in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that holds pairs of photo and RAW")
    for place in (folder, folder / "train"):
        if place.is_dir() and (dataset := pairs_in(place)):
            return dataset
    raise InputError(f"{folder}: no pairs of photo and RAW in it; {EXPECTED}")


def pairs_in(folder: Path) -> Dataset | None:
    """As `find_pairs`, of one folder; None where it holds no two files of one name that could be a pair."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    photos, packed, camera = (
        by_stem(files, suffixes) for suffixes in (PHOTO_SUFFIXES, PACKED_SUFFIXES, CAMERA_RAW_SUFFIXES)
    )
    if photos.keys() & packed.keys():
        return packed_pairs(folder, photos, packed, camera)
    if photos.keys() & camera.keys():
        names, problems = matched(photos, camera)
        return Dataset("dng", [], problems, [(photos[name][0], camera[name][0]) for name in names])
    return None


def by_stem(files: list[Path], suffixes: set[str]) -> dict[str, list[Path]]:
    """The files of these suffixes, in any case, by name without suffix."""
    grouped: dict[str, list[Path]] = {}
    for path in files:
        if path.suffix.lower() in suffixes:
            grouped.setdefault(path.stem, []).append(path)
    return grouped


def matched(photos: dict[str, list[Path]], raws: dict[str, list[Path]]) -> tuple[list[str], list[str]]:
    """(names that have one photo and one RAW, problems with the others)."""
    names, problems = [], []
    for name in sorted(photos.keys() | raws.keys()):
        ours, theirs = photos.get(name, []), raws.get(name, [])
        if len(ours) == len(theirs) == 1:
            names.append(name)
        elif not theirs:
            problems.append(f"{ours[0]}: no RAW of that name; put it beside, or take the photo away")
        elif not ours:
            problems.append(f"{theirs[0]}: no photo of that name; put it beside, or take the RAW away")
        else:
            several = ours if len(ours) > 1 else theirs
            problems.append(f"{several[0]}: {several[1].name} has the same name; leave one of them")
    return names, problems


def packed_pairs(
    folder: Path, photos: dict[str, list[Path]], packed: dict[str, list[Path]], camera: dict[str, list[Path]]
) -> Dataset:
    names, problems = matched(photos, packed)
    told = read_white_level(folder / DESCRIPTION)
    pairs, layouts = [], set()
    for name in names:
        photo, raw = photos[name][0], packed[name][0]
        try:
            layout, level = layout_and_white_level(photo, raw, told)
        except InputError as error:
            problems.append(str(error))
        else:
            pairs.append(Pair(photo, raw, level))
            layouts.add(layout)
    problems += [
        f"{path}: a camera RAW among packed ones; it is left out"
        for paths in camera.values()
        for path in paths
    ]
    if not pairs:
        raise InputError(f"{folder}: none of its pairs can be used, the first problem is: {problems[0]}")
    return Dataset("ntire" if "ntire" in layouts else "aim", pairs, problems)


def read_white_level(path: Path) -> int | None:
    """The white level in a `dataset.json`; None where there is no such file, or it doesn't say. Raises InputError."""
    if not path.is_file():
        return None
    try:
        told = json.loads(path.read_text())
        level = told.get("white_level")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f'{path}: can\'t be read ({error}); give JSON such as {{"white_level": 4095}}'
        ) from error
    return None if level is None else checked_white_level(path, level)


def checked_white_level(path: Path, level: object) -> int:
    if (
        isinstance(level, bool)
        or not isinstance(level, int | float)
        or level != int(level)
        or not 1 <= level <= 65535
    ):
        raise InputError(f"{path}: white level {level}; give a whole number from 1 to 65535")
    return int(level)


def layout_and_white_level(photo: Path, raw: Path, told: int | None) -> tuple[str, int]:
    """Which layout a pair is of, and its white level: what `dataset.json` tells (`told`), else the RAW file, else the layout.

    Raises InputError where the RAW is damaged, or nothing tells the white level.
    """
    try:
        if raw.suffix.lower() == ".npz":
            with np.load(raw, allow_pickle=False) as archive:
                own = archive["max_val"].item() if "max_val" in archive else NTIRE_WHITE_LEVEL
            return "ntire", told or checked_white_level(raw, own)
        shape = np.load(raw, mmap_mode="r", allow_pickle=False).shape  # reads the header alone
    except READING_ERRORS as error:
        raise unreadable(raw, error) from error
    if photo.suffix.lower() == ".png" and shape == NTIRE_SHAPE:
        return "ntire", told or NTIRE_WHITE_LEVEL
    if told is None and photo.suffix.lower() not in (".jpg", ".jpeg"):
        raise InputError(
            f'{raw}: nothing tells the white level of {shape} beside {photo.name}; put {DESCRIPTION} there: {{"white_level": 1023}}, say'
        )
    return "aim", told or WHITE_LEVEL


def check_pairs(dataset: Dataset, smallest: int = 2) -> Dataset:
    """Load every pair once; those that can't be used, or are less than `smallest` pixels high or wide, become problems."""
    pairs, problems, overexposed = [], [], 0
    for pair in progress(dataset.pairs, "checking", unit="pair"):
        try:
            rgb, _ = pair.load()
            if min(rgb.shape[:2]) < smallest:
                raise InputError(
                    f"{pair.photo}: {rgb.shape[1]} x {rgb.shape[0]} pixels; {smallest} x {smallest} are needed"
                )
        except InputError as error:
            problems.append(str(error))
        else:
            pairs.append(pair)
            overexposed += bool(overexposure_mask(rgb).any())
    return replace(dataset, pairs=pairs, problems=dataset.problems + problems, overexposed=overexposed)
