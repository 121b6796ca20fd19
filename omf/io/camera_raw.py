"""Camera RAW files (DNG, CR2, NEF, ...), read with LibRaw."""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from omf.raw.bayer import CFA_ORIGINS, to_rggb
from omf.utils.errors import InputError
from omf.utils.files import check_is_file

CAMERA_RAW_SUFFIXES = {".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".rw2", ".srw"}


@dataclass(frozen=True)
class CameraRaw:
    """What a sensor measured."""

    mosaic: np.ndarray  # float32 (H, W); black at 0, white level at 1
    cfa: str  # its colours, of `CFA_ORIGINS`
    flip: int  # the turn that a viewer would make, in LibRaw's numbers: 0 none, 3 180 degrees, 5 90 left, 6 90 right

    @property
    def bayer(self) -> np.ndarray:
        """RGGB, float32 (H', W'), H' and W' even: without what lies before the first red pixel, or is odd."""
        return np.ascontiguousarray(to_rggb(self.mosaic, self.cfa))


def import_rawpy() -> ModuleType:
    """The optional package that reads camera RAW. Raises InputError where it is missing."""
    try:
        import rawpy
    except ImportError:
        raise InputError(
            "camera RAW needs rawpy; install it with: pip install 'overexposure-mask-fusion[raw]'"
        ) from None
    return rawpy


def read_camera_raw(path: Path) -> CameraRaw:
    """Read a camera RAW file with a Bayer sensor.

    The black level of each channel is taken off, the white level becomes 1.

    Raises:
        InputError: the file can't be read, or does not come from a Bayer sensor.
    """
    rawpy = import_rawpy()
    check_is_file(path, "a camera RAW file")
    try:
        with rawpy.imread(str(path)) as raw:
            cfa = colour_order(path, rawpy, raw)
            colours = raw.raw_colors_visible[:2, :2].copy()
            counts = raw.raw_image_visible.copy()  # LibRaw's own memory, gone when it closes
            black, white, flip = raw.black_level_per_channel, raw.white_level, raw.sizes.flip
    except rawpy.LibRawError as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise InputError(f"{path}: can't be decoded ({reason}); give a whole camera RAW file") from error
    if white <= max(black):
        raise InputError(
            f"{path}: white level {white}, black level {max(black)}; the white level must be the higher one"
        )
    mosaic = np.empty(counts.shape, np.float32)
    for row in range(2):
        for column in range(2):
            level = black[colours[row, column]]
            mosaic[row::2, column::2] = (counts[row::2, column::2].astype(np.float32) - level) / (
                white - level
            )
    return CameraRaw(np.clip(mosaic, 0, 1), cfa, int(flip))


def colour_order(path: Path, rawpy: ModuleType, raw) -> str:
    """The colours of the first Bayer cell of an open RAW file, by rows. Raises InputError where it has no such cells."""
    wanted = "give RAW of a sensor with a Bayer pattern"
    if raw.raw_type != rawpy.RawType.Flat:
        raise InputError(f"{path}: already demosaiced, or a sensor that stacks its colours; {wanted}")
    pattern = raw.raw_pattern
    if pattern is None or pattern.shape != (2, 2):
        size = "no" if pattern is None or pattern.size == 1 else f"a {pattern.shape[0]} x {pattern.shape[1]}"
        raise InputError(f"{path}: {size} colour pattern; {wanted}, 2 x 2")
    cell = "".join(chr(raw.color_desc[colour]) for colour in raw.raw_colors_visible[:2, :2].ravel())
    if cell not in CFA_ORIGINS:
        raise InputError(f"{path}: colour pattern {cell}; {wanted}: {', '.join(CFA_ORIGINS)}")
    return cell
