"""Measurement of the noise of RAW where a picture of the same scene is even. No torch here."""

import numpy as np
from scipy.ndimage import convolve, uniform_filter
from scipy.optimize import nnls

from omf.raw.bayer import halved, pack
from omf.raw.isp import LUMA

NOISE_KERNEL = np.outer((1, -2, 1), (1, -2, 1))  # blind to gradients (Immerkaer 1996)
NOISE_BINS = 12
MIN_BIN_VALUES = 200
MEDIAN_TO_DEVIATION = 1 / 0.6745  # of the absolute values of a normal distribution


def measure_noise(rgb: np.ndarray, bayer: np.ndarray) -> tuple[float, float] | None:
    """Measure the noise of a mosaic where the photo is even.

    Args:
        rgb: sRGB photo, uint8 or uint16 (H, W, 3), H and W even.
        bayer: RGGB mosaic, float32 (H, W) in [0, 1].

    Returns:
        Variances of shot and read noise, see `omf.raw.isp.add_noise`, or None if the mosaic does not tell.
    """
    planes = pack(bayer)
    if (planes[..., 1] == planes[..., 2]).all():
        return None  # not from a sensor, whose greens have noise of their own
    return fit_noise(planes, halved(rgb @ LUMA) / np.iinfo(rgb.dtype).max)


def fit_noise(planes: np.ndarray, guide: np.ndarray) -> tuple[float, float] | None:
    """Measure the noise of planes where another picture of the same scene is even.

    Args:
        planes: RAW, float32 (h, w, N) in [0, 1].
        guide: picture whose noise is independent of that of the planes, (h, w).

    Returns:
        See `measure_noise`.
    """
    edges = np.abs(convolve(guide, NOISE_KERNEL)) + np.abs(guide - uniform_filter(guide, 3))
    values, residuals = [], []
    for plane in np.moveaxis(planes, -1, 0):
        mean = uniform_filter(plane, 3)
        even = (mean > 0.01) & (mean < 0.9) & (edges <= np.quantile(edges, 0.1))
        values.append(mean[even])
        residuals.append(np.abs(convolve(plane, NOISE_KERNEL)[even]))
    value, residual = np.concatenate(values), np.concatenate(residuals)
    if len(value) < NOISE_BINS * MIN_BIN_VALUES:
        return None
    order = np.array_split(np.argsort(value), NOISE_BINS)
    levels = np.array([value[part].mean() for part in order])
    deviations = np.array([np.median(residual[part]) for part in order]) * MEDIAN_TO_DEVIATION / 6
    variances = np.maximum(deviations**2, 1e-12)
    # errors of variances are relative to them
    table = np.stack([levels, np.ones(NOISE_BINS)], axis=1) / variances[:, None]
    (shot, read), _ = nnls(table, np.ones(NOISE_BINS))
    return (float(shot), float(read)) if shot > 1e-7 else None
