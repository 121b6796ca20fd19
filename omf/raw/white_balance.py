"""The white balance that a reconstructed RAW needs, from the photo that it comes from."""

import numpy as np

from omf.raw.bayer import half_size_photo, halved
from omf.raw.camera import Camera
from omf.raw.isp import decode_srgb

WHITE = 250 / 255  # a photo's values from here on are too near to white to fit colours to
DIM_PHOTO = 0.02  # linear mean below which a photo is black itself
MAX_NEUTRAL_FACTOR = (
    1.6  # a factor beyond the camera's known lights that a neutral grey's R/G or B/G may lie at
)

SAMPLES = 200_000  # pixels that are enough for a median
PRIOR = 0.01  # the camera's usual neutral counts as much as this share of grey pixels
MIN_LINEAR = 1e-4  # linear values below count as this, so that there is a logarithm


def estimate_neutral(raw: np.ndarray, rgb: np.ndarray, camera: Camera) -> np.ndarray:
    """The RAW of a neutral grey, as DNG's AsShotNeutral wants it.

    The photo is balanced already: its linear values, taken to the camera's primaries by the mean of the profile's
    matrices, are what the balanced RAW would be, and the RAW divided by them tells the light. Counted are pixels of half
    the size that are neither near white (below 250 of 255) nor dark (linear above 0.02), each by how grey it is: its
    darkest linear channel over its brightest, 1 for grey, since colours depend on the ISP too. Of log R/G and log B/G the
    weighted median is taken, then the mean with the camera's usual neutral, which weighs as much as 1 % of the picture's
    pixels, all of them grey. The result lies within a factor of 1.6 of the camera's known lights, as `omf.evaluation.consistency` has it.

    Args:
        raw: demosaiced RAW, float (H, W, 3) in [0, 1].
        rgb: the photo, sRGB, uint8 or uint16 (H, W, 3).
        camera: whose RAW it is.

    Returns:
        float64 (3,), green at 1.
    """
    photo = half_size_photo(rgb).reshape(-1, 3)
    step = max(len(photo) // SAMPLES, 1)
    photo, raw = photo[::step], halved(raw).reshape(-1, 3)[::step]
    linear = decode_srgb(photo)
    usable = (photo.max(axis=-1) < WHITE) & (linear.max(axis=-1) > DIM_PHOTO)
    raw, linear = raw[usable], linear[usable]

    greyness = linear.min(axis=-1) / linear.max(axis=-1)
    balanced = linear @ camera.colour_matrices.mean(axis=0).T
    light = np.log(np.maximum(raw, MIN_LINEAR)) - np.log(np.maximum(balanced, MIN_LINEAR))
    estimate = np.log(camera.mean_neutral[[0, 2]])
    if greyness.any():
        seen = np.array([weighted_median(light[:, channel] - light[:, 1], greyness) for channel in (0, 2)])
        share = greyness.sum() / len(photo)
        estimate += share / (share + PRIOR) * (seen - estimate)
    lowest, highest = (
        camera.neutrals.min(axis=0) / MAX_NEUTRAL_FACTOR,
        camera.neutrals.max(axis=0) * MAX_NEUTRAL_FACTOR,
    )
    red, blue = np.clip(np.exp(estimate), lowest, highest)
    return np.array([red, 1.0, blue])


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The value below and above which half of the weight lies; both (N,)."""
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(below, below[-1] / 2)]])
