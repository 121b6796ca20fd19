"""How near a reconstruction is to the truth: the challenge's PSNR and SSIM, and what helps to understand them.

Both pictures are packed RAW, float64 (H/2, W/2, 4), planes R, Gr, Gb, B, values in [0, 1], unless a line says otherwise.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

from omf.raw.bayer import halved, mean_colour

IDENTICAL_PSNR = 999.0
SSIM_SIGMA = 1.5
SSIM_BORDER = 5  # pixels on each side that don't count
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2  # Wang et al. 2004, data range 1
MS_SSIM_WEIGHTS = (
    0.0448,
    0.2856,
    0.3001,
    0.2363,
    0.1333,
)  # weights of MS-SSIM's scales, the finest first (Wang et al. 2003)
BRIGHT = 0.8  # from here on RAW counts as highlight
PLANES = ("r", "gr", "gb", "b")


def psnr(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, peak 1, over all values; 999 where both are identical.

    Both of one shape, any.
    """
    error = np.mean((predicted - truth) ** 2)
    return IDENTICAL_PSNR if error == 0 else float(-10 * np.log10(error))


def ssim(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity, the mean over the planes; see `ssim_map`. Planes of 10 pixels or less a side count with their border."""
    return mean_inside(ssim_map(predicted, truth))


def ssim_map(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Structural similarity (Wang et al. 2004) around each pixel, the same shape as the pictures."""
    luminance, structure = ssim_parts(predicted, truth)
    return luminance * structure


def ssim_parts(predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The luminance term of SSIM around each pixel, and contrast times structure.

    Gaussian weights of sigma 1.5, cut off at 4 sigma (13 taps; scikit-image cuts at 3.5), population
    covariance, data range 1.
    """

    def local_mean(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, (SSIM_SIGMA, SSIM_SIGMA, 0), truncate=4.0)

    mean_x, mean_y = local_mean(predicted), local_mean(truth)
    var_x = local_mean(predicted * predicted) - mean_x**2
    var_y = local_mean(truth * truth) - mean_y**2
    covariance = local_mean(predicted * truth) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x**2 + mean_y**2 + SSIM_C1)
    return luminance, (2 * covariance + SSIM_C2) / (var_x + var_y + SSIM_C2)


def ms_ssim(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Multi-scale SSIM (Wang, Simoncelli and Bovik 2003), over as many of its five scales as the size allows.

    Contrast and structure count at every scale, luminance at the coarsest; each scale is half the one before, by means
    of 2 x 2. Terms below 0 count as 0.
    """
    smallest, product = min(predicted.shape[:2]), 1.0
    scales = [
        weight
        for level, weight in enumerate(MS_SSIM_WEIGHTS)
        if level == 0 or smallest >> level > 2 * SSIM_BORDER
    ]
    for number, weight in enumerate(scales, start=1):
        if number > 1:
            predicted, truth = halved(predicted), halved(truth)
        luminance, structure = ssim_parts(predicted, truth)
        term = mean_inside(luminance * structure if number == len(scales) else structure)
        product *= max(term, 0.0) ** (weight / sum(scales))
    return product


def mean_inside(values: np.ndarray) -> float:
    """The mean over the planes, without the border where there is something inside it."""
    if min(values.shape[:2]) > 2 * SSIM_BORDER:
        values = values[SSIM_BORDER:-SSIM_BORDER, SSIM_BORDER:-SSIM_BORDER]
    return float(np.mean([values[..., i].mean() for i in range(values.shape[-1])]))


def psnr_of_planes(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """PSNR of each of the planes r, gr, gb and b."""
    return {plane: psnr(predicted[..., i], truth[..., i]) for i, plane in enumerate(PLANES)}


def colour_error(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Angle between the mean colours (R, mean of the greens, B), in degrees; 90 where one is black and the other not."""
    x, y = (mean_colour(picture) for picture in (predicted, truth))
    lengths = np.linalg.norm(x) * np.linalg.norm(y)
    if lengths == 0:
        return 0.0 if np.array_equal(x, y) else 90.0
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(x, y)), x @ y)))


def highlight_error(predicted: np.ndarray, truth: np.ndarray) -> float | None:
    """Mean absolute error of the samples whose truth is 0.8 or more; None where there are none."""
    bright = truth >= BRIGHT
    return float(np.abs(predicted - truth)[bright].mean()) if bright.any() else None
