"""Sensor and ISP steps, each a small pure function, with the inverses of the invertible ones.

Arrays are float32 (H, W, 3) unless stated otherwise. Linear values have the sensor's white level at 1;
sRGB values are in [0, 1].
"""

import io

import numpy as np
from PIL import Image, JpegImagePlugin

from omf.raw.overexposure import LUMA_THOUSANDTHS

LUMA = (np.array(LUMA_THOUSANDTHS) / 1000).astype(np.float32)  # ITU-R BT.601, as in JPEG


def shade(raw: np.ndarray, strength: float, centre: tuple[float, float], radius: float) -> np.ndarray:
    """Apply lens shading: brightness falls with the square of the distance from the optical axis.

    Args:
        raw: linear RAW, (H, W, 3).
        strength: relative loss at `radius`, 0 to 1.
        centre: row and column of the optical axis, in pixels; may lie outside the image.
        radius: half the frame's diagonal, in pixels.
    """
    rows, columns = (np.arange(size, dtype=np.float32) - origin for size, origin in zip(raw.shape, centre))
    return raw * (1 - strength / radius**2 * (rows[:, None] ** 2 + columns**2))[..., None]


def add_noise(bayer: np.ndarray, shot: float, read: float, rng: np.random.Generator) -> np.ndarray:
    """Add shot and read noise to a mosaic (H, W).

    The noise is normal with variance `shot` * value + `read`, the model of NoiseProfile in DNG 1.4.
    """
    return bayer + np.sqrt(shot * np.maximum(bayer, 0) + read) * rng.standard_normal(bayer.shape, np.float32)


def to_sensor_counts(bayer: np.ndarray, black_level: int, white_level: int) -> np.ndarray:
    """Convert a linear mosaic to sensor counts, uint16 (H, W), rounded and clipped at the white level."""
    counts = np.rint(black_level + bayer * (white_level - black_level))
    return np.clip(counts, 0, white_level).astype(np.uint16)


def linearise(counts: np.ndarray, black_level: int, white_level: int) -> np.ndarray:
    """Invert `to_sensor_counts`: counts -> float32 (H, W) in [0, 1].

    Noise below the black level is clipped, as in the challenge.
    """
    return np.maximum((counts.astype(np.float32) - black_level) / (white_level - black_level), 0)


def white_balance(raw: np.ndarray, neutral: np.ndarray, gain: float = 1.0) -> np.ndarray:
    """Apply white-balance and digital gains, so that a grey with RAW `neutral` (3,) has equal channels."""
    return raw * (gain / neutral).astype(np.float32)


def invert_white_balance(balanced: np.ndarray, neutral: np.ndarray, gain: float = 1.0) -> np.ndarray:
    """Invert `white_balance`."""
    return balanced * (neutral / gain).astype(np.float32)


def camera_to_srgb(camera: np.ndarray, colour_matrix: np.ndarray) -> np.ndarray:
    """Convert white-balanced camera RGB to linear sRGB by the inverse of `colour_matrix` (3, 3)."""
    return camera @ np.linalg.inv(colour_matrix).T.astype(np.float32)


def srgb_to_camera(linear: np.ndarray, colour_matrix: np.ndarray) -> np.ndarray:
    """Convert linear sRGB to white-balanced camera RGB by `colour_matrix` (3, 3)."""
    return linear @ colour_matrix.T.astype(np.float32)


def clip(values: np.ndarray) -> np.ndarray:
    """Clip to [0, 1]."""
    return np.clip(values, 0, 1)


def map_tones_locally(linear: np.ndarray, amount: float, size: int = 41) -> np.ndarray:
    """Compress tones locally: brighten dark surroundings, by (surroundings / 0.18) ** -amount.

    Args:
        linear: linear sRGB in [0, 1].
        amount: exponent; 0 has no effect.
        size: width of the box filter that averages the surroundings, applied twice, in pixels.
    """
    from scipy.ndimage import uniform_filter  # takes long to import, and predictions don't need it

    surroundings = uniform_filter(uniform_filter(linear @ LUMA, size), size)[..., None]
    return compress_tones(linear, surroundings, amount)


