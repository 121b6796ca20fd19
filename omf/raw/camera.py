"""Camera profiles: the sensor, its illuminants and colour matrices, and the prior over capture settings."""

import os
import zlib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from omf.raw.bayer import CFA_ORIGINS
from omf.utils.errors import InputError
from omf.utils.paths import CAMERAS, check_writable, data_folder, user_folder
from omf.utils.yaml import parse_yaml

DISTRIBUTIONS = {
    "uniform": lambda rng, low, high: rng.uniform(low, high),
    "log_uniform": lambda rng, low, high: np.exp(rng.uniform(np.log(low), np.log(high))),
    "log_normal": lambda rng, median, deviation: median * np.exp(rng.normal(0, deviation)),
}

MEANS = {  # geometric for the distributions of logarithms
    "uniform": lambda low, high: (low + high) / 2,
    "log_uniform": lambda low, high: np.sqrt(low * high),
    "log_normal": lambda median, deviation: median,
}

# Standard illuminants: number of the EXIF tag LightSource, and chromaticity (CIE 15)
LIGHT_SOURCES = {
    "A": (17, (0.44757, 0.40745)),
    "D50": (23, (0.34567, 0.35850)),
    "D55": (20, (0.33242, 0.34743)),
    "D65": (21, (0.31272, 0.32903)),
    "D75": (22, (0.29902, 0.31485)),
}

MIN_POSITIVE = 1e-9  # lower limit of values that must be above 0


@dataclass(frozen=True)
class CapturePrior:
    """Distributions of a camera's capture settings, each as {distribution: its two parameters}."""

    exposure: dict  # linear sRGB green of white paper, before clipping at 1
    gain: dict  # digital gain of the ISP; RAW green above 1 / gain is clipped in the sRGB
    iso: dict  # sensitivity, which determines the noise
    shading: dict  # lens fall-off at the frame's corners, which the ISP corrects
    denoising: dict  # fraction of the noise that the ISP removes
    local_contrast: dict  # see isp.map_tones_locally
    midtones: dict  # see isp.lift_midtones
    contrast: dict  # see isp.raise_contrast
    saturation: dict  # see isp.saturate
    sharpening: dict  # see isp.sharpen
    quality: dict  # JPEG quality
    # Optional; no effect if absent. See simulator.sample_tone_curve.
    tone_deviation: dict | None = None  # deviation of the log slope of a random tone curve
    black_point: dict | None = None  # sRGB value that becomes 0
    white_point: dict | None = None  # sRGB value that white becomes


@dataclass(frozen=True)
class ToneGroup:
    """One kind of photo of a camera, such as those with strong contrast."""

    weight: float  # share of the photos
    prior: CapturePrior
    tone_curve: np.ndarray | None


@dataclass(frozen=True)
class Camera:
    """A camera profile; `cameras/samsung_s7.yaml` documents the fields and their sources."""

    name: str
    cfa: str  # CFA of the sensor, row by row
    black_level: int  # counts
    white_level: int  # counts
    frame: tuple[int, int]  # height and width of a full image, pixels
    neutrals: np.ndarray  # (N, 2): R/G and B/G of a neutral grey in RAW, one row per illuminant
    weights: np.ndarray  # (N,): weights of the illuminants, sum 1
    spread: np.ndarray  # (2, 2): covariance of log R/G and log B/G around the neutrals
    colour_matrices: np.ndarray  # (M, 3, 3): linear sRGB to white-balanced camera RGB
    shot_noise: float  # at ISO 1; see isp.add_noise
    subsampling: np.ndarray  # (4,): probabilities of JPEG chroma 4:4:4, 4:2:2 and 4:2:0, and of no JPEG
    prior: CapturePrior
    extra_curves: np.ndarray  # (3,): probabilities of no extra tone curve, and of isp.EXTRA_CURVES
    # (N,): the camera's mean tone curve, sRGB values at equally spaced ones from 0 to 1; None: the identity
    tone_curve: np.ndarray | None = None
    tone_groups: tuple[ToneGroup, ...] = ()  # kinds of photo, weights of sum 1; empty: all are of one kind
    # RAW of a neutral grey, (3,), green at 1, under illuminants of `LIGHT_SOURCES`; may be empty
    illuminants: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def mean_neutral(self) -> np.ndarray:
        """RAW of a neutral grey in average light, (3,), green at 1."""
        red, blue = self.weights @ self.neutrals
        return np.array([red, 1.0, blue])

    @property
    def mean_colour_matrix(self) -> np.ndarray:
        """Mean colour matrix, (3, 3): linear sRGB to white-balanced camera RGB."""
        return self.colour_matrices.mean(axis=0)


