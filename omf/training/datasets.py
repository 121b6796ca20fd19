"""Folders of photo and RAW pairs: find, load and check them.

Layouts:

aim     NAME.jpg + NAME.npy (AIM 2022 Reversed ISP), in the folder or in its `train/`: packed RGGB,
        uint16 (H/2, W/2, 4), white level 1024.
ntire   NAME.png + NAME.npy (NTIRE 2025 RAW reconstruction): 1024 x 1024 pixels, RAW (512, 512, 4),
        white level 4095. Or NAME.npz with `raw` and `max_val`, as in other challenges by the same
        organisers.
dng     NAME.jpg + NAME.dng or other camera RAW; or camera RAW alone, with the camera's photo embedded in
        full size. Must be converted before training.

A `dataset.json` beside the pairs, {"white_level": 4095}, overrides the white level.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from omf.evaluation.alignment import Registration, register
from omf.evaluation.plausibility import check_pair
from omf.io.camera_raw import CAMERA_RAW_SUFFIXES, CameraRaw, import_rawpy, read_camera_raw
from omf.io.embedded import open_embedded_photo, read_embedded_photo
from omf.io.images import PHOTO_SUFFIXES, read_rgb
from omf.io.packed import NPY_ERRORS, PACKED_SUFFIXES, read_counts, read_levels, unreadable
from omf.io.photos import group_by_stem, match_shots
from omf.raw.bayer import WHITE_LEVEL, crop_to_cells, unpack
from omf.raw.overexposure import overexposure_mask
from omf.utils.console import progress
from omf.utils.errors import InputError

NTIRE_SHAPE, NTIRE_WHITE_LEVEL = (512, 512, 4), 4095
DESCRIPTION = "dataset.json"
EXPECTED = (
    "expected NAME.jpg with NAME.npy (AIM 2022), NAME.png with NAME.npy or NAME.npz (NTIRE 2025),"
    " or NAME.dng or another camera's RAW, with NAME.jpg or with the camera's JPEG embedded in it"
)

MAX_BEYOND_WHITE = 0.05  # share of pairs with such counts, above which (and two) the level itself is wrong
MIN_EXPOSURE = 0.22  # median of `check_pair`: 0.38 and more in real pairs, 0.2 and less with two bits too few
MIN_EXPOSURES = 3  # pairs that tell it


class BeyondWhiteError(InputError):
    """RAW with counts above its white level."""


@dataclass(frozen=True)
class Pair:
    """A photo and its packed RAW."""

    photo: Path
    raw: Path
    white_level: int  # RAW counts that map to 1.0
    white_is_known: bool = True  # False if it is the layout's usual one

    @property
    def name(self) -> str:
        return self.photo.stem

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        """Load the photo and its RAW.

        Returns:
            sRGB photo, uint8 or uint16 (H, W, 3), and Bayer mosaic, RGGB, float32 (H, W), 1 = white level.
            If the height or width of the photo is odd, its last row or column is dropped.

        Raises:
            InputError: a file cannot be read, the two do not match, or the RAW is not valid.
        """
        rgb = read_rgb(self.photo)
        shape = (rgb.shape[0] // 2, rgb.shape[1] // 2, 4)
        counts = read_counts(self.raw)
        if counts.dtype != np.uint16 or counts.shape != shape:
            raise InputError(
                f"{self.raw}: {counts.dtype} {counts.shape}; {self.photo.name} of"
                f" {rgb.shape[1]} x {rgb.shape[0]} pixels requires uint16 {shape}, planes R, Gr, Gb, B"
            )
        low, high = counts.min(), counts.max()
        if high > self.white_level:
            raise BeyondWhiteError(
                f"{self.raw}: counts up to {high}, but the white level is {self.white_level};"
                f' to set another, put {DESCRIPTION} beside the pairs, for example {{"white_level": 4095}}'
            )
        if low == high:
            raise InputError(f"{self.raw}: every value is {low}; give a RAW that shows something")
        return crop_to_cells(rgb), unpack(counts).astype(np.float32) / np.float32(self.white_level)


@dataclass(frozen=True)
class CameraPair:
    """A camera RAW file and the photo that the camera made of it: beside it, or embedded in it."""

    photo: Path | None  # None: embedded in the RAW
    raw: Path

    @property
    def name(self) -> str:
        return self.raw.stem

    def read_photo(self) -> np.ndarray:
        """Read the photo, not registered to its RAW: sRGB, uint8 or uint16 (H, W, 3), see `read_rgb`."""
        return read_embedded_photo(self.raw) if self.photo is None else read_rgb(self.photo)

    def load(self) -> tuple[np.ndarray, np.ndarray, Registration, CameraRaw]:
        """Load the photo and its RAW, and register them.

        Returns:
            Photo and mosaic of their common area, as `Pair.load`, the registration, and the RAW as stored.

        Raises:
            InputError: a file cannot be read, or the two do not match.
        """
        rgb, camera_raw = self.read_photo(), read_camera_raw(self.raw)
        try:
            registration = register(rgb, camera_raw.bayer)
        except InputError as error:
            files = (
                f"{self.photo}, {self.raw.name}" if self.photo else f"{self.raw} and the photo embedded in it"
            )
            raise InputError(f"{files}: {error}") from error
        return *registration.apply(rgb, camera_raw.bayer), registration, camera_raw


@dataclass(frozen=True)
class Dataset:
    """Contents of a dataset folder."""

    layout: str  # aim, ntire or dng
    pairs: list[Pair] | list[CameraPair]  # the latter in the dng layout, which must be converted for training
    problems: list[str]  # one line each
    overexposed: int = 0  # number of photos with overexposed pixels, counted by `check_pairs`


def find_pairs(folder: Path) -> Dataset:
    """Find the pairs in a folder or in its `train/`, and their layout, from file names and headers only.

    Camera RAW without a photo of the same name counts as a pair with its embedded photo, which `check_pairs`
    checks.

    Raises:
        InputError: the folder does not exist, contains no pairs, or none that can be used.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that holds pairs of photo and RAW")
    for candidate in (folder, folder / "train"):
        if not candidate.is_dir():
            continue
        files = [path for path in sorted(candidate.iterdir()) if path.is_file() and path.name[0] != "."]
        photos, packed, camera = (
            group_by_stem(path for path in files if path.suffix.lower() in suffixes)
            for suffixes in (PHOTO_SUFFIXES, PACKED_SUFFIXES, CAMERA_RAW_SUFFIXES)
        )
        if photos.keys() & packed.keys():
            dataset = packed_pairs(candidate, photos, packed, camera)
        elif camera:
            matched, problems = match_pairs(photos, match_shots(photos, camera), embedded=True)
            dataset = Dataset("dng", [CameraPair(*files) for files in matched], problems)
        else:
            continue
        if not dataset.pairs:
            raise InputError(
                f"{candidate}: none of its pairs can be used; the first problem is: {dataset.problems[0]}"
            )
        return dataset
    raise InputError(f"{folder}: no pairs of photo and RAW in it; {EXPECTED}")


