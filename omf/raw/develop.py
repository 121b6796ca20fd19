"""A simple ISP: demosaiced RAW to an sRGB picture."""

from typing import NamedTuple

import numpy as np

from omf.raw.camera import Camera
from omf.raw.camera_colours import SRGB_TO_XYZ_D50
from omf.raw.isp import LUMA, camera_to_srgb, encode_srgb

# XYZ under D50 to linear ProPhoto RGB (ROMM RGB, ISO 22028-2); from brucelindbloom.com
XYZ_TO_PROPHOTO = np.array(
    [[1.3459433, -0.2556075, -0.0511118], [-0.5445989, 1.5081673, 0.0205351], [0.0, 0.0, 1.2118128]]
)
SRGB_TO_PROPHOTO = XYZ_TO_PROPHOTO @ SRGB_TO_XYZ_D50
BRIGHT_SHARE = 0.99  # quantile of brightness that becomes white by default
MAX_BRIGHTENING = 8.0


class ProfileTones(NamedTuple):
    """Rising curve from linear RAW after colour conversion to linear light of the photo, both from 0 to 1."""

    before: np.ndarray  # (N,), from 0 to 1
    after: np.ndarray  # (N,)


def develop(
    raw: np.ndarray,
    neutral: np.ndarray,
    colour_matrix: np.ndarray,
    exposure: float | None = None,
    tone_curve: ProfileTones | None = None,
) -> np.ndarray:
    """Develop RAW to sRGB: white balance, clipping at white, colour matrix, exposure, tone and sRGB curve.

    There is no denoising, sharpening or lens correction.

    Args:
        raw: demosaiced RAW, float (H, W, 3), black at 0, white at 1.
        neutral: RAW of a neutral grey, (3,), green at 1.
        colour_matrix: linear sRGB to white-balanced camera RGB, (3, 3).
        exposure: factor of brightness, for a grey with green at 1; None: see `choose_exposure`, or with a
            tone curve 1.
        tone_curve: as in a DNG profile, see `apply_profile_tones`; None: none.

    Returns:
        sRGB, float32 (H, W, 3) in [0, 1].
    """
    # Gains of 1 and more, so that clipped pixels are white in all channels, and have no wrong colour
    gains = (neutral.max() / neutral).astype(np.float32)
    linear = camera_to_srgb(np.minimum(raw * gains, 1), colour_matrix)
    if tone_curve and exposure is None:
        exposure = 1.0
    linear *= np.float32(choose_exposure(linear) if exposure is None else exposure / neutral.max())
    if tone_curve:
        linear = apply_profile_tones(linear, tone_curve)
    return encode_srgb(np.clip(linear, 0, 1)).astype(np.float32)


def apply_profile_tones(linear: np.ndarray, curve: ProfileTones) -> np.ndarray:
    """Apply a tone curve as RAW developers do, in ProPhoto RGB and without a change of hue.

    The curve changes the largest and the smallest channel, and the one between keeps its relative place (the
    DNG SDK's RefBaselineRGBTone). Linear sRGB, float (H, W, 3) -> float32.
    """
    wide = np.clip(linear @ SRGB_TO_PROPHOTO.T.astype(np.float32), 0, 1)
    low, high = wide.min(axis=-1, keepdims=True), wide.max(axis=-1, keepdims=True)
    toned_low, toned_high = (np.interp(ends, *curve).astype(np.float32) for ends in (low, high))
    share = (wide - low) / np.maximum(high - low, np.float32(1e-9))
    toned = toned_low + share * (toned_high - toned_low)
    return toned @ np.linalg.inv(SRGB_TO_PROPHOTO).T.astype(np.float32)


def choose_exposure(linear: np.ndarray) -> float:
    """Return the factor that makes the brightest hundredth of linear sRGB (H, W, 3) white, from 1 to 8."""
    return float(np.clip(1 / max(np.quantile(linear @ LUMA, BRIGHT_SHARE), 1e-6), 1, MAX_BRIGHTENING))


def grey_world(raw: np.ndarray, camera: Camera) -> np.ndarray:
    """Estimate the RAW of a neutral grey as the mean of all pixels that are not clipped.

    It is limited to the range of the camera's illuminants. Float (H, W, 3) in [0, 1] -> float64 (3,), green
    at 1.
    """
    unclipped = raw.reshape(-1, 3)[(raw < 0.98).all(axis=-1).ravel()]
    mean = unclipped.mean(axis=0, dtype=np.float64) if len(unclipped) else camera.mean_neutral
    ratios = mean[[0, 2]] / max(mean[1], 1e-6)
    red, blue = np.clip(ratios, camera.neutrals.min(axis=0), camera.neutrals.max(axis=0))
    return np.array([red, 1.0, blue])
