"""Camera profiles, and the simulated camera: a linear scene in, a pair of sRGB photo and sensor RAW out."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt, minimum_filter

from omf import isp
from omf.bayer import CFA_ORIGINS, demosaic, mosaic, to_challenge_format, to_rggb
from omf.errors import InputError
from omf.folders import data_folder
from omf.yaml_files import parse_yaml

DISTRIBUTIONS = {
    "uniform": lambda rng, low, high: rng.uniform(low, high),
    "log_uniform": lambda rng, low, high: np.exp(rng.uniform(np.log(low), np.log(high))),
    "log_normal": lambda rng, median, deviation: median * np.exp(rng.normal(0, deviation)),
}

TINY = 1e-9  # in place of 0, for numbers that must lie above it
CLIPPED, GENTLE, GENTLE_SIZE = 250, 200, 9  # of linear_scene: 8-bit levels, and the size of a pixel's surroundings


@dataclass(frozen=True)
class ShotPrior:
    """How the settings of a camera's pictures are distributed: {distribution: its two parameters} each."""

    exposure: dict  # linear sRGB green of white paper, before clipping; above 1 it is lost
    gain: dict  # the ISP's digital gain; RAW green above 1 / gain is lost in the sRGB
    iso: dict  # sensitivity, which decides the noise
    shading: dict  # what the lens loses at the frame's corners and the ISP puts back
    denoising: dict  # share of the noise that the ISP removes
    local_contrast: dict  # see isp.map_tones_locally
    midtones: dict  # see isp.lift_midtones
    contrast: dict  # see isp.raise_contrast
    saturation: dict  # see isp.saturate
    sharpening: dict  # see isp.sharpen
    quality: dict  # of the JPEG


@dataclass(frozen=True)
class Camera:
    """What is known of one camera; see `cameras/*.yaml` for the fields' meaning and sources."""

    name: str
    cfa: str  # the sensor's colour filter array, row by row
    black_level: int  # counts
    white_level: int  # counts
    frame: tuple[int, int]  # height and width of a whole picture, pixels
    neutrals: np.ndarray  # (N, 2): R/G and B/G of a neutral grey in RAW, one row for each kind of light
    weights: np.ndarray  # (N,), sum 1
    spread: np.ndarray  # (2, 2): covariance of log R/G and log B/G about the neutrals
    colour_matrices: np.ndarray  # (M, 3, 3): linear sRGB to white-balanced camera RGB
    shot_noise: float  # at ISO 1; see isp.add_noise
    subsampling: np.ndarray  # (4,): how often JPEG's chroma is 4:4:4, 4:2:2, 4:2:0, and how often there is no JPEG
    prior: ShotPrior

    @property
    def usual_neutral(self) -> np.ndarray:
        """(3,): RAW of a neutral grey in average light, green at 1."""
        red, blue = self.weights @ self.neutrals
        return np.array([red, 1.0, blue])


def load_camera(name: str) -> Camera:
    """Read `cameras/NAME.yaml`. Raises InputError where there is none, or where it is not a whole profile."""
    path = data_folder("cameras") / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(Path(p).stem for p in path.parent.glob("*.yaml")))
        raise InputError(f"camera {name}: there is no {path.name} in {path.parent}; known cameras: {known}")
    try:
        return read_profile(parse_yaml(path.read_text("utf-8")))
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: not a whole camera profile ({reason}); compare it with samsung_s7.yaml") from error


