"""Consistency of a reconstruction with its photo, which needs no ground truth and is not accuracy.

A simple ISP, whose colours and tones are fitted to the photo, renders the RAW; the result is compared with
the photo. A wrong RAW can be consistent, because the fit removes errors of exposure and white balance. An
inconsistent RAW is wrong.
"""

from collections.abc import Callable

import numpy as np

from omf.evaluation.metrics import psnr
from omf.raw.bayer import WHITE_LEVEL, halved, mean_colour, merge_greens
from omf.raw.camera import Camera
from omf.raw.isp import clip, decode_srgb
from omf.raw.white_balance import DIM_PHOTO, MAX_NEUTRAL_FACTOR, WHITE

CURVE_KNOTS = 32
FIT_SAMPLES = 50_000  # pixels; enough for nine numbers and a curve
MIN_RAW_MEAN = 0.002  # a RAW with a lower mean is black
MAX_CLIPPED_SHARE = 0.5  # more clipped samples are plausible only if half as many pixels are overexposed
MAX_GREY_SPREAD = 0.25  # channel range of a nearly grey pixel, relative to its brightest channel
MIN_GREY_SHARE = 0.01  # share of nearly grey pixels needed to detect a colour cast


def fit_to_photo(raw: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Render RAW with the colours and tones that match the photo best.

    The least-squares 3 x 3 matrix maps RAW to the linear photo, over pixels that are not near white. One tone
    curve for the three channels follows: the mean sRGB value of the photo over intervals of the rendered
    values, made non-decreasing.

    Args:
        raw: demosaiced RAW, float (h, w, 3) in [0, 1].
        photo: sRGB photo, float, same shape and range.

    Returns:
        sRGB, float64 (h, w, 3) in [0, 1].
    """
    raw, srgb = raw.reshape(-1, 3), photo.reshape(-1, 3)
    sample = slice(None, None, max(len(raw) // FIT_SAMPLES, 1))
    usable = srgb[sample].max(axis=-1) < WHITE
    if usable.sum() < 3:  # all white: any colours will do
        usable[:] = True
    matrix = np.linalg.lstsq(raw[sample][usable], decode_srgb(srgb[sample][usable]), rcond=None)[0]
    linear = clip(raw @ matrix)
    return fit_tone_curve(linear[sample].ravel(), srgb[sample].ravel())(linear).reshape(photo.shape)


def fit_tone_curve(linear: np.ndarray, srgb: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Fit a non-decreasing curve from rendered values to sRGB values of the same samples, and return it."""
    edges = np.unique(np.quantile(linear, np.linspace(0, 1, CURVE_KNOTS + 1)))
    interval = np.clip(np.searchsorted(edges, linear, side="right") - 1, 0, max(len(edges) - 2, 0))
    counts = np.bincount(interval)
    filled = counts > 0
    x, y = (np.bincount(interval, values)[filled] / counts[filled] for values in (linear, srgb))
    return lambda values: np.interp(values, x, np.maximum.accumulate(y))


def consistency(counts: np.ndarray, photo: np.ndarray, overexposed: float, camera: Camera) -> dict:
    """Measure how well a reconstruction matches its photo.

    Args:
        counts: packed RAW, uint16 (h, w, 4).
        photo: sRGB photo at the size of the packed RAW, see `half_size_photo`.
        overexposed: share of overexposed pixels in the photo.
        camera: camera profile, whose lights limit the plausible colours.

    Returns:
        consistency_psnr: PSNR in dB between the rendered RAW and the photo, at a quarter of the photo's size;
        clipped: share of the RAW's samples at white; warnings: list of texts.
    """
    packed = counts.astype(np.float32)
    if min(counts.shape[:2]) >= 2:  # at a quarter of the size, the offset between the planes is negligible
        packed, photo = halved(packed), halved(photo)
    packed /= WHITE_LEVEL
    clipped = float((counts >= WHITE_LEVEL - 1).mean())
    return {
        "consistency_psnr": psnr(fit_to_photo(merge_greens(packed), photo), photo),
        "clipped": clipped,
        "warnings": consistency_warnings(packed, photo, clipped, overexposed, camera),
    }


def consistency_warnings(
    packed: np.ndarray, photo: np.ndarray, clipped: float, overexposed: float, camera: Camera
) -> list[str]:
    """Describe everything suspicious about a RAW; see `consistency`."""
    warnings = []
    linear = decode_srgb(photo)
    if packed.mean() < MIN_RAW_MEAN and linear.mean() > DIM_PHOTO:
        warnings.append("all black")
    elif np.ptp(packed) == 0 and np.ptp(photo) > 0:
        warnings.append("constant")
    elif clipped > MAX_CLIPPED_SHARE and clipped > 2 * overexposed:
        warnings.append(
            f"saturated: {clipped:.0%} of its samples are white, {overexposed:.0%} of the photo overexposed"
        )
    else:
        brightest = linear.max(axis=-1)
        grey = (
            (photo.max(axis=-1) < WHITE)
            & (brightest > DIM_PHOTO)
            & (brightest - linear.min(axis=-1) < MAX_GREY_SPREAD * brightest)
        )
        if grey.mean() >= MIN_GREY_SHARE and (cast := colour_cast(packed[grey], linear[grey], camera)):
            warnings.append(cast)
    return warnings


def colour_cast(packed: np.ndarray, linear: np.ndarray, camera: Camera) -> str | None:
    """Describe a colour cast that no light of the camera explains; return None if there is none.

    The nearly grey pixels of packed RAW are (n, 4), those of the linear photo (n, 3).
    """
    # the photo is white-balanced, so the ratio of RAW to photo is the colour of the light
    red, green, blue = mean_colour(packed) / np.maximum(linear.mean(axis=0), 1e-6)
    for name, value, neutrals in (("red", red, camera.neutrals[:, 0]), ("blue", blue, camera.neutrals[:, 1])):
        ratio, lowest, highest = value / max(green, 1e-9), neutrals.min(), neutrals.max()
        if not lowest / MAX_NEUTRAL_FACTOR <= ratio <= highest * MAX_NEUTRAL_FACTOR:
            return (
                f"colour cast: {name} is {ratio:.2f} of green for a neutral grey;"
                f" this camera's lights give {lowest:.2f} to {highest:.2f}"
            )
    return None
