"""The steps of a camera's sensor and ISP, each a small function, and the inverses of those that have one.

Arrays are float32 (H, W, 3) unless a line says otherwise; linear values have the sensor's white level
at 1, sRGB values lie in [0, 1].
"""

import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, uniform_filter

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as JPEG and the overexposure mask use it


def shade(raw: np.ndarray, strength: float, centre: tuple[float, float], radius: float) -> np.ndarray:
    """Lens shading: brightness falls with the square of the distance from the optical axis.

    Args:
        raw: (H, W, 3).
        strength: the loss at `radius`, 0 to 1.
        centre: row and column of the optical axis, in pixels; may lie outside of the picture.
        radius: half of the frame's diagonal, in pixels.
    """
    rows, columns = (np.arange(size, dtype=np.float32) - middle for size, middle in zip(raw.shape, centre))
    return raw * (1 - strength / radius**2 * (rows[:, None] ** 2 + columns**2))[..., None]


def add_noise(bayer: np.ndarray, shot: float, read: float, rng: np.random.Generator) -> np.ndarray:
    """CaptureSettings and read noise of a mosaic (H, W): normal, of variance `shot` * value + `read` (DNG 1.4, NoiseProfile)."""
    return bayer + np.sqrt(shot * np.maximum(bayer, 0) + read) * rng.standard_normal(bayer.shape, np.float32)


def to_sensor_counts(bayer: np.ndarray, black_level: int, white_level: int) -> np.ndarray:
    """Linear mosaic -> the sensor's counts, uint16 (H, W); what exceeds the white level is lost."""
    counts = np.rint(black_level + bayer * (white_level - black_level))
    return np.clip(counts, 0, white_level).astype(np.uint16)


def linearise(counts: np.ndarray, black_level: int, white_level: int) -> np.ndarray:
    """Undo `to_sensor_counts`: counts -> float32 (H, W) in [0, 1]; noise below the black level is cut off, as the challenge does."""
    return np.maximum((counts.astype(np.float32) - black_level) / (white_level - black_level), 0)


def white_balance(raw: np.ndarray, neutral: np.ndarray, gain: float = 1.0) -> np.ndarray:
    """White-balance and digital gains: a grey of the colour `neutral` (3,) becomes equal in all channels."""
    return raw * (gain / neutral).astype(np.float32)


def invert_white_balance(balanced: np.ndarray, neutral: np.ndarray, gain: float = 1.0) -> np.ndarray:
    """Undo `white_balance`."""
    return balanced * (neutral / gain).astype(np.float32)


def to_srgb_primaries(camera: np.ndarray, colour_matrix: np.ndarray) -> np.ndarray:
    """White-balanced camera RGB -> linear sRGB; the matrix (3, 3) is that of the other direction."""
    return camera @ np.linalg.inv(colour_matrix).T.astype(np.float32)


def to_camera_primaries(linear: np.ndarray, colour_matrix: np.ndarray) -> np.ndarray:
    """Linear sRGB -> white-balanced camera RGB, by the matrix (3, 3)."""
    return linear @ colour_matrix.T.astype(np.float32)


def clip(values: np.ndarray) -> np.ndarray:
    """To [0, 1]: what lies outside is lost."""
    return np.clip(values, 0, 1)


def map_tones_locally(linear: np.ndarray, amount: float, size: int = 41) -> np.ndarray:
    """Local contrast: brighten where the surroundings are dark, by (surroundings / 0.18) ** -amount.

    Args:
        linear: in [0, 1].
        amount: 0: none.
        size: of the surroundings, in pixels.
    """
    surroundings = uniform_filter(uniform_filter(linear @ LUMA, size), size)[..., None]
    gain = ((surroundings + 0.01) / 0.18) ** -np.float32(amount)
    return linear * gain / (1 + linear * (gain - 1))  # the slope is `gain` at black, and white stays white


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """The sRGB transfer function (IEC 61966-2-1), [0, 1] -> [0, 1]."""
    return np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-8) ** (1 / 2.4) - 0.055
    )


def decode_srgb(srgb: np.ndarray) -> np.ndarray:
    """Undo `encode_srgb`."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def lift_midtones(linear: np.ndarray, amount: float) -> np.ndarray:
    """x (1 + a (1 - x)): black and white stay, what lies between gets brighter; 0 <= a <= 1."""
    return linear * (1 + amount * (1 - linear))


def lower_midtones(lifted: np.ndarray, amount: float) -> np.ndarray:
    """Undo `lift_midtones`: the smaller root of a x^2 - (1 + a) x + y = 0."""
    return 2 * lifted / (1 + amount + np.sqrt((1 + amount) ** 2 - 4 * amount * lifted))


def smoothstep(values: np.ndarray) -> np.ndarray:
    """3 x^2 - 2 x^3, the S of a global tone curve (Brooks et al. 2019)."""
    return values * values * (3 - 2 * values)


def inverse_smoothstep(values: np.ndarray) -> np.ndarray:
    """Undo `smoothstep`: 1/2 - sin(asin(1 - 2 y) / 3)."""
    return 0.5 - np.sin(np.arcsin(np.clip(1 - 2 * values, -1, 1)) / 3)


def raise_contrast(srgb: np.ndarray, amount: float) -> np.ndarray:
    """A part `amount`, 0 to 1, of the way to `smoothstep`."""
    return srgb + np.float32(amount) * (smoothstep(srgb) - srgb)


def lower_contrast(srgb: np.ndarray, amount: float) -> np.ndarray:
    """Undo `raise_contrast`, from a table of 4096 steps."""
    steps = np.linspace(0, 1, 4096, dtype=np.float32)
    return np.interp(srgb, raise_contrast(steps, amount), steps).astype(np.float32)


def saturate(srgb: np.ndarray, amount: float) -> np.ndarray:
    """Scale the distance from grey: 1 keeps the colours, 0 leaves the luma."""
    luma = (srgb @ LUMA)[..., None]
    return luma + np.float32(amount) * (srgb - luma)


def sharpen(srgb: np.ndarray, amount: float) -> np.ndarray:
    """Unsharp mask on the luma, radius 1 pixel."""
    luma = srgb @ LUMA
    return srgb + (np.float32(amount) * (luma - gaussian_filter(luma, 1)))[..., None]


def to_8_bit(srgb: np.ndarray) -> np.ndarray:
    """[0, 1] -> uint8, rounded."""
    return (clip(srgb) * 255).round().astype(np.uint8)


def compress_jpeg(rgb: np.ndarray, quality: int, subsampling: int) -> np.ndarray:
    """There and back through JPEG.

    Args:
        rgb: uint8 (H, W, 3).
        quality: libjpeg's, 1 to 100.
        subsampling: of the chroma, as Pillow numbers it: 0: 4:4:4, 1: 4:2:2, 2: 4:2:0.
    """
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(buffer))
