"""Camera profiles: what is known of a sensor, its lights, its colours and how its pictures are taken."""

import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from omf.raw.bayer import CFA_ORIGINS
from omf.utils.errors import InputError
from omf.utils.paths import data_folder
from omf.utils.yaml import parse_yaml

DISTRIBUTIONS = {
    "uniform": lambda rng, low, high: rng.uniform(low, high),
    "log_uniform": lambda rng, low, high: np.exp(rng.uniform(np.log(low), np.log(high))),
    "log_normal": lambda rng, median, deviation: median * np.exp(rng.normal(0, deviation)),
}

TINY = 1e-9  # in place of 0, for numbers that must lie above it


@dataclass(frozen=True)
class CapturePrior:
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
    subsampling: (
        np.ndarray
    )  # (4,): how often JPEG's chroma is 4:4:4, 4:2:2, 4:2:0, and how often there is no JPEG
    prior: CapturePrior

    @property
    def mean_neutral(self) -> np.ndarray:
        """(3,): RAW of a neutral grey in average light, green at 1."""
        red, blue = self.weights @ self.neutrals
        return np.array([red, 1.0, blue])


def profile_path(name: str) -> Path:
    """Return where the profile of a camera lies: `cameras/NAME.yaml`."""
    return data_folder("cameras") / f"{name}.yaml"


def load_camera(name: str) -> Camera:
    """Read `cameras/NAME.yaml`. Raises InputError where there is none, or where it is not a whole profile."""
    path = profile_path(name)
    if not path.is_file():
        known = ", ".join(sorted(Path(p).stem for p in path.parent.glob("*.yaml")))
        raise InputError(f"camera {name}: there is no {path.name} in {path.parent}; known cameras: {known}")
    try:
        return read_profile(parse_yaml(path.read_text("utf-8")))
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path}: not a whole camera profile ({reason}); compare it with samsung_s7.yaml"
        ) from error


def read_profile(profile: dict) -> Camera:
    """A profile as the YAML file has it. Raises ValueError, LookupError, TypeError or AttributeError where it is none."""
    lights = numbers(
        "neutrals",
        [[light[key] for key in ("red", "blue", "weight")] for light in profile["neutrals"]],
        (None, 3),
        TINY,
        100,
    )
    weights = lights[:, 2]
    red, blue = numbers("jitter", [profile["jitter"][key] for key in ("red", "blue")], (2,), 0, 10)
    covariance = (
        float(numbers("jitter.correlation", profile["jitter"]["correlation"], (), -1, 1)) * red * blue
    )
    levels = black, white = profile["black_level"], profile["white_level"]
    if not all(type(level) is int for level in levels) or not 0 <= black < white < 2**16:
        raise ValueError(
            f"black_level {black}, white_level {white}; they must be counts of 16 bits, the white level the higher one"
        )
    frame = numbers("frame", profile["frame"], (2,), 2, 1e6)
    if not isinstance(profile["name"], str):
        raise ValueError(f"name: {profile['name']}; it must be a text")
    prior = CapturePrior(**profile["settings"])
    for field in fields(prior):
        ((kind, parameters),) = getattr(prior, field.name).items()
        if kind not in DISTRIBUTIONS or len(parameters) != 2:
            raise ValueError(
                f"{field.name}: {kind} {parameters}; it must be one of {', '.join(DISTRIBUTIONS)} with two numbers"
            )
        low, high = numbers(
            field.name, parameters, (2,), {"uniform": -1e6, "log_uniform": TINY, "log_normal": 0}[kind], 1e6
        )
        if kind == "log_normal" and high > 10:
            raise ValueError(f"{field.name}: {kind} {parameters}; the deviation must be 10 or less")
        if kind != "log_normal" and low > high:
            raise ValueError(
                f"{field.name}: {kind} {parameters}; the first number must not be the larger one"
            )
    if profile["cfa"] not in CFA_ORIGINS:
        raise ValueError(f"cfa: {profile['cfa']}; it must be one of {', '.join(CFA_ORIGINS)}")
    subsampling = numbers(
        "jpeg", [profile["jpeg"][kind] for kind in ("4:4:4", "4:2:2", "4:2:0", "none")], (4,), 0, 1e6
    )
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


def numbers(
    name: str, values: object, shape: tuple[int | None, ...], least: float, most: float
) -> np.ndarray:
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


def name_seed(name: str) -> int:
    """Return a seed that a picture's name decides: the same on every machine."""
    return zlib.crc32(name.encode(errors="surrogateescape"))


def typical_read_noise(shot_noise: float) -> float:
    """The read noise that goes with a shot noise: the middle of what Brooks et al. 2019 found in the Darmstadt Noise Dataset."""
    return float(np.exp(2.18 * np.log(shot_noise) + 1.2))
