"""Simulated camera: turns a linear scene into a pair of sRGB photo and sensor RAW."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from omf.raw import isp
from omf.raw.bayer import demosaic, mosaic, to_rggb
from omf.raw.camera import DISTRIBUTIONS, Camera, CapturePrior, ToneGroup, mean_of

# Of linear_scene
CLIPPED_LEVEL = 250  # 8-bit level from which a pixel counts as clipped
BRIGHT_LEVEL = 200  # 8-bit level that bright surroundings reach everywhere
BRIGHT_WINDOW = 9  # width of these surroundings, pixels

# Values at which the ISP's curves are tabulated; linear ones are denser in the dark, where sRGB is steep
SRGB_LEVELS = np.linspace(0, 1, 4097)
LINEAR_LEVELS = SRGB_LEVELS**2

# Of sample_tone_curve
TONE_KNOTS = 5
TONE_POINTS = 65


@dataclass(frozen=True)
class CaptureSettings:
    """Settings under which one photo is taken and processed; see `CapturePrior` for those without comment."""

    neutral: np.ndarray  # (3,): RAW of a neutral grey, green at 1
    colour_matrix: np.ndarray  # (3, 3): linear sRGB to white-balanced camera RGB
    exposure: float
    gain: float
    shot_noise: float  # see isp.add_noise
    read_noise: float
    shading: float
    centre: np.ndarray  # (2,): offset of the image from the optical axis, pixels
    denoising: float
    local_contrast: float
    midtones: float
    contrast: float
    saturation: float
    sharpening: float
    quality: int
    subsampling: int | None  # see isp.compress_jpeg; None: no JPEG
    tone_curve: np.ndarray | None = None  # see isp.apply_tone_curve
    extra_curve: int = 0  # 0: none; n: number n of isp.EXTRA_CURVES
    camera_curve: np.ndarray | None = None  # tone curve of the camera's profile, applied before `tone_curve`


def sample_settings(camera: Camera, rng: np.random.Generator) -> CaptureSettings:
    """Sample capture settings from a camera's prior; with tone groups, from that of one of them."""
    if camera.tone_groups:
        weights = [group.weight for group in camera.tone_groups]
        group = camera.tone_groups[rng.choice(len(weights), p=weights)]
        camera = replace(camera, prior=group.prior, tone_curve=group.tone_curve)
    sampled = {}
    for name, distribution in camera.prior:
        if distribution is not None:
            ((kind, parameters),) = distribution.items()
            sampled[name] = DISTRIBUTIONS[kind](rng, *parameters)
    light = rng.dirichlet(2 * camera.weights)  # often near one light, sometimes between several
    red, blue = light @ camera.neutrals * np.exp(rng.multivariate_normal((0, 0), camera.spread))
    shot_noise = camera.shot_noise * sampled.pop("iso")
    subsampling = int(rng.choice(4, p=camera.subsampling))
    tone = [sampled.pop(name, None) for name in ("tone_deviation", "black_point", "white_point")]
    shares = rng.dirichlet(np.ones(len(camera.colour_matrices)))
    read_noise = camera.read_noise(shot_noise, float(np.exp(rng.normal(0, 0.26))))
    return CaptureSettings(
        neutral=np.array([red, 1.0, blue]),
        colour_matrix=np.tensordot(shares, camera.colour_matrices, 1),
        shot_noise=shot_noise,
        read_noise=read_noise,
        centre=rng.uniform(-0.5, 0.5, 2) * camera.frame,
        quality=round(sampled.pop("quality")),
        subsampling=None if subsampling == 3 else subsampling,
        tone_curve=sample_tone_curve(*tone, rng) if any(value is not None for value in tone) else None,
        extra_curve=int(rng.choice(3, p=camera.extra_curves)) if camera.extra_curves[0] < 1 else 0,
        camera_curve=camera.tone_curve,
        **sampled,
    )


def mean_settings(camera: Camera) -> CaptureSettings:
    """Return the means of a camera's prior, see `camera.mean_of`, without noise, extra curve and JPEG.

    With tone groups, they are the means over these.
    """
    groups = camera.tone_groups or (ToneGroup(1.0, camera.prior, camera.tone_curve),)
    means = {
        name: sum(group.weight * mean_of(getattr(group.prior, name)) for group in groups)
        for name in CapturePrior.model_fields
        if all(getattr(group.prior, name) is not None for group in groups)
    }
    black, white = means.get("black_point"), means.get("white_point")
    own = {field.name for field in fields(CaptureSettings)} - {"quality"}
    flat = np.random.default_rng(0)  # without a deviation, the curve is not random
    return CaptureSettings(
        neutral=camera.mean_neutral,
        colour_matrix=camera.mean_colour_matrix,
        shot_noise=0.0,
        read_noise=0.0,
        centre=np.zeros(2),
        quality=100,
        subsampling=None,
        tone_curve=None if black is None and white is None else sample_tone_curve(None, black, white, flat),
        camera_curve=mean_tone_curve(groups),
        **{name: value for name, value in means.items() if name in own},
    )


