"""Read camera RAW files (DNG, CR2, NEF, ...) with LibRaw."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from omf.raw.bayer import CFA_ORIGINS, to_rggb
from omf.utils.errors import InputError
from omf.utils.files import check_is_file

if TYPE_CHECKING:
    from rawpy import RawPy

CAMERA_RAW_SUFFIXES = {".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".rw2", ".srw"}


@dataclass(frozen=True)
class CameraRaw:
    """The mosaic of a camera RAW file."""

    mosaic: np.ndarray  # float32 (H, W), black level at 0, white level at 1
    cfa: str  # CFA order, one of `CFA_ORIGINS`
    black_level: int  # counts, mean of the channels
    white_level: int  # counts

    @property
    def bayer(self) -> np.ndarray:
        """The mosaic cropped to RGGB: float32 (H', W'), begins at the first red pixel, H' and W' even."""
        return np.ascontiguousarray(to_rggb(self.mosaic, self.cfa))


def import_rawpy() -> ModuleType:
    """Import rawpy, the optional dependency for camera RAW. Raises InputError if it is not installed."""
    try:
        import rawpy
    except ImportError:
        raise InputError(
            "camera RAW needs rawpy; install it with: pip install 'overexposure-mask-fusion[raw]'"
        ) from None
    return rawpy


@contextmanager
def open_camera_raw(path: Path) -> Iterator["RawPy"]:
    """Open a camera RAW file with LibRaw, which reads only its header at first.

    Raises:
        InputError: rawpy is not installed, or LibRaw fails to read the file, at first or within the block.
    """
    rawpy = import_rawpy()
    check_is_file(path, "a camera RAW file")
    try:
        with rawpy.imread(str(path)) as raw:
            yield raw
    except rawpy.LibRawError as error:
        raise InputError(
            f"{path}: can't be decoded ({libraw_reason(error)}); give an intact camera RAW file"
        ) from error
    except UnicodeEncodeError:  # LibRaw gets the name in UTF-8
        raise InputError(f"{path}: its name is not UTF-8, which LibRaw requires; rename it") from None


def libraw_reason(error: Exception) -> str:
    """Return the message of an error of LibRaw."""
    return error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)


def read_camera_raw(path: Path) -> CameraRaw:
    """Read the mosaic of a camera RAW file from a Bayer sensor.

    The black level of each channel is subtracted. Values are then scaled to the white level and clipped to
    [0, 1].

    Raises:
        InputError: the file cannot be read, or is not from a Bayer sensor.
    """
    with open_camera_raw(path) as raw:
        cfa = cfa_order(path, raw)
        colours = raw.raw_colors_visible[:2, :2].copy()
        counts = raw.raw_image_visible.copy()  # the memory belongs to LibRaw, which frees it on closing
        black, white = raw.black_level_per_channel, raw.white_level
    if white <= max(black):
        raise InputError(
            f"{path}: white level {white}, black level {max(black)}; the white level must be the higher one"
        )
    mosaic = np.empty(counts.shape, np.float32)
    for row in range(2):
        for column in range(2):
            level = black[colours[row, column]]
            plane = counts[row::2, column::2].astype(np.float32)
            mosaic[row::2, column::2] = (plane - level) / (white - level)
    return CameraRaw(np.clip(mosaic, 0, 1), cfa, round(sum(black) / len(black)), int(white))


def cfa_order(path: Path, raw: "RawPy") -> str:
    """Return the CFA order of an open RAW file, row by row. Raises InputError if it is not a Bayer CFA."""
    remedy = "give RAW from a sensor with a Bayer pattern"
    if raw.raw_type != import_rawpy().RawType.Flat:
        raise InputError(f"{path}: already demosaiced, or from a sensor with stacked colour layers; {remedy}")
    pattern = raw.raw_pattern
    if pattern is None or pattern.shape != (2, 2):
        size = "no" if pattern is None or pattern.size == 1 else f"a {pattern.shape[0]} x {pattern.shape[1]}"
        raise InputError(f"{path}: {size} colour pattern; {remedy}, 2 x 2")
    cell = "".join(chr(raw.color_desc[colour]) for colour in raw.raw_colors_visible[:2, :2].ravel())
    if cell not in CFA_ORIGINS:
        raise InputError(f"{path}: colour pattern {cell}; {remedy}: {', '.join(CFA_ORIGINS)}")
    return cell