def match_pairs(
    photos: dict[str, list[Path]], raws: dict[str, list[Path]], embedded: bool = False
) -> tuple[list[tuple[Path | None, Path]], list[str]]:
    """Return the photos and RAW files that share a name with no others, and problems with the rest.

    With `embedded`, a RAW without a photo counts as one with a photo, which is None.
    """
    matched, problems = [], []
    for name in sorted(photos.keys() | raws.keys()):
        photo_files, raw_files = photos.get(name, []), raws.get(name, [])
        if len(raw_files) == 1 and len(photo_files) in ((0, 1) if embedded else (1,)):
            matched.append((photo_files[0] if photo_files else None, raw_files[0]))
        elif not raw_files:
            problems.append(f"{photo_files[0]}: no RAW of that name; add it, or remove the photo")
        elif not photo_files and not embedded:
            problems.append(f"{raw_files[0]}: no photo of that name; add it, or remove the RAW")
        else:
            duplicates = photo_files if len(photo_files) > 1 else raw_files
            problems.append(f"{duplicates[0]}: {duplicates[1].name} has the same name; keep one of them")
    return matched, problems


def packed_pairs(
    folder: Path, photos: dict[str, list[Path]], packed: dict[str, list[Path]], camera: dict[str, list[Path]]
) -> Dataset:
    """Return the dataset of a folder with packed RAW. Raises InputError if its dataset.json is not valid."""
    matched, problems = match_pairs(photos, packed)
    given = read_white_level(folder / DESCRIPTION)
    pairs, layouts = [], set()
    for photo, raw in matched:
        try:
            layout, level = layout_and_white_level(photo, raw, given)
        except InputError as error:
            problems.append(str(error))
        else:
            pairs.append(Pair(photo, raw, level, given is not None or raw.suffix.lower() == ".npz"))
            layouts.add(layout)
    problems += [
        f"{path}: a camera RAW among packed ones; skipped" for paths in camera.values() for path in paths
    ]
    return Dataset("ntire" if "ntire" in layouts else "aim", pairs, problems)


def read_white_level(path: Path) -> int | None:
    """Read the white level from a `dataset.json`, or return None if the file or the entry does not exist.

    Raises InputError if the file or its white level is not valid.
    """
    if not path.is_file():
        return None
    try:
        level = json.loads(path.read_text()).get("white_level")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(
            f'{path}: can\'t be read ({error}); give JSON such as {{"white_level": 4095}}'
        ) from error
    return None if level is None else check_white_level(path, level)


