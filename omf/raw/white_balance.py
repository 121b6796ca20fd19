"""White balance and exposure of a reconstructed RAW, estimated from its photo."""

import numpy as np

from omf.raw.bayer import half_size_photo, halved
from omf.raw.camera import Camera
from omf.raw.isp import decode_srgb

WHITE = 250 / 255  # photo values from here on are too near to white to fit colours
DIM_PHOTO = 0.02  # linear mean below which the photo itself counts as black
MAX_NEUTRAL_FACTOR = 1.6  # largest factor of a neutral grey's R/G or B/G beyond the known illuminants

CONTRAST_POWERS = (0.4, 1.5)  # limits of the power that undoes a photo's contrast
MAX_STOPS = 4.0  # of the exposure
MAX_SAMPLES = 200_000  # pixels, enough for a median
PRIOR_WEIGHT = 0.01  # of the camera's mean neutral, as a fraction of grey pixels
MIN_LINEAR = 1e-4  # lower limit of linear values before taking logarithms


def estimate_neutral(raw: np.ndarray, rgb: np.ndarray, camera: Camera) -> np.ndarray:
    """Estimate the RAW value of a neutral grey, as required by AsShotNeutral in DNG.

    The photo is already balanced: its linear values, converted to camera primaries by the mean of the
    profile's colour matrices, approximate the balanced RAW, and the ratio of the RAW to them gives the
    illuminant. Their power that follows the RAW's green best undoes most of the photo's contrast. The
    estimate uses pixels at half size that are neither near white (values below 250 of 255) nor dark (linear
    value above 0.02). Each pixel is weighted by its greyness, the darkest linear channel over the brightest
    (1 for grey), because the ISP changes colours too. The weighted medians of log R/G and log B/G are
    averaged with the camera's mean neutral, which weighs as much as 1 % of the image's pixels, all of them
    grey. The result is clipped to within a factor of 1.6 of the camera's known illuminants, the limit that
    `omf.evaluation.consistency` uses too.

    Args:
        raw: demosaiced RAW, float (H, W, 3) in [0, 1].
        rgb: sRGB photo, uint8 or uint16 (H, W, 3).
        camera: profile of the camera.

    Returns:
        float64 (3,), green at 1.
    """
    step = max((len(rgb) // 2) * (rgb.shape[1] // 2) // MAX_SAMPLES, 1)
    raw, linear, usable = tell_tones(raw, rgb, step)
    greyness = linear.min(axis=-1) / linear.max(axis=-1)
    balanced = linear ** contrast_power(linear[:, 1], raw[:, 1], greyness) @ camera.mean_colour_matrix.T
    light = np.log(np.maximum(raw, MIN_LINEAR)) - np.log(np.maximum(balanced, MIN_LINEAR))
    estimate = np.log(camera.mean_neutral[[0, 2]])
    if greyness.any():
        median = np.array([weighted_median(light[:, channel] - light[:, 1], greyness) for channel in (0, 2)])
        share = greyness.sum() / len(usable)
        estimate += share / (share + PRIOR_WEIGHT) * (median - estimate)
    lowest = camera.neutrals.min(axis=0) / MAX_NEUTRAL_FACTOR
    highest = camera.neutrals.max(axis=0) * MAX_NEUTRAL_FACTOR
    red, blue = np.clip(np.exp(estimate), lowest, highest)
    return np.array([red, 1.0, blue])


def tell_tones(raw: np.ndarray, rgb: np.ndarray, step: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return RAW and linear photo, (n, 3) each, where the photo is neither dark nor near white, at half size.

    The third array tells which pixels these are of every `step`-th one, bool (N,).
    """
    photo, raw = (half.reshape(-1, 3)[::step] for half in (half_size_photo(rgb), halved(raw)))
    linear = decode_srgb(photo)
    usable = (photo.max(axis=-1) < WHITE) & (linear.max(axis=-1) > DIM_PHOTO)
    return raw[usable], linear[usable], usable


def contrast_power(linear: np.ndarray, raw: np.ndarray, weights: np.ndarray) -> float:
    """Return the power of linear values, (N,), that fits RAW, (N,), by weighted least squares of logarithms.

    It is limited to `CONTRAST_POWERS`; 1 if the weights are 0 or the values are all the same.
    """
    if not weights.any():
        return 1.0
    x, y = (np.log(np.maximum(values, MIN_LINEAR)) for values in (linear, raw))
    x, y = (values - np.average(values, weights=weights) for values in (x, y))
    variance = (weights * x**2).sum()
    return float(np.clip((weights * x * y).sum() / variance, *CONTRAST_POWERS)) if variance > 0 else 1.0


def estimate_exposure(raw: np.ndarray, rgb: np.ndarray, neutral: np.ndarray, camera: Camera) -> float:
    """Estimate the stops by which RAW must be brightened to be as bright as its photo.

    The linear photo, in camera primaries, is compared with the balanced RAW, at half size, where the photo is
    neither dark nor near white; the estimate is the median, within `MAX_STOPS`, and 0 without such pixels.
    Arguments as of `estimate_neutral`, which gives `neutral`.
    """
    raw, linear, _ = tell_tones(raw, rgb)
    if not len(raw):
        return 0.0
    expected = (linear @ camera.mean_colour_matrix.T).mean(axis=-1)
    given = (raw / neutral).mean(axis=-1)
    stops = np.log2(np.maximum(expected, MIN_LINEAR) / np.maximum(given, MIN_LINEAR))
    return float(np.clip(np.median(stops), -MAX_STOPS, MAX_STOPS))


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the value that splits the total weight into halves; values and weights are (N,)."""
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(cumulative, cumulative[-1] / 2)]])