def mean_of(distribution: dict) -> float:
    """Return the mean of a distribution of `CapturePrior`; of logarithms the geometric mean."""
    ((kind, parameters),) = distribution.items()
    return float(MEANS[kind](*parameters))


def profile_path(name: str) -> Path:
    """Return the path of a camera's profile: NAME.yaml of the shipped ones, else of the user's.

    A name that ends in .yaml is a path itself.
    """
    if name.endswith(".yaml"):
        return Path(name)
    shipped = data_folder(CAMERAS) / f"{name}.yaml"
    return shipped if os.path.isfile(shipped) else user_folder(CAMERAS) / shipped.name  # noqa: PTH113, see below


def own_profile_path(name: str) -> Path:
    """Return the path for a profile of the user's under a name.

    Raises:
        InputError: a shipped profile has the name, or the folder can't be written to.
    """
    path = user_folder(CAMERAS) / f"{name}.yaml"
    if profile_path(name) != path:
        raise InputError(f"camera {name}: comes with the program; give another name")
    check_writable(path.parent)
    return path


def load_camera(name: str) -> Camera:
    """Read a camera's profile, see `profile_path`. Raises InputError if it does not exist or is not valid."""
    path = profile_path(name)
    if not os.path.isfile(path):  # noqa: PTH113, since Path.is_file raises on names that are too long
        if name.endswith(".yaml"):
            raise InputError(f"camera {name}: no such file; give a profile, or the name of one in cameras/")
        folders = data_folder(CAMERAS), user_folder(CAMERAS)
        names = ", ".join(sorted({file.stem for folder in folders for file in folder.glob("*.yaml")}))
        raise InputError(f"camera {name}: there is no {path.name} in {path.parent}; known cameras: {names}")
    try:
        return read_profile(parse_yaml(path.read_text("utf-8")))
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path}: not a valid camera profile ({reason}); compare it with samsung_s7.yaml"
        ) from error


def read_profile(profile: dict) -> Camera:
    """Build a Camera from a parsed YAML profile.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: the profile is not valid.
    """
    lights = checked_array(
        "neutrals",
        [[light[key] for key in ("red", "blue", "weight")] for light in profile["neutrals"]],
        (None, 3),
        MIN_POSITIVE,
        100,
    )
    weights = lights[:, 2]
    red, blue = checked_array("jitter", [profile["jitter"][key] for key in ("red", "blue")], (2,), 0, 10)
    correlation = checked_array("jitter.correlation", profile["jitter"]["correlation"], (), -1, 1)
    covariance = float(correlation) * red * blue
    levels = black, white = profile["black_level"], profile["white_level"]
    if not all(type(level) is int for level in levels) or not 0 <= black < white < 2**16:
        raise ValueError(
            f"black_level {black}, white_level {white}; "
            "they must be 16-bit counts, the white level the higher one"
        )
    frame = checked_array("frame", profile["frame"], (2,), 2, 1e6)
    if not isinstance(profile["name"], str):
        raise ValueError(f"name: {profile['name']}; it must be text")
    prior, tone_curve = read_prior(profile["settings"]), read_tone_curve(profile)
    groups = [read_group(entry, profile) for entry in profile.get("tone_groups", ())]
    total = sum(group.weight for group in groups)
    if profile["cfa"] not in CFA_ORIGINS:
        raise ValueError(f"cfa: {profile['cfa']}; it must be one of {', '.join(CFA_ORIGINS)}")
    subsampling = checked_array(
        "jpeg", [profile["jpeg"][kind] for kind in ("4:4:4", "4:2:2", "4:2:0", "none")], (4,), 0, 1e6
    )
    if not subsampling.any():
        raise ValueError("jpeg: all are 0; at least one must be above 0")
    extra = profile.get("extra_tone_curves", {"none": 1, "a": 0, "b": 0})
    extra_curves = checked_array(
        "extra_tone_curves", [extra[kind] for kind in ("none", "a", "b")], (3,), 0, 1e6
    )
    if not extra_curves.any():
        raise ValueError("extra_tone_curves: all are 0; at least one must be above 0")
    colour_matrices = checked_array("colour_matrices", profile["colour_matrices"], (None, 3, 3), -100, 100)
    shot_noise_iso_100 = checked_array(
        "shot_noise_iso_100", profile["shot_noise_iso_100"], (), MIN_POSITIVE, 1
    )
    illuminants = {}
    for entry in profile.get("illuminants", ()):
        if entry["light"] not in LIGHT_SOURCES:
            raise ValueError(f"illuminants: {entry['light']}; it must be one of {', '.join(LIGHT_SOURCES)}")
        grey = [entry["red"], 1.0, entry["blue"]]
        illuminants[entry["light"]] = checked_array("illuminants", grey, (3,), MIN_POSITIVE, 100)
    return Camera(
        name=profile["name"],
        cfa=profile["cfa"],
        black_level=black,
        white_level=white,
        frame=tuple(map(int, frame)),
        neutrals=lights[:, :2],
        weights=weights / weights.sum(),
        spread=np.array([[red**2, covariance], [covariance, blue**2]]),
        colour_matrices=colour_matrices,
        shot_noise=float(shot_noise_iso_100) / 100,
        subsampling=subsampling / subsampling.sum(),
        prior=prior,
        extra_curves=extra_curves / extra_curves.sum(),
        tone_curve=tone_curve,
        tone_groups=tuple(replace(group, weight=group.weight / total) for group in groups),
        illuminants=illuminants,
    )