def mean_tone_curve(groups: Sequence[ToneGroup]) -> np.ndarray | None:
    """Return the mean tone curve of groups at `TONE_POINTS` equally spaced points; None: the identity."""
    if len(groups) == 1 or all(group.tone_curve is None for group in groups):
        return groups[0].tone_curve
    points = np.linspace(0, 1, TONE_POINTS)
    curves = [
        points if group.tone_curve is None else isp.apply_tone_curve(points, group.tone_curve)
        for group in groups
    ]
    return np.average(curves, axis=0, weights=[group.weight for group in groups])


def sample_tone_curve(
    deviation: float | None, black: float | None, white: float | None, rng: np.random.Generator
) -> np.ndarray:
    """Sample a smooth non-decreasing tone curve of sRGB values.

    The log slope interpolates `TONE_KNOTS` normal values, so that neighbouring tones change alike.

    Args:
        deviation: standard deviation of the log slope; None: 0.
        black: value that becomes 0; None: 0.
        white: value that 1 becomes; None: 1.

    Returns:
        Values at `TONE_POINTS` equally spaced points from 0 to 1, float64.
    """
    points = np.linspace(0, 1, TONE_POINTS)
    knots = np.linspace(0, 1, TONE_KNOTS)
    middles = (points[1:] + points[:-1]) / 2
    slopes = np.exp(np.interp(middles, knots, rng.normal(0, deviation or 0, TONE_KNOTS)))
    curve = np.concatenate([[0], np.cumsum(slopes)]) / slopes.sum()
    stretched = np.maximum(points - (black or 0), 0) / (1 - (black or 0))
    return (1 if white is None else white) * np.interp(stretched, points, curve)


def expose(scene: np.ndarray, settings: CaptureSettings) -> np.ndarray:
    """Convert a linear scene to camera RGB at the sensor, before lens shading.

    Float32 (H, W, 3), in linear sRGB primaries and neutral light, white paper at 1, lights and glints above
    -> the same shape and type, 0 or more, the white level at 1.
    """
    camera_rgb = isp.srgb_to_camera(scene * np.float32(settings.exposure), settings.colour_matrix)
    return np.maximum(isp.invert_white_balance(camera_rgb, settings.neutral, settings.gain), 0)


def run_isp(raw: np.ndarray, settings: CaptureSettings) -> np.ndarray:
    """Render demosaiced RAW like the camera's ISP: float32 (H, W, 3) -> sRGB, uint8.

    White balance and gain raise bright colours above 1, where they are clipped: here overexposed pixels
    lose information that the RAW still contains.
    """
    balanced = isp.clip(isp.white_balance(raw, settings.neutral, settings.gain))
    linear = isp.clip(isp.camera_to_srgb(balanced, settings.colour_matrix))
    linear = isp.map_tones_locally(linear, settings.local_contrast)
    srgb = isp.encode_srgb(isp.lift_midtones(linear, settings.midtones))
    srgb = apply_srgb_curves(isp.clip(isp.saturate(srgb, settings.saturation)), settings)
    srgb = isp.clip(isp.sharpen(srgb, settings.sharpening))
    if settings.extra_curve:
        srgb = isp.EXTRA_CURVES[settings.extra_curve - 1](srgb)
    rgb = isp.to_8_bit(srgb)
    if settings.subsampling is None:
        return rgb
    return isp.compress_jpeg(rgb, settings.quality, settings.subsampling)


def apply_srgb_curves(srgb: np.ndarray, settings: CaptureSettings) -> np.ndarray:
    """Apply contrast, the camera's tone curve and the photo's to sRGB values in [0, 1] of any shape."""
    srgb = isp.raise_contrast(srgb, settings.contrast)
    for curve in (settings.camera_curve, settings.tone_curve):
        if curve is not None:
            srgb = isp.apply_tone_curve(srgb, curve)
    return srgb


def encode_uniform(linear: np.ndarray, settings: CaptureSettings) -> np.ndarray:
    """Encode uniform areas of linear sRGB values in [0, 1], any shape, to sRGB before `apply_srgb_curves`.

    Applies local contrast, for which an area is its own surroundings, midtones and the sRGB curve.
    """
    mapped = isp.compress_tones(linear, linear, settings.local_contrast)
    return isp.encode_srgb(isp.lift_midtones(mapped, settings.midtones))