def compress_tones(linear: np.ndarray, surroundings: np.ndarray, amount: float) -> np.ndarray:
    """Brighten values in [0, 1] by (surroundings / 0.18) ** -amount; the two shapes must broadcast."""
    gain = ((surroundings + 0.01) / 0.18) ** -np.float32(amount)
    return linear * gain / (1 + linear * (gain - 1))  # slope `gain` at black; white stays white


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """Apply the sRGB transfer function (IEC 61966-2-1), [0, 1] -> [0, 1]."""
    return np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-8) ** (1 / 2.4) - 0.055
    )


def decode_srgb(srgb: np.ndarray) -> np.ndarray:
    """Invert `encode_srgb`."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def lift_midtones(linear: np.ndarray, amount: float) -> np.ndarray:
    """Brighten the midtones, keeping black and white: x (1 + a (1 - x)), 0 <= a <= 1."""
    return linear * (1 + amount * (1 - linear))


def smoothstep(values: np.ndarray) -> np.ndarray:
    """Apply the S-shaped global tone curve 3 x^2 - 2 x^3 (Brooks et al. 2019)."""
    return values * values * (3 - 2 * values)


def inverse_smoothstep(values: np.ndarray) -> np.ndarray:
    """Invert `smoothstep`: 1/2 - sin(asin(1 - 2 y) / 3)."""
    return 0.5 - np.sin(np.arcsin(np.clip(1 - 2 * values, -1, 1)) / 3)


def raise_contrast(srgb: np.ndarray, amount: float) -> np.ndarray:
    """Blend with `smoothstep` by the weight `amount`, 0 to 1."""
    return srgb + np.float32(amount) * (smoothstep(srgb) - srgb)


def apply_tone_curve(srgb: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Apply a tone curve, given by its values at equally spaced points from 0 to 1, to all channels."""
    return np.interp(srgb, np.linspace(0, 1, len(curve)), curve).astype(np.float32)


def flatten_highlights(srgb: np.ndarray) -> np.ndarray:
    """Apply x / (x + 1/4), the extra tone curve A of the challenge; white becomes 0.8."""
    return srgb / (srgb + np.float32(0.25))


EXTRA_CURVES = (flatten_highlights, smoothstep)  # A and B, which AIM 2022 applied to photos of some scenes


def saturate(srgb: np.ndarray, amount: float) -> np.ndarray:
    """Scale the distance from grey: 1 keeps the colours, 0 keeps only the luma."""
    luma = (srgb @ LUMA)[..., None]
    return luma + np.float32(amount) * (srgb - luma)


def sharpen(srgb: np.ndarray, amount: float) -> np.ndarray:
    """Sharpen by an unsharp mask on the luma, radius 1 pixel."""
    from scipy.ndimage import gaussian_filter  # as above

    luma = srgb @ LUMA
    return srgb + (np.float32(amount) * (luma - gaussian_filter(luma, 1)))[..., None]


def to_8_bit(srgb: np.ndarray) -> np.ndarray:
    """Clip to [0, 1] and round to uint8."""
    return (clip(srgb) * 255).round().astype(np.uint8)


def compress_jpeg(rgb: np.ndarray, quality: int, subsampling: int) -> np.ndarray:
    """Encode uint8 (H, W, 3) as JPEG and decode again.

    Args:
        quality: libjpeg quality, 1 to 100.
        subsampling: chroma subsampling in Pillow's numbering: 0: 4:4:4, 1: 4:2:2, 2: 4:2:0.
    """
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    buffer.seek(0)
    return np.asarray(JpegImagePlugin.JpegImageFile(buffer))  # whatever Pillow's limit in this process