def read_profile(profile: dict) -> Camera:
    """A profile as the YAML file has it. Raises ValueError, LookupError, TypeError or AttributeError where it is none."""
    lights = numbers("neutrals", [[light[key] for key in ("red", "blue", "weight")] for light in profile["neutrals"]], (None, 3), TINY, 100)
    weights = lights[:, 2]
    red, blue = numbers("jitter", [profile["jitter"][key] for key in ("red", "blue")], (2,), 0, 10)
    covariance = float(numbers("jitter.correlation", profile["jitter"]["correlation"], (), -1, 1)) * red * blue
    levels = black, white = profile["black_level"], profile["white_level"]
    if not all(type(level) is int for level in levels) or not 0 <= black < white < 2**16:
        raise ValueError(f"black_level {black}, white_level {white}; they must be counts of 16 bits, the white level the higher one")
    frame = numbers("frame", profile["frame"], (2,), 2, 1e6)
    if not isinstance(profile["name"], str):
        raise ValueError(f"name: {profile['name']}; it must be a text")
    prior = ShotPrior(**profile["settings"])
    for field in fields(prior):
        ((kind, parameters),) = getattr(prior, field.name).items()
        if kind not in DISTRIBUTIONS or len(parameters) != 2:
            raise ValueError(f"{field.name}: {kind} {parameters}; it must be one of {', '.join(DISTRIBUTIONS)} with two numbers")
        low, high = numbers(field.name, parameters, (2,), {"uniform": -1e6, "log_uniform": TINY, "log_normal": 0}[kind], 1e6)
        if kind == "log_normal" and high > 10:
            raise ValueError(f"{field.name}: {kind} {parameters}; the deviation must be 10 or less")
        if kind != "log_normal" and low > high:
            raise ValueError(f"{field.name}: {kind} {parameters}; the first number must not be the larger one")
    if profile["cfa"] not in CFA_ORIGINS:
        raise ValueError(f"cfa: {profile['cfa']}; it must be one of {', '.join(CFA_ORIGINS)}")
    subsampling = numbers("jpeg", [profile["jpeg"][kind] for kind in ("4:4:4", "4:2:2", "4:2:0", "none")], (4,), 0, 1e6)
    if not subsampling.any():
        raise ValueError("jpeg: all are 0; one must be more")
    return Camera(
        name=profile["name"],
        cfa=profile["cfa"],
        black_level=black,
        white_level=white,
        frame=tuple(map(int, frame)),
        neutrals=lights[:, :2],
        weights=weights / weights.sum(),
        spread=np.array([[red**2, covariance], [covariance, blue**2]]),
        colour_matrices=numbers("colour_matrices", profile["colour_matrices"], (None, 3, 3), -100, 100),
        shot_noise=float(numbers("shot_noise_iso_100", profile["shot_noise_iso_100"], (), TINY, 1)) / 100,
        subsampling=subsampling / subsampling.sum(),
        prior=prior,
    )


def numbers(name: str, values: object, shape: tuple[int | None, ...], least: float, most: float) -> np.ndarray:
    """Values of a profile as an array; None in `shape` is any number of them, 1 or more. Raises ValueError."""
    array = np.array(values)
    fits = (
        array.dtype.kind in "iuf"
        and array.ndim == len(shape)
        and array.size
        and all(size in (None, found) for size, found in zip(shape, array.shape))
    )
    if not fits or not (least <= array.min() and array.max() <= most):
        wanted = f"{' x '.join(str(size or 'N') for size in shape)} numbers" if shape else "a number"
        raise ValueError(f"{name}: {values}; it must be {wanted} from {least:g} to {most:g}")
    return array.astype(float)


@dataclass(frozen=True)
class Shot:
    """The settings under which one picture is taken and processed; see `ShotPrior` where no line says more."""

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


def random_shot(camera: Camera, rng: np.random.Generator) -> Shot:
    """Draw settings as they vary between a camera's pictures."""
    drawn = {}
    for field in fields(camera.prior):
        ((kind, parameters),) = getattr(camera.prior, field.name).items()
        drawn[field.name] = DISTRIBUTIONS[kind](rng, *parameters)
    light = rng.dirichlet(2 * camera.weights)  # often near one light, sometimes between several
    red, blue = light @ camera.neutrals * np.exp(rng.multivariate_normal((0, 0), camera.spread))
    shot_noise = camera.shot_noise * drawn.pop("iso")
    subsampling = int(rng.choice(4, p=camera.subsampling))
    return Shot(
        neutral=np.array([red, 1.0, blue]),
        colour_matrix=np.tensordot(rng.dirichlet(np.ones(len(camera.colour_matrices))), camera.colour_matrices, 1),
        shot_noise=shot_noise,
        read_noise=float(usual_read_noise(shot_noise) * np.exp(rng.normal(0, 0.26))),
        centre=rng.uniform(-0.5, 0.5, 2) * camera.frame,
        quality=round(drawn.pop("quality")),
        subsampling=None if subsampling == 3 else subsampling,
        **drawn,
    )


def usual_read_noise(shot_noise: float) -> float:
    """The read noise that goes with a shot noise: the middle of what Brooks et al. 2019 found in the Darmstadt Noise Dataset."""
    return float(np.exp(2.18 * np.log(shot_noise) + 1.2))