def read_group(entry: dict, profile: dict) -> ToneGroup:
    """Build a tone group from its entry: what it lacks is that of the profile.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: the entry is not valid.
    """
    if unknown := entry.keys() - {"weight", "tone_curve", "settings"}:
        raise ValueError(f"tone_groups: {', '.join(sorted(unknown))}; give weight, settings and tone_curve")
    weight = checked_array("tone_groups: weight", entry["weight"], (), MIN_POSITIVE, 1e6)
    prior = read_prior(profile["settings"] | entry.get("settings", {}))
    return ToneGroup(float(weight), prior, read_tone_curve(profile | entry))


def read_prior(settings: dict) -> CapturePrior:
    """Build the prior from a profile's settings. Raises ValueError or TypeError unless they are valid."""
    prior = CapturePrior(**settings)
    for setting in fields(prior):
        distribution = getattr(prior, setting.name)
        if distribution is not None:
            check_distribution(setting.name, distribution)
        elif setting.default is not None:  # not optional
            raise ValueError(f"{setting.name}: no distribution")
    return prior


def check_distribution(name: str, distribution: dict) -> None:
    """Raise ValueError unless a distribution is one of `DISTRIBUTIONS` with possible parameters."""
    ((kind, parameters),) = distribution.items()
    if kind not in DISTRIBUTIONS or len(parameters) != 2:
        raise ValueError(
            f"{name}: {kind} {parameters}; it must be one of {', '.join(DISTRIBUTIONS)} with two numbers"
        )
    lowest = {"uniform": -1e6, "log_uniform": MIN_POSITIVE, "log_normal": 0}[kind]
    low, high = checked_array(name, parameters, (2,), lowest, 1e6)
    if kind == "log_normal" and high > 10:
        raise ValueError(f"{name}: {kind} {parameters}; the deviation must be 10 or less")
    if kind != "log_normal" and low > high:
        raise ValueError(f"{name}: {kind} {parameters}; the first number must not exceed the second")


def read_tone_curve(profile: dict) -> np.ndarray | None:
    """Return the tone curve of a profile, or None. Raises ValueError unless it rises and never falls."""
    if "tone_curve" not in profile:
        return None
    curve = checked_array("tone_curve", profile["tone_curve"], (None,), 0, 1)
    if len(curve) < 2 or (np.diff(curve) < 0).any() or curve[0] == curve[-1]:
        raise ValueError("tone_curve: it must be two or more values that rise and never fall")
    return curve


def checked_array(
    name: str, values: object, shape: tuple[int | None, ...], lowest: float, highest: float
) -> np.ndarray:
    """Convert values of a profile to a float64 array after checking shape and range.

    Args:
        name: field name for the error message.
        values: number or nested list of numbers.
        shape: expected shape; None stands for any length of 1 or more.
        lowest: smallest permitted value.
        highest: largest permitted value.

    Raises:
        ValueError: the values are not numbers, or have another shape or range.
    """
    array = np.array(values)
    is_valid = (
        array.dtype.kind in "iuf"
        and array.ndim == len(shape)
        and array.size
        and all(size in (None, length) for size, length in zip(shape, array.shape))
    )
    if not is_valid or not (lowest <= array.min() and array.max() <= highest):
        expected = f"{' x '.join(str(size or 'N') for size in shape)} numbers" if shape else "a number"
        raise ValueError(f"{name}: {values}; it must be {expected} from {lowest:g} to {highest:g}")
    return array.astype(float)


def name_seed(name: str) -> int:
    """Return a random seed derived from an image's name, the same on every machine."""
    return zlib.crc32(name.encode(errors="surrogateescape"))


def typical_read_noise(shot_noise: float) -> float:
    """Return the typical read noise for a shot noise, as variances.

    This is the centre of the distribution that Brooks et al. 2019 found in the Darmstadt Noise Dataset.
    """
    return float(np.exp(2.18 * np.log(shot_noise) + 1.2))
