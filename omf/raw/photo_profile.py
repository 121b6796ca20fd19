"""Profile of one photo: what makes a RAW developer show the photo's tones and colours. No torch here."""

from typing import NamedTuple

import numpy as np

from omf.raw.bayer import crop_to_cells, halved
from omf.raw.camera import Camera
from omf.raw.develop import ProfileTones
from omf.raw.global_fit import KNOTS, fit_global, mean_curve, select_cells
from omf.raw.isp import decode_srgb
from omf.raw.white_balance import estimate_exposure, estimate_neutral

MAX_SIDE = 384  # cells along a side from which the profile is fitted; RAW of a model has little noise
PROFILE_CELLS = 4000
PROFILE_TURNS = 12
LOWEST_RATIO, HIGHEST_RATIO = 0.05, 20.0  # ratios of a plausible neutral
MIN_STEP = 1e-5  # between the points of a tone curve


class PhotoProfile(NamedTuple):
    """Colours and tones of one photo, for its RAW."""

    neutral: np.ndarray  # RAW of a neutral grey, (3,), green at 1
    colour_matrix: np.ndarray  # linear sRGB to white-balanced camera RGB, (3, 3), rows sum to 1
    tone_curve: ProfileTones


class PhotoColours(NamedTuple):
    """Values by which a developer shows RAW like its photo."""

    profile: PhotoProfile | None  # None: it can't be told
    neutral: np.ndarray  # RAW of a neutral grey, (3,), green at 1
    stops: float  # by which the RAW must be brightened; 0 with a profile, whose tone curve does that


def photo_colours(raw: np.ndarray, rgb: np.ndarray, camera: Camera) -> PhotoColours:
    """Return the colours of a photo for its RAW: its profile, else estimates; see `fit_photo_profile`."""
    if profile := fit_photo_profile(raw, rgb, camera):
        return PhotoColours(profile, profile.neutral, 0.0)
    neutral = estimate_neutral(raw, rgb, camera)
    return PhotoColours(None, neutral, estimate_exposure(raw, rgb, neutral, camera))


def fit_photo_profile(raw: np.ndarray, rgb: np.ndarray, camera: Camera) -> PhotoProfile | None:
    """Fit the profile of a photo to its RAW, see `omf.raw.global_fit`; return None if it can't be told.

    Args:
        raw: demosaiced RAW, float32 (H, W, 3) in [0, 1].
        rgb: sRGB photo, uint8 or uint16 (H, W, 3).
        camera: camera of the RAW.
    """
    step = -(-max(raw.shape[:2]) // (2 * MAX_SIDE))
    cells = [thin_out(crop_to_cells(image), step) for image in (rgb, raw)]
    selected = select_cells(cells[0], halved(cells[1]), PROFILE_CELLS)
    if selected is None:
        return None
    try:
        fit = fit_global(selected, mean_curve(camera), camera.mean_colour_matrix, PROFILE_TURNS)
    except np.linalg.LinAlgError:  # RAW that is all 0, and the like
        return None
    white = fit.matrix.sum(axis=1)
    if not white[1] > 0:
        return None
    neutral = white / white[1]
    if not (neutral > LOWEST_RATIO).all() or neutral.max() > HIGHEST_RATIO:
        return None
    before, after = white[1] * fit.curve, decode_srgb(KNOTS)
    if before[-1] < 1:  # the photo is white from here on
        before, after = np.append(before, 1.0), np.append(after, 1.0)
    else:
        inside = before < 1
        after = np.append(after[inside], np.interp(1.0, before, after))
        before = np.append(before[inside], 1.0)
    before[0] = after[0] = 0
    rising = np.append(np.diff(before) > MIN_STEP, True)
    rising[0] = True
    return PhotoProfile(neutral, fit.colour_matrix, ProfileTones(before[rising], after[rising]))


def thin_out(image: np.ndarray, step: int) -> np.ndarray:
    """Return every `step`-th cell of 2 x 2 pixels along both axes: (H, W, 3) -> (H', W', 3)."""
    height, width, channels = image.shape
    cells = image.reshape(height // 2, 2, width // 2, 2, channels)[::step, :, ::step]
    return cells.reshape(2 * cells.shape[0], -1, channels)