def expose(scene: np.ndarray, shot: Shot) -> np.ndarray:
    """What reaches the sensor, before lens shading.

    Args:
        scene: float32 (H, W, 3), linear sRGB primaries, neutral light, 1 = white paper; lights and glints lie above 1.
        shot: the settings.

    Returns:
        Camera RGB, float32 (H, W, 3), 0 or more, the white level at 1.
    """
    camera_rgb = isp.to_camera_primaries(scene * np.float32(shot.exposure), shot.colour_matrix)
    return np.maximum(isp.unbalance(camera_rgb, shot.neutral, shot.gain), 0)


def develop(raw: np.ndarray, shot: Shot) -> np.ndarray:
    """Render demosaiced RAW as the camera's ISP would: float32 (H, W, 3) -> sRGB, uint8.

    White balance and gain push bright colours over 1, where they are clipped: this is where overexposed
    pixels lose what the RAW still holds.
    """
    balanced = isp.clip(isp.balance(raw, shot.neutral, shot.gain))
    linear = isp.clip(isp.to_srgb_primaries(balanced, shot.colour_matrix))
    srgb = isp.encode_srgb(isp.lift_midtones(isp.map_tones_locally(linear, shot.local_contrast), shot.midtones))
    srgb = isp.raise_contrast(isp.clip(isp.saturate(srgb, shot.saturation)), shot.contrast)
    rgb = isp.to_8_bit(isp.sharpen(srgb, shot.sharpening))
    return rgb if shot.subsampling is None else isp.jpeg(rgb, shot.quality, shot.subsampling)


def take_picture(scene: np.ndarray, shot: Shot, camera: Camera, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Take a scene and develop it.

    Args:
        scene: as for `expose`.
        shot: the settings.
        camera: whose sensor it is.
        rng: of the noise.

    Returns:
        sRGB, uint8 (H', W', 3), and the sensor's counts, uint16 (H, W), in the order of its CFA. The
        photo begins at the sensor's first red pixel and has an even height and width, as `raw_of` does.
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
    photo = develop(isp.unbalance(balanced, shot.neutral), shot)
    return photo, isp.digitise(noisy, camera.black_level, camera.white_level)


def raw_of(counts: np.ndarray, camera: Camera) -> np.ndarray:
    """A sensor's counts, uint16 (H, W) -> linear mosaic, float32 (H', W') in [0, 1], RGGB, even height and width."""
    return to_rggb(isp.linearise(counts, camera.black_level, camera.white_level), camera.cfa)


def undevelop(rgb: np.ndarray, shot: Shot) -> np.ndarray:
    """Undo `develop` as far as it can be undone: not the clipping, the JPEG, local contrast, sharpening.

    sRGB, uint8 (H, W, 3) -> demosaiced RAW, float32 (H, W, 3) in [0, 1].
    """
    srgb = isp.lower_contrast(rgb.astype(np.float32) / np.iinfo(rgb.dtype).max, shot.contrast)
    linear = isp.lower_midtones(isp.decode_srgb(isp.clip(isp.saturate(srgb, 1 / shot.saturation))), shot.midtones)
    balanced = isp.to_camera_primaries(linear.astype(np.float32), shot.colour_matrix)
    return isp.clip(isp.unbalance(balanced, shot.neutral, shot.gain))


def linear_scene(srgb: np.ndarray, midtones: float = 0.35, growth: float = 0.02, headroom: float = 1.5) -> np.ndarray:
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
    clipped = brightest >= CLIPPED
    gentle = ~clipped & (minimum_filter(brightest, GENTLE_SIZE) >= GENTLE)
    depth = distance_transform_edt(~gentle) if gentle.any() else np.full(clipped.shape, np.inf)
    return scene * (1 + clipped * np.minimum(growth * depth, headroom).astype(np.float32))[..., None]


def baseline(rgb: np.ndarray, camera: Camera) -> np.ndarray:
    """What one gets without a network: undo the sRGB curve, then the average white balance.

    Args:
        rgb: uint8 or uint16 (H, W, 3).

    Returns:
        Packed Bayer in the challenge's format, uint16 (H/2, W/2, 4).
    """
    linear = isp.decode_srgb(rgb.astype(np.float32) / np.iinfo(rgb.dtype).max)
    return to_challenge_format(linear * camera.usual_neutral.astype(np.float32))