def check_white_level(path: Path, level: object) -> int:
    """Return the white level as an int. Raises InputError unless it is a whole number from 1 to 65535."""
    if type(level) not in (int, float) or level not in range(1, 65536):
        raise InputError(f"{path}: white level {level}; give a whole number from 1 to 65535")
    return int(level)


def layout_and_white_level(photo: Path, raw: Path, given: int | None) -> tuple[str, int]:
    """Return the layout of a pair and its white level: `given`, else that of the RAW file or of the layout.

    Raises InputError if the RAW is damaged or its white level is unknown.
    """
    if raw.suffix.lower() == ".npz":
        levels = {name: value.tolist() for name, value in read_levels(raw).items()}
        black, cfa = levels.get("black_level", 0), levels.get("cfa", "RGGB")
        if black or cfa != "RGGB":
            raise InputError(f"{raw}: black level {black}, CFA {cfa}; give black level 0 and RGGB")
        return "ntire", given or check_white_level(raw, levels.get("max_val", NTIRE_WHITE_LEVEL))
    try:
        shape = np.load(raw, mmap_mode="r", allow_pickle=False).shape  # reads only the header
    except NPY_ERRORS as error:
        raise unreadable(raw, error) from error
    if photo.suffix.lower() == ".png" and shape == NTIRE_SHAPE:
        return "ntire", given or NTIRE_WHITE_LEVEL
    if given is None and photo.suffix.lower() not in (".jpg", ".jpeg"):
        raise InputError(
            f"{raw}: the white level of {shape} beside {photo.name} is unknown;"
            f' put {DESCRIPTION} there, for example {{"white_level": 1023}}'
        )
    return "aim", given or WHITE_LEVEL


class PairCheck:
    """Check of pairs, one by one, and of the white level that those of a layout share."""

    def __init__(self):
        self.assumed: list[Pair] = []  # pairs whose white level is the layout's
        self.beyond, self.exposures = 0, []  # of these

    def load(self, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        """Load a pair as `Pair.load` does. Raises InputError, too, if photo and RAW are not a pair."""
        if not pair.white_is_known:
            self.assumed.append(pair)
        try:
            rgb, bayer = pair.load()
        except BeyondWhiteError:
            self.beyond += not pair.white_is_known
            raise
        try:
            exposure = check_pair(rgb, bayer)
        except InputError as error:
            raise InputError(f"{pair.photo}, {pair.raw.name}: {error}") from error
        if exposure is not None and not pair.white_is_known:
            self.exposures.append(exposure)
        return rgb, bayer

    def check_white_level(self) -> None:
        """Raise InputError if the pairs seem to have another white level than their layout."""
        count, fault = len(self.assumed), ""
        if max(MAX_BEYOND_WHITE * count, 1) < self.beyond < count:
            fault = f"{self.beyond} of {count} pairs have counts beyond the white level"
        elif len(self.exposures) >= MIN_EXPOSURES and np.median(self.exposures) < MIN_EXPOSURE:
            fault = f"RAW has {np.median(self.exposures):.2f} of its photos' brightness at the white level"
        if fault:
            raise InputError(
                f"{self.assumed[0].raw.parent}: {fault} {self.assumed[0].white_level};"
                f' put {DESCRIPTION} there with the right one, for example {{"white_level": 4095}}'
            )


def check_side(path: Path, rgb: np.ndarray, side: int) -> None:
    """Raise InputError if a photo is less than `side` pixels high or wide."""
    if min(rgb.shape[:2]) < side:
        raise InputError(f"{path}: {rgb.shape[1]} x {rgb.shape[0]} pixels; {side} x {side} are needed")


def check_pairs(dataset: Dataset, min_side: int = 2) -> Dataset:
    """Load every pair once and return the dataset without those that cannot be used.

    Pairs that fail to load, or are less than `min_side` pixels high or wide, become problems. The result
    also has `overexposed` set. In the dng layout, only embedded photos are checked, without decoding.

    Raises:
        InputError: the pairs have another white level than their layout, or a photo is embedded in camera RAW
            and rawpy is not installed.
    """
    if any(pair.photo is None for pair in dataset.pairs):
        import_rawpy()
    pairs, problems, overexposed, check = [], [], 0, PairCheck()
    for pair in progress(dataset.pairs, "checking", unit="pair"):
        try:
            if isinstance(pair, Pair):
                rgb, _ = check.load(pair)
                check_side(pair.photo, rgb, min_side)
                overexposed += bool(overexposure_mask(rgb).any())
            elif pair.photo is None:
                open_embedded_photo(pair.raw)
        except InputError as error:
            problems.append(str(error))
        else:
            pairs.append(pair)
    check.check_white_level()
    return replace(dataset, pairs=pairs, problems=dataset.problems + problems, overexposed=overexposed)