def decode_uniform(srgb: np.ndarray, settings: CaptureSettings) -> np.ndarray:
    """Invert `encode_uniform`: any shape -> float32."""
    return np.interp(srgb, encode_uniform(LINEAR_LEVELS, settings), LINEAR_LEVELS).astype(np.float32)


def render_uniform(linear: np.ndarray, settings: CaptureSettings) -> np.ndarray:
    """Render uniform grey areas of linear sRGB values in [0, 1], any shape, to sRGB, as `run_isp` does."""
    srgb = apply_srgb_curves(encode_uniform(linear, settings), settings)
    return isp.EXTRA_CURVES[settings.extra_curve - 1](srgb) if settings.extra_curve else srgb


def simulate_pair(
    scene: np.ndarray, settings: CaptureSettings, camera: Camera, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate one capture of a linear scene, see `expose`: the sensor's RAW and the photo developed from it.

    Returns:
        sRGB photo, uint8 (H', W', 3), and sensor counts, uint16 (H, W), in the sensor's CFA order. The
        photo begins at the sensor's first red pixel and has an even height and width, like `linear_raw`.
    """
    raw = expose(scene, settings)
    optical_axis = (np.array(raw.shape[:2]) / 2 - settings.centre).tolist()
    clean = mosaic(isp.shade(raw, settings.shading, optical_axis, np.hypot(*camera.frame) / 2), camera.cfa)
    noisy = isp.add_noise(clean, settings.shot_noise, settings.read_noise, rng)
    # the ISP corrects the shading, and removes noise better than a simple filter would
    denoised = isp.clip(mosaic(raw, camera.cfa) + np.float32(1 - settings.denoising) * (noisy - clean))
    # demosaic a balanced mosaic, in which the channels rise and fall together
    neutral = mosaic(np.broadcast_to(settings.neutral.astype(np.float32), raw.shape), camera.cfa)
    balanced = demosaic(to_rggb(denoised / neutral, camera.cfa))
    photo = run_isp(isp.invert_white_balance(balanced, settings.neutral), settings)
    return photo, isp.to_sensor_counts(noisy, camera.black_level, camera.white_level)


def linear_raw(counts: np.ndarray, camera: Camera) -> np.ndarray:
    """Convert sensor counts, uint16 (H, W), to a linear RGGB mosaic in [0, 1], float32, sides even."""
    return to_rggb(isp.linearise(counts, camera.black_level, camera.white_level), camera.cfa)


def linearise_photo(rgb: np.ndarray, settings: CaptureSettings) -> np.ndarray:
    """Invert the ISP's curves and saturation.

    Photo without an extra curve, uint8 or uint16 (H, W, 3) -> linear sRGB, float32 in [0, 1]. Local contrast
    is inverted as in uniform areas. Sharpening, noise and JPEG artefacts remain, and clipped pixels become
    the value at which the photo reaches white.
    """
    most = np.iinfo(rgb.dtype).max
    codes = np.arange(most + 1) / most
    srgb = np.interp(codes, apply_srgb_curves(SRGB_LEVELS, settings), SRGB_LEVELS)
    if settings.saturation == 1:  # the channels are independent, so that a table suffices
        return decode_uniform(srgb, settings)[rgb]
    less = isp.saturate(srgb.astype(np.float32)[rgb], 1 / settings.saturation)
    return decode_uniform(isp.clip(less), settings)


def linear_scene(
    srgb: np.ndarray, settings: CaptureSettings, growth: float = 0.02, headroom: float = 1.5
) -> np.ndarray:
    """Estimate a linear scene from an sRGB photo: invert an ISP and brighten clipped lights.

    The true values of clipped areas are unknown. Where a clipped area borders on bright surroundings, its
    brightness rises from that border without a jump, as in a sky. Far from such borders, and behind objects
    in front of the area, it has its full brightness.

    Args:
        srgb: photo, uint8 (H, W, 3).
        settings: those that the photo was perhaps made with, see `linearise_photo`.
        growth: increase of brightness per pixel within clipped areas, relative.
        headroom: maximum of this increase.

    Returns:
        float32 (H, W, 3), linear sRGB primaries, white at 1.
    """
    from scipy.ndimage import distance_transform_edt, minimum_filter  # as in omf/raw/isp.py

    scene = linearise_photo(srgb, settings)
    brightest = srgb.max(axis=-1)
    clipped = brightest >= CLIPPED_LEVEL
    bright = ~clipped & (minimum_filter(brightest, BRIGHT_WINDOW) >= BRIGHT_LEVEL)
    depth = distance_transform_edt(~bright) if bright.any() else np.full(clipped.shape, np.inf)
    return scene * (1 + clipped * np.minimum(growth * depth, headroom).astype(np.float32))[..., None]
