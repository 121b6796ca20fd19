"""PSNR and SSIM as the Reversed-ISP challenge counts them."""

import numpy as np
from scipy.ndimage import gaussian_filter

IDENTICAL_PSNR = 999.0
SSIM_SIGMA = 1.5
SSIM_BORDER = 5  # pixels on each side that don't count
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2  # Wang et al. 2004, data range 1


def psnr(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, peak 1, over all values; 999 where both are identical.

    Both float64, the same shape, values in [0, 1].
    """
    error = np.mean((predicted - truth) ** 2)
    return IDENTICAL_PSNR if error == 0 else float(-10 * np.log10(error))


def ssim(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity, the mean over the planes; see `ssim_map`. Planes of 10 pixels or less a side count with their border.

    Both float64, (H, W, C), values in [0, 1].
    """
    similarity = ssim_map(predicted, truth)
    if min(similarity.shape[:2]) > 2 * SSIM_BORDER:
        similarity = similarity[SSIM_BORDER:-SSIM_BORDER, SSIM_BORDER:-SSIM_BORDER]
    return float(np.mean([similarity[..., i].mean() for i in range(similarity.shape[-1])]))


def ssim_map(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Structural similarity (Wang et al. 2004) around each pixel.

    Gaussian weights of sigma 1.5, cut off at 4 sigma (13 taps; scikit-image cuts at 3.5), population
    covariance, data range 1.

    Both float64, (H, W, C), values in [0, 1]. Returns the same shape.
    """

    def local_mean(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, (SSIM_SIGMA, SSIM_SIGMA, 0), truncate=4.0)

    mean_x, mean_y = local_mean(predicted), local_mean(truth)
    var_x = local_mean(predicted * predicted) - mean_x**2
    var_y = local_mean(truth * truth) - mean_y**2
    covariance = local_mean(predicted * truth) - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + SSIM_C1) * (2 * covariance + SSIM_C2)
    return similarity / ((mean_x**2 + mean_y**2 + SSIM_C1) * (var_x + var_y + SSIM_C2))
