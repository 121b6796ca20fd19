"""Python API: write RAW arrays as DNG."""

from __future__ import annotations

from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from omf.inference.arguments import known_values
from omf.io.camera_raw import CameraRaw, demosaic_raw
from omf.io.cameras import find_camera
from omf.io.dng import save_dng
from omf.raw.bayer import CFA_ORIGINS, mosaic_full, unpack
from omf.raw.develop import develop, grey_world
from omf.raw.isp import to_8_bit, to_sensor_counts
from omf.raw.white_balance import estimate_exposure, estimate_neutral
from omf.utils.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

FLOAT_WHITE_LEVEL = 16383  # counts in which arrays of float are written
MAX_EXPOSURE, MAX_NEUTRAL = 32, 1000  # stops and ratio; beyond use, and within the numbers of a DNG


def write_dng(
    array: np.ndarray,
    path: str | Path,
    *,
    camera: str = "samsung_s7",
    photo: np.ndarray | None = None,
    neutral: ArrayLike | None = None,
    baseline_exposure: float | None = None,
    cfa: str = "RGGB",
    black_level: int = 0,
    white_level: int | None = None,
    original_name: str = "",
) -> None:
    """Write RAW as a DNG file, which RAW developers open.

    Args:
        array: float in [0, 1], black at 0 and white at 1, or uint16 counts. Packed RGGB (H/2, W/2, 4), as
            `Reconstructor.predict` returns; a mosaic (H, W) in the order `cfa`; or demosaiced RAW (H, W, 3),
            which is mosaicked.
        path: output file, NAME.dng.
        camera: camera, which gives the colour matrices: a profile, a RAW file of it, or a name LibRaw knows.
        photo: sRGB of the same size, uint8 or uint16 (H, W, 3), for the preview and the estimates below;
            without it the preview is developed from the RAW.
        neutral: R/G and B/G, or R, G and B, of a neutral grey in the RAW; None: estimated.
        baseline_exposure: stops by which a developer should brighten the RAW; None: estimated with the photo,
            else 0.
        cfa: CFA order of a mosaic, and of what is written from demosaiced RAW.
        black_level: counts for 0.
        white_level: counts for 1; required for counts, 16383 for float.
        original_name: file name of the photo, to be noted in the DNG.

    Raises:
        InputError: the array has another shape, type or range, the white level is missing, the photo has
            another size, the neutral or the exposure are no such numbers, or the file can't be written.
    """
    path, profile = Path(path), find_camera(camera)
    if path.suffix.lower() != ".dng":
        raise InputError(f"{path}: give a file that ends in .dng")
    if cfa not in CFA_ORIGINS:
        raise InputError(f"cfa {cfa}: give one of {', '.join(CFA_ORIGINS)}")
    stops = baseline_exposure
    if not (stops is None or (isinstance(stops, Real) and abs(stops) <= MAX_EXPOSURE)):
        raise InputError(f"baseline_exposure {stops}; give stops, from -{MAX_EXPOSURE} to {MAX_EXPOSURE}")
    counts, white_level = as_counts(np.asarray(array), cfa, black_level, white_level)
    scaled = np.clip((counts.astype(np.float32) - black_level) / (white_level - black_level), 0, 1)
    raw = demosaic_raw(CameraRaw(scaled, cfa, black_level, white_level))
    photo = None if photo is None else np.asarray(photo)
    if photo is not None and (photo.shape != (*counts.shape, 3) or photo.dtype not in (np.uint8, np.uint16)):
        raise InputError(
            f"a photo of {photo.shape}, {photo.dtype}, for RAW of {counts.shape};"
            " give uint8 or uint16 (H, W, 3) of the same size"
        )
    ((known, _),) = known_values(neutral, 1.0)
    if known and max(known) > MAX_NEUTRAL:
        raise InputError(f"neutral {neutral}; give ratios up to {MAX_NEUTRAL}")
    grey = np.array([known[0], 1.0, known[1]]) if known else None
    shown, preview = None, photo
    if photo is None:  # with which there is nothing to compare
        grey = grey_world(raw, profile) if grey is None else grey
        stops = stops or 0.0
        preview = to_8_bit(develop(raw, grey, profile.mean_colour_matrix))
    elif grey is None and stops is None:
        from omf.raw.photo_profile import photo_colours  # SciPy takes long to load

        shown, grey, stops = photo_colours(raw, photo, profile)
    else:
        grey = estimate_neutral(raw, photo, profile) if grey is None else grey
        stops = estimate_exposure(raw, photo, grey, profile) if stops is None else stops
    try:
        save_dng(
            path,
            counts,
            preview,
            cfa=cfa,
            black_level=black_level,
            white_level=white_level,
            neutral=grey,
            camera=profile,
            model="none",
            profile=shown,
            baseline_exposure=stops,
            original_name=original_name,
        )
    except OSError as error:
        raise InputError(
            f"{path}: can't be written ({error.strerror}); give a file in a folder that exists"
        ) from error


def as_counts(
    array: np.ndarray, cfa: str, black_level: int, white_level: int | None
) -> tuple[np.ndarray, int]:
    """Return the mosaic of an array of `write_dng` as uint16 (H, W), and its white level."""
    is_float = array.dtype.kind == "f"
    if not (is_float or array.dtype == np.uint16):
        raise InputError(f"an array of {array.dtype}; give float in [0, 1], or uint16 counts")
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or (array.ndim == 3 and channels not in (3, 4)) or not array.size:
        raise InputError(f"an array of {array.shape}; give (H/2, W/2, 4), (H, W) or (H, W, 3)")
    if channels == 4 and cfa != "RGGB":
        raise InputError(f"cfa {cfa}: packed RAW is RGGB")
    if not is_float and white_level is None:
        raise InputError("counts of an unknown white level; give white_level")
    white_level = white_level or FLOAT_WHITE_LEVEL
    if not all(isinstance(level, Integral) for level in (black_level, white_level)):
        raise InputError(f"black_level {black_level}, white_level {white_level}; give whole numbers")
    if not 0 <= black_level < white_level <= 65535:
        raise InputError(
            f"black_level {black_level}, white_level {white_level}; give 0 <= black < white <= 65535"
        )
    if is_float and not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
        raise InputError("values that are not finite or outside of [0, 1]; clip them first")
    if array.ndim == 3:
        array = unpack(array) if channels == 4 else mosaic_full(array, cfa)
    if min(array.shape) < 2:
        raise InputError(f"a mosaic of {array.shape}; a Bayer cell needs 2 x 2 pixels or more")
    return to_sensor_counts(array, black_level, white_level) if is_float else array, white_level
