"""The simulated camera: a linear scene in, a pair of sRGB photo and sensor RAW out."""

from dataclasses import dataclass, fields

import numpy as np
from scipy.ndimage import distance_transform_edt, minimum_filter

from omf.raw import isp
from omf.raw.bayer import demosaic, mosaic, to_rggb
from omf.raw.camera import DISTRIBUTIONS, Camera, typical_read_noise

CLIPPED_LEVEL, GENTLE, GENTLE_SIZE = (
    250,
    200,
    9,
)  # of linear_scene: 8-bit levels, and the size of a pixel's surroundings


@dataclass(frozen=True)
class CaptureSettings:
    """The settings under which one picture is taken and processed; see `CapturePrior` where no line says more."""

    neutral: np.ndarray  # (3,): RAW of a neutral grey, green at 1
    colour_matrix: np.ndarray  # (3, 3): linear sRGB to white-balanced camera RGB
    exposure: float
    gain: float
    shot_noise: float  # see isp.add_noise
    read_noise: float
    shading: float
    centre: np.ndarray  # (2,): of the picture, from the optical axis, pixels
    denoising: float
    local_contrast: float
    midtones: float
    contrast: float
    saturation: float
    sharpening: float
    quality: int
    subsampling: int | None  # see isp.jpeg; None: no JPEG


def sample_settings(camera: Camera, rng: np.random.Generator) -> CaptureSettings:
    """Draw settings as they vary between a camera's pictures."""
    drawn = {}
    for field in fields(camera.prior):
        ((kind, parameters),) = getattr(camera.prior, field.name).items()
        drawn[field.name] = DISTRIBUTIONS[kind](rng, *parameters)
    light = rng.dirichlet(2 * camera.weights)  # often near one light, sometimes between several
    red, blue = light @ camera.neutrals * np.exp(rng.multivariate_normal((0, 0), camera.spread))
    shot_noise = camera.shot_noise * drawn.pop("iso")
    subsampling = int(rng.choice(4, p=camera.subsampling))
    return CaptureSettings(
        neutral=np.array([red, 1.0, blue]),
        colour_matrix=np.tensordot(
            rng.dirichlet(np.ones(len(camera.colour_matrices))), camera.colour_matrices, 1
        ),
        shot_noise=shot_noise,
        read_noise=float(typical_read_noise(shot_noise) * np.exp(rng.normal(0, 0.26))),
        centre=rng.uniform(-0.5, 0.5, 2) * camera.frame,
        quality=round(drawn.pop("quality")),
        subsampling=None if subsampling == 3 else subsampling,
        **drawn,
    )


def expose(scene: np.ndarray, shot: CaptureSettings) -> np.ndarray:
    """What reaches the sensor, before lens shading.

    Args:
        scene: float32 (H, W, 3), linear sRGB primaries, neutral light, 1 = white paper; lights and glints lie above 1.
        shot: the settings.

    Returns:
        Camera RGB, float32 (H, W, 3), 0 or more, the white level at 1.
    """
    camera_rgb = isp.to_camera_primaries(scene * np.float32(shot.exposure), shot.colour_matrix)
    return np.maximum(isp.invert_white_balance(camera_rgb, shot.neutral, shot.gain), 0)


def run_isp(raw: np.ndarray, shot: CaptureSettings) -> np.ndarray:
    """Render demosaiced RAW as the camera's ISP would: float32 (H, W, 3) -> sRGB, uint8.

    White balance and gain push bright colours over 1, where they are clipped: this is where overexposed
    pixels lose what the RAW still holds.
    """
    balanced = isp.clip(isp.white_balance(raw, shot.neutral, shot.gain))
    linear = isp.clip(isp.to_srgb_primaries(balanced, shot.colour_matrix))
    srgb = isp.encode_srgb(
        isp.lift_midtones(isp.map_tones_locally(linear, shot.local_contrast), shot.midtones)
    )
    srgb = isp.raise_contrast(isp.clip(isp.saturate(srgb, shot.saturation)), shot.contrast)
    rgb = isp.to_8_bit(isp.sharpen(srgb, shot.sharpening))
    return rgb if shot.subsampling is None else isp.compress_jpeg(rgb, shot.quality, shot.subsampling)


def simulate_pair(
    scene: np.ndarray, shot: CaptureSettings, camera: Camera, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Take a scene and develop it.

    Args:
        scene: as for `expose`.
        shot: the settings.
        camera: whose sensor it is.
        rng: of the noise.

    Returns:
        sRGB, uint8 (H', W', 3), and the sensor's counts, uint16 (H, W), in the order of its CFA. The
        photo begins at the sensor's first red pixel and has an even height and width, as `linear_raw` does.
    """
    raw = expose(scene, shot)
    axis = (np.array(raw.shape[:2]) / 2 - shot.centre).tolist()
    clean = mosaic(isp.shade(raw, shot.shading, axis, np.hypot(*camera.frame) / 2), camera.cfa)
    noisy = isp.add_noise(clean, shot.shot_noise, shot.read_noise, rng)
    # the ISP corrects the shading, and removes noise better than a simple filter would
    seen = isp.clip(mosaic(raw, camera.cfa) + np.float32(1 - shot.denoising) * (noisy - clean))
    # colours are filled in on a balanced mosaic, where they rise and fall together
    neutral = mosaic(np.broadcast_to(shot.neutral.astype(np.float32), raw.shape), camera.cfa)
    balanced = demosaic(to_rggb(seen / neutral, camera.cfa))
    photo = run_isp(isp.invert_white_balance(balanced, shot.neutral), shot)
    return photo, isp.to_sensor_counts(noisy, camera.black_level, camera.white_level)


def linear_raw(counts: np.ndarray, camera: Camera) -> np.ndarray:
    """A sensor's counts, uint16 (H, W) -> linear mosaic, float32 (H', W') in [0, 1], RGGB, even height and width."""
    return to_rggb(isp.linearise(counts, camera.black_level, camera.white_level), camera.cfa)


def linear_scene(
    srgb: np.ndarray, midtones: float = 0.35, growth: float = 0.02, headroom: float = 1.5
) -> np.ndarray:
    """A linear scene from an sRGB photo: the ISP's tone curve undone, clipped lights made bright again.

    What was there is unknown. Where a clipped area goes over into bright surroundings, it gets brighter from
    there on without a jump, as a sky does; away from such places, and behind objects that stand before it, it
    has its full brightness.

    Args:
        srgb: uint8 (H, W, 3).
        midtones: of the tone curve to undo.
        growth: by how much clipped areas get brighter with each pixel.
        headroom: how much brighter they become at most.

    Returns:
        float32 (H, W, 3), linear sRGB primaries, 1 = white.
    """
    scene = isp.lower_midtones(isp.decode_srgb(srgb.astype(np.float32) / 255), midtones)
    brightest = srgb.max(axis=-1)
    clipped = brightest >= CLIPPED_LEVEL
    gentle = ~clipped & (minimum_filter(brightest, GENTLE_SIZE) >= GENTLE)
    depth = distance_transform_edt(~gentle) if gentle.any() else np.full(clipped.shape, np.inf)
    return scene * (1 + clipped * np.minimum(growth * depth, headroom).astype(np.float32))[..., None]
