"""A simple ISP: demosaiced RAW to an sRGB picture."""

import numpy as np

from omf.raw.camera import Camera
from omf.raw.isp import LUMA, camera_to_srgb, encode_srgb

BRIGHT_SHARE = 0.99  # quantile of brightness that becomes white by default
MAX_BRIGHTENING = 8.0


def develop(
    raw: np.ndarray, neutral: np.ndarray, colour_matrix: np.ndarray, exposure: float | None = None
) -> np.ndarray:
    """Develop RAW to sRGB: white balance, clipping at white, colour matrix, exposure and the sRGB curve.

    There is no denoising, sharpening, tone curve or lens correction.

    Args:
        raw: demosaiced RAW, float (H, W, 3), black at 0, white at 1.
        neutral: RAW of a neutral grey, (3,), green at 1.
        colour_matrix: linear sRGB to white-balanced camera RGB, (3, 3).
        exposure: factor of brightness, for a grey with green at 1; None: see `choose_exposure`.

    Returns:
        sRGB, float32 (H, W, 3) in [0, 1].
    """
    # Gains of 1 and more, so that clipped pixels are white in all channels, and have no wrong colour
    gains = (neutral.max() / neutral).astype(np.float32)
    linear = camera_to_srgb(np.minimum(raw * gains, 1), colour_matrix)
    linear *= np.float32(choose_exposure(linear) if exposure is None else exposure / neutral.max())
    return encode_srgb(np.clip(linear, 0, 1)).astype(np.float32)


def choose_exposure(linear: np.ndarray) -> float:
    """Return the factor that makes the brightest hundredth of linear sRGB (H, W, 3) white, from 1 to 8."""
    return float(np.clip(1 / max(np.quantile(linear @ LUMA, BRIGHT_SHARE), 1e-6), 1, MAX_BRIGHTENING))


def grey_world(raw: np.ndarray, camera: Camera) -> np.ndarray:
    """Estimate the RAW of a neutral grey as the mean of all pixels that are not clipped.

    It is limited to the range of the camera's illuminants.

    Args:
        raw: demosaiced RAW, float (H, W, 3) in [0, 1].
        camera: camera of the RAW.

    Returns:
        float64 (3,), green at 1.
    """
    unclipped = raw.reshape(-1, 3)[(raw < 0.98).all(axis=-1).ravel()]
    mean = unclipped.mean(axis=0, dtype=np.float64) if len(unclipped) else camera.mean_neutral
    ratios = mean[[0, 2]] / max(mean[1], 1e-6)
    red, blue = np.clip(ratios, camera.neutrals.min(axis=0), camera.neutrals.max(axis=0))
    return np.array([red, 1.0, blue])
