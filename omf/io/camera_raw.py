"""Read camera RAW files (DNG, CR2, NEF, ...) with LibRaw."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from omf.io.dng_tags import read_dng_tags
from omf.raw.bayer import CFA_ORIGINS, crop_to_cells, demosaic, mosaic, to_rggb
from omf.raw.camera_colours import SRGB_TO_XYZ_D50, SRGB_TO_XYZ_D65
from omf.raw.develop import ProfileTones
from omf.utils.errors import InputError
from omf.utils.files import check_is_file

if TYPE_CHECKING:
    from rawpy import RawPy

# Suffixes of the formats that LibRaw reads
CAMERA_RAW_SUFFIXES = {
    *(".3fr", ".ari", ".arw", ".bay", ".cap", ".cine", ".cr2", ".cr3", ".crw", ".dc2", ".dcr", ".dcs"),
    *(".dng", ".drf", ".eip", ".erf", ".fff", ".gpr", ".iiq", ".k25", ".kc2", ".kdc", ".mdc", ".mef"),
    *(".mos", ".mrw", ".nef", ".nrw", ".orf", ".ori", ".pef", ".ptx", ".pxn", ".qtk", ".raf", ".raw"),
    *(".rdc", ".rw2", ".rwl", ".rwz", ".sr2", ".srf", ".srw", ".sti", ".x3f"),
}
ORIENTATIONS = {0: 1, 1: 2, 3: 3, 2: 4, 4: 5, 6: 6, 7: 7, 5: 8}  # EXIF orientation by LibRaw's `flip`
GAP_SIDE = 128  # samples; a sector of a disk has 256 of them
LINEAR_COLOURS = np.array([[0, 1], [1, 2]])  # channels of an RGGB cell


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

    Raises InputError if rawpy is not installed, or LibRaw fails to read the file, at first or in the block.
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
    """Read the mosaic of a camera RAW file from a Bayer sensor, or make one of linear DNG.

    The black levels are subtracted: one for each channel, or, where DNG has them, one for each pixel. Values
    are then scaled to the white level and clipped to [0, 1]. Linear DNG (ProRAW and the like), which a phone
    has demosaiced, is mosaicked to RGGB.

    Raises InputError if the file cannot be read, or is from another kind of sensor.
    """
    with open_camera_raw(path) as raw:
        tags = read_dng_tags(path)
        if tags and tags.cut_short:  # at some such files LibRaw never ends
            raise InputError(f"{path}: can't be decoded (cut short); give an intact camera RAW file")
        linear = tags is not None and tags.linear and raw.raw_image is not None and raw.raw_image.ndim == 3
        if tags and not linear and set(tags.colours) - set("RGB"):  # LibRaw takes them for R, G and B
            raise no_bayer(path, f"colour pattern {tags.colours}")
        if not linear:
            check_bayer_sensor(path, raw)
        counts, level = raw.raw_image_visible, None
        top, left = raw.sizes.top_margin, raw.sizes.left_margin
        if tags and linear == tags.linear and tags.size == raw.raw_image.shape[:2]:
            level = tags.black_level_map()
            # LibRaw moves an odd first row or column to the next even one
            top, left, bottom, right = tags.area or (0, 0, *tags.size)
            counts = raw.raw_image[top:bottom, left:right]
        colours = LINEAR_COLOURS if linear else raw.raw_colors[top : top + 2, left : left + 2]
        cfa = "RGGB" if linear else "".join(chr(raw.color_desc[colour]) for colour in colours.ravel())
        black, white = np.array(raw.black_level_per_channel, np.float32)[colours], raw.white_level
        counts = counts.copy()  # the memory belongs to LibRaw, which frees it on closing
    if linear:
        counts = mosaic(counts[..., :3])
        level = None if level is None else crop_to_cells(level)
    elif cfa not in CFA_ORIGINS:
        raise no_bayer(path, f"colour pattern {cfa}")
    highest = black.max() if level is None else level.max()
    if white <= highest:
        raise InputError(
            f"{path}: white level {white}, black level {highest:g}; the white level must be the higher one"
        )
    if not linear and black.min() > 0 and has_gap(counts):
        raise InputError(f"{path}: a part of it is zeros, below its black level; give an intact file")
    scaled = np.empty(counts.shape, np.float32)
    for row, column in np.ndindex(2, 2):
        site = (slice(row, None, 2), slice(column, None, 2))
        subtract = black[row, column] if level is None else level[site]
        scaled[site] = (counts[site].astype(np.float32) - subtract) / (np.float32(white) - subtract)
    mean = black.mean() if level is None else level.mean()
    return CameraRaw(np.clip(scaled, 0, 1), cfa, round(float(mean)), int(white))


def has_gap(counts: np.ndarray) -> bool:
    """Return True if a mosaic (H, W) has runs of `GAP_SIDE` zeros, as a broken disk leaves them."""
    width = counts.shape[1] // GAP_SIDE * GAP_SIDE
    return bool((counts[:, :width].reshape(len(counts), -1, GAP_SIDE).max(axis=2, initial=0) == 0).any())


@dataclass(frozen=True)
class RawColours:
    """White balance, colours, exposure and orientation of a camera RAW file."""

    neutral: np.ndarray | None  # RAW of a neutral grey, (3,), green at 1
    matrix: np.ndarray | None  # linear sRGB to white-balanced camera RGB, (3, 3)
    baseline_exposure: float | None  # stops, of DNG
    orientation: int  # EXIF, 1 to 8
    tone_curve: ProfileTones | None = None  # of the profile in a DNG


def read_colours(path: Path) -> RawColours:
    """Read the colours of a camera RAW file. Raises InputError if it cannot be read."""
    with open_camera_raw(path) as raw:
        gains, from_xyz = np.array(raw.camera_whitebalance[:3]), raw.rgb_xyz_matrix[:3].astype(np.float64)
        flip = raw.sizes.flip
    neutral = gains[1] / gains if (gains > 0).all() else None
    tags = read_dng_tags(path)
    if tags and tags.colour_matrices:
        _, from_xyz = tags.colour_matrices[-1]
    # as dcraw: from linear sRGB (D65); each row divided by its sum, as after white balance
    matrix = with_unit_rows(from_xyz @ SRGB_TO_XYZ_D65)
    if matrix is not None and tags and tags.forward_matrix is not None:  # which is more exact
        inverse = with_unit_rows(np.linalg.inv(SRGB_TO_XYZ_D50) @ tags.forward_matrix)
        matrix = matrix if inverse is None else np.linalg.inv(inverse)
    return RawColours(
        neutral,
        matrix,
        tags.baseline_exposure if tags else None,
        ORIENTATIONS.get(flip, 1),
        tags.tone_curve if tags else None,
    )


def with_unit_rows(matrix: np.ndarray) -> np.ndarray | None:
    """Divide each row of a matrix, (3, 3), by its sum; return None unless the result can be inverted."""
    sums = matrix.sum(axis=1, keepdims=True)
    usable = (np.abs(sums) > 1e-6).all() and abs(np.linalg.det(matrix)) > 1e-6
    return matrix / sums if usable else None


def no_bayer(path: Path, kind: str) -> InputError:
    """Return the error for camera RAW of another kind than from a Bayer sensor."""
    return InputError(
        f"{path}: {kind}; give RAW from a sensor with a Bayer pattern: {', '.join(CFA_ORIGINS)}"
    )


def check_bayer_sensor(path: Path, raw: "RawPy") -> None:
    """Raise InputError if the colours of an open RAW file do not repeat in cells of 2 x 2."""
    if raw.raw_type != import_rawpy().RawType.Flat:
        raise no_bayer(path, "already demosaiced, or from a sensor with stacked colour layers")
    pattern = raw.raw_pattern
    if pattern is None or pattern.shape != (2, 2):
        size = "no" if pattern is None or pattern.size == 1 else f"a {pattern.shape[0]} x {pattern.shape[1]}"
        raise no_bayer(path, f"{size} colour pattern")


def demosaic_raw(raw: CameraRaw, neutral: np.ndarray | None = None) -> np.ndarray:
    """Demosaic camera RAW of any size: float32 (H, W, 3).

    The method assumes that the channels are alike, as after white balance by `neutral`, the RAW of a neutral
    grey, (3,), green at 1; the result is as without.
    """
    height, width = raw.mosaic.shape
    # mirroring an odd last row or column continues the colour pattern
    even = np.pad(raw.mosaic, ((0, height % 2), (0, width % 2)), mode="reflect")
    if neutral is None:
        return demosaic(even, raw.cfa)[:height, :width]
    grey = neutral.astype(np.float32)
    balanced = even / mosaic(np.broadcast_to(grey, (*even.shape, 3)), raw.cfa)
    return demosaic(balanced, raw.cfa)[:height, :width] * grey
