"""Full-reference metrics: the challenge's PSNR and SSIM, and others that help to interpret them.

Both images are packed RAW, float64 (H/2, W/2, 4), planes R, Gr, Gb, B, values in [0, 1], unless stated
otherwise.
"""

import numpy as np

from omf.raw.bayer import halved, mean_colour

IDENTICAL_PSNR = 999.0
SSIM_SIGMA = 1.5
SSIM_BORDER = 5  # pixels excluded on each side
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2  # Wang et al. 2004, data range 1
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest scale first (Wang et al. 2003)
HIGHLIGHT_LEVEL = 0.8
PLANES = ("r", "gr", "gb", "b")


def psnr(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Compute the peak signal-to-noise ratio in dB, peak 1, over all values; 999 if both are identical.

    Both arrays have the same shape, of any rank.
    """
    error = np.mean((predicted - truth) ** 2)
    return IDENTICAL_PSNR if error == 0 else float(-10 * np.log10(error))


def ssim(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Compute the structural similarity, averaged over the planes; see `ssim_map`.

    A border of 5 pixels is excluded, unless the planes are 10 pixels or less on a side.
    """
    return mean_without_border(ssim_map(predicted, truth))


def ssim_map(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Compute the structural similarity (Wang et al. 2004) around each pixel; same shape as the images."""
    luminance, structure = ssim_parts(predicted, truth)
    return luminance * structure


def ssim_parts(predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the luminance term of SSIM around each pixel, and the product of contrast and structure.

    Gaussian weights of sigma 1.5, truncated at 4 sigma (13 taps; scikit-image truncates at 3.5), population
    covariance, data range 1.
    """
    from scipy.ndimage import gaussian_filter  # takes long; steps that quote scores load this module

    def local_mean(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, (SSIM_SIGMA, SSIM_SIGMA, 0), truncate=4.0)

    mean_x, mean_y = local_mean(predicted), local_mean(truth)
    var_x = local_mean(predicted * predicted) - mean_x**2
    var_y = local_mean(truth * truth) - mean_y**2
    covariance = local_mean(predicted * truth) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x**2 + mean_y**2 + SSIM_C1)
    return luminance, (2 * covariance + SSIM_C2) / (var_x + var_y + SSIM_C2)


def ms_ssim(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Compute the multi-scale SSIM (Wang, Simoncelli and Bovik 2003), over as many of five scales as fit.

    Contrast and structure count at every scale, luminance only at the coarsest. Each scale halves the
    previous one by averaging 2 x 2 pixels. Negative terms are clamped to 0.
    """
    smallest, product = min(predicted.shape[:2]), 1.0
    fitting = sum(smallest >> level > 2 * SSIM_BORDER for level in range(len(MS_SSIM_WEIGHTS)))
    scales = MS_SSIM_WEIGHTS[: max(fitting, 1)]
    for number, weight in enumerate(scales, start=1):
        luminance, structure = ssim_parts(predicted, truth)
        term = mean_without_border(luminance * structure if number == len(scales) else structure)
        product *= max(term, 0.0) ** (weight / sum(scales))
        if number < len(scales):
            predicted, truth = halved(predicted), halved(truth)
    return product


def mean_without_border(values: np.ndarray) -> float:
    """Average over the planes without their border; small planes are averaged with it, see `ssim`."""
    if min(values.shape[:2]) > 2 * SSIM_BORDER:
        values = values[SSIM_BORDER:-SSIM_BORDER, SSIM_BORDER:-SSIM_BORDER]
    return float(np.mean([values[..., i].mean() for i in range(values.shape[-1])]))


def psnr_per_plane(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Compute the PSNR of each of the planes r, gr, gb and b."""
    return {plane: psnr(predicted[..., i], truth[..., i]) for i, plane in enumerate(PLANES)}


def colour_error(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Compute the angle between the mean colours (R, mean of the greens, B), in degrees.

    90 if only one of the two is black, 0 if both are.
    """
    x, y = (mean_colour(image) for image in (predicted, truth))
    lengths = np.linalg.norm(x) * np.linalg.norm(y)
    if lengths == 0:
        return 0.0 if np.array_equal(x, y) else 90.0
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(x, y)), x @ y)))


def highlight_error(predicted: np.ndarray, truth: np.ndarray) -> float | None:
    """Compute the mean absolute error of the samples whose true value is 0.8 or more; None without any."""
    bright = truth >= HIGHLIGHT_LEVEL
    return float(np.abs(predicted - truth)[bright].mean()) if bright.any() else None
