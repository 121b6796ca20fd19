"""Camera profiles: the sensor, its illuminants and colour matrices, and the prior over capture settings."""

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from omf.raw.bayer import CFA_ORIGINS
from omf.utils.errors import InputError
from omf.utils.paths import CAMERAS, check_writable, data_folder, user_folder
from omf.utils.sections import Section, validate
from omf.utils.yaml import parse_yaml

OTHER_CFA = "other"  # CFA of a sensor without a Bayer pattern
MIN_POSITIVE = 1e-9  # lower limit of values that must be above 0

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

PARAMETERS = {  # that are possible
    "uniform": lambda low, high: -1e6 <= low <= high <= 1e6,
    "log_uniform": lambda low, high: MIN_POSITIVE <= low <= high <= 1e6,
    "log_normal": lambda median, deviation: 0 <= median <= 1e6 and 0 <= deviation <= 10,
}

# Standard illuminants: number of the EXIF tag LightSource, and chromaticity (CIE 15)
LIGHT_SOURCES = {
    "A": (17, (0.44757, 0.40745)),
    "D50": (23, (0.34567, 0.35850)),
    "D55": (20, (0.33242, 0.34743)),
    "D65": (21, (0.31272, 0.32903)),
    "D75": (22, (0.29902, 0.31485)),
}


def stated(requirement: str) -> WithJsonSchema:
    """Mark a field with the values that it takes, in the words of its errors."""
    return WithJsonSchema({"requirement": requirement})


def check_distribution(distribution: dict) -> dict:
    """Return a distribution. Raises ValueError unless it is of `DISTRIBUTIONS` with possible parameters."""
    ((kind, parameters),) = distribution.items()
    if kind not in PARAMETERS or len(parameters) != 2 or not PARAMETERS[kind](*parameters):
        raise ValueError
    return distribution


Distribution = Annotated[
    dict[str, list[int | float]],
    AfterValidator(check_distribution),
    stated(
        "uniform or log_uniform (above 0) with two numbers, the first not above the second, or log_normal"
        " with a median and a deviation of 10 at most; numbers up to 1e+06"
    ),
]


class CapturePrior(Section):
    """Distributions of a camera's capture settings, each as {distribution: its two parameters}."""

    exposure: Distribution  # linear sRGB green of white paper, before clipping at 1
    gain: Distribution  # digital gain of the ISP; RAW green above 1 / gain is clipped in the sRGB
    iso: Distribution  # sensitivity, which determines the noise
    shading: Distribution  # lens fall-off at the frame's corners, which the ISP corrects
    denoising: Distribution  # fraction of the noise that the ISP removes
    local_contrast: Distribution  # see isp.map_tones_locally
    midtones: Distribution  # see isp.lift_midtones
    contrast: Distribution  # see isp.raise_contrast
    saturation: Distribution  # see isp.saturate
    sharpening: Distribution  # see isp.sharpen
    quality: Distribution  # JPEG quality
    # Optional; no effect if absent. See simulator.sample_tone_curve.
    tone_deviation: Distribution | None = None  # deviation of the log slope of a random tone curve
    black_point: Distribution | None = None  # sRGB value that becomes 0
    white_point: Distribution | None = None  # sRGB value that white becomes


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
    cfa: str  # CFA of the sensor, row by row, or `OTHER_CFA`
    black_level: int  # counts
    white_level: int  # counts
    frame: tuple[int, int]  # height and width of a full image, pixels
    neutrals: np.ndarray  # (N, 2): R/G and B/G of a neutral grey in RAW, one row per illuminant
    weights: np.ndarray  # (N,): weights of the illuminants, sum 1
    spread: np.ndarray  # (2, 2): covariance of log R/G and log B/G around the neutrals
    colour_matrices: np.ndarray  # (M, 3, 3): linear sRGB to white-balanced camera RGB
    shot_noise: float  # at ISO 1; see isp.add_noise
    read_noise_floor: float  # variance of the read noise that does not grow with the ISO
    subsampling: np.ndarray  # (4,): probabilities of JPEG chroma 4:4:4, 4:2:2 and 4:2:0, and of no JPEG
    prior: CapturePrior
    extra_curves: np.ndarray  # (3,): probabilities of no extra tone curve, and of isp.EXTRA_CURVES
    # (N,): the camera's mean tone curve, sRGB values at equally spaced ones from 0 to 1; None: the identity
    tone_curve: np.ndarray | None = None
    tone_groups: tuple[ToneGroup, ...] = ()  # kinds of photo, weights of sum 1; empty: all are of one kind
    # RAW of a neutral grey, (3,), green at 1, under illuminants of `LIGHT_SOURCES`; may be empty
    illuminants: dict[str, np.ndarray] = field(default_factory=dict)
    # XYZ to camera RGB, (3, 3), under those whose matrix is known, as ColorMatrix of DNG
    xyz_matrices: dict[str, np.ndarray] = field(default_factory=dict)

    def read_noise(self, shot_noise: float, factor: float = 1.0) -> float:
        """Return the variance of the read noise at an ISO with this shot noise, `factor` times typical."""
        return typical_read_noise(shot_noise) * factor + self.read_noise_floor

    @property
    def mean_neutral(self) -> np.ndarray:
        """RAW of a neutral grey in average light, (3,), green at 1."""
        red, blue = self.weights @ self.neutrals
        return np.array([red, 1.0, blue])

    @property
    def mean_colour_matrix(self) -> np.ndarray:
        """Mean colour matrix, (3, 3): linear sRGB to white-balanced camera RGB."""
        return self.colour_matrices.mean(axis=0)


def check_bayer(camera: Camera) -> Camera:
    """Return a camera. Raises InputError if its sensor has no Bayer pattern."""
    if camera.cfa not in CFA_ORIGINS:
        raise InputError(
            f"camera {camera.name}: its sensor has no Bayer pattern, such as RGGB, for a mosaic;"
            " give another camera, or output_format demosaiced"
        )
    return camera


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
    except (OSError, ValueError, InputError) as error:
        raise InputError(
            f"{path}: not a valid camera profile ({error}); compare it with samsung_s7.yaml"
        ) from error


def array_field(
    words: str,
    lowest: float,
    highest: float,
    *shape: int | None,
    keys: tuple[str, ...] = (),
    accepts: Callable[[np.ndarray], bool] = np.size,
) -> object:
    """Return the type of a field that holds numbers, and becomes a float64 array.

    Args:
        words: the numbers that it takes, for the error line.
        lowest: smallest permitted value.
        highest: largest permitted value.
        shape: of nested lists; None stands for any length of 1 or more.
        keys: names of the numbers along the last axis, which are in mappings.
        accepts: further condition.
    """

    def in_lists(values: Any) -> Any:
        if isinstance(values, list):
            return [in_lists(value) for value in values]
        return [values[key] for key in keys] if keys else values

    def convert(values: Any) -> np.ndarray:
        try:
            array = np.array(in_lists(values))
        except (LookupError, TypeError) as error:
            raise ValueError from error
        fits = array.ndim == len(shape) and array.dtype.kind in "iuf" and array.size
        fits = fits and all(size in (None, length) for size, length in zip(shape, array.shape))
        if not (fits and lowest <= array.min() and array.max() <= highest and accepts(array)):
            raise ValueError
        return array.astype(float)

    return Annotated[Any, BeforeValidator(convert), stated(f"{words} from {lowest:g} to {highest:g}")]


def shares_field(*names: str) -> object:
    """Return the type of a field that holds shares by name."""
    return array_field(
        f"shares of {', '.join(names)}, not all 0,", 0, 1e6, len(names), keys=names, accepts=np.any
    )


Level = array_field("a whole number of counts", 0, 2**16 - 1, accepts=lambda level: level.dtype.kind in "iu")
Ratio = array_field("a number", MIN_POSITIVE, 100)
ToneCurve = array_field(
    "two or more values that rise and never fall,",
    0,
    1,
    None,
    accepts=lambda curve: curve[0] < curve[-1] and (np.diff(curve) >= 0).all(),
)


class Fields(Section):
    """Fields of a profile; others are ignored."""

    model_config = ConfigDict(extra="ignore")


class Jitter(Fields):
    """Standard deviations and correlation of log R/G and log B/G around the neutrals."""

    red: array_field("a number", 0, 10)
    blue: array_field("a number", 0, 10)
    correlation: array_field("a number", -1, 1)


class Illuminant(Fields):
    """RAW of a neutral grey under a standard illuminant, relative to green, and ColorMatrix if known."""

    light: Literal[tuple(LIGHT_SOURCES)]
    red: Ratio
    blue: Ratio
    from_xyz: array_field("3 x 3 numbers", -100, 100, 3, 3) = None


class GroupFields(Section):
    """An entry of a profile's tone groups."""

    weight: array_field("a number", MIN_POSITIVE, 1e6)
    tone_curve: ToneCurve = None
    settings: Annotated[dict, stated("a section of settings")] = Field({})


class ProfileFields(Fields):
    """The fields of a profile, which `cameras/samsung_s7.yaml` documents."""

    name: str
    cfa: Literal[*CFA_ORIGINS, OTHER_CFA]
    black_level: Level
    white_level: Level
    frame: array_field("2 numbers", 2, 1e6, 2)
    neutrals: array_field(
        "a list of red, blue and weight,", MIN_POSITIVE, 100, None, 3, keys=("red", "blue", "weight")
    )
    jitter: Jitter
    illuminants: Annotated[
        list[Illuminant], stated(f"a list of light ({', '.join(LIGHT_SOURCES)}), red and blue")
    ] = ()
    colour_matrices: array_field("N x 3 x 3 numbers", -100, 100, None, 3, 3)
    shot_noise_iso_100: array_field("a number", MIN_POSITIVE, 1)
    read_noise_floor: array_field("a number", 0, 1) = 0
    settings: CapturePrior
    tone_curve: ToneCurve = None
    tone_groups: Annotated[list[dict], stated("a list of weight, tone_curve and settings")] = ()
    jpeg: shares_field("4:4:4", "4:2:2", "4:2:0", "none")
    extra_tone_curves: shares_field("none", "a", "b") = Field(
        {"none": 1, "a": 0, "b": 0}, validate_default=True
    )


def read_profile(given: Any) -> Camera:
    """Build a Camera from a parsed YAML profile. Raises InputError if it is not valid."""
    profile = validate(ProfileFields, given, "profile")
    black, white = int(profile.black_level), int(profile.white_level)
    if black >= white:
        raise InputError(f"black_level {black}, white_level {white}; the white level must be the higher one")
    red, blue = profile.jitter.red, profile.jitter.blue
    covariance = profile.jitter.correlation * red * blue
    weights = profile.neutrals[:, 2]
    groups = [
        read_group(validate(GroupFields, entry, "tone_groups"), profile) for entry in profile.tone_groups
    ]
    total = sum(group.weight for group in groups)
    return Camera(
        name=profile.name,
        cfa=profile.cfa,
        black_level=black,
        white_level=white,
        frame=tuple(map(int, profile.frame)),
        neutrals=profile.neutrals[:, :2],
        weights=weights / weights.sum(),
        spread=np.array([[red**2, covariance], [covariance, blue**2]]),
        colour_matrices=profile.colour_matrices,
        shot_noise=float(profile.shot_noise_iso_100) / 100,
        read_noise_floor=float(profile.read_noise_floor),
        subsampling=profile.jpeg / profile.jpeg.sum(),
        prior=profile.settings,
        extra_curves=profile.extra_tone_curves / profile.extra_tone_curves.sum(),
        tone_curve=profile.tone_curve,
        tone_groups=tuple(replace(group, weight=group.weight / total) for group in groups),
        illuminants={light.light: np.array([light.red, 1, light.blue]) for light in profile.illuminants},
        xyz_matrices={
            light.light: light.from_xyz for light in profile.illuminants if light.from_xyz is not None
        },
    )


def read_group(group: GroupFields, profile: ProfileFields) -> ToneGroup:
    """Build a tone group; what it lacks is that of the profile. Raises InputError if it is not valid."""
    prior = validate(CapturePrior, dict(profile.settings) | group.settings, "tone_groups.settings")
    curve = profile.tone_curve if group.tone_curve is None else group.tone_curve
    return ToneGroup(float(group.weight), prior, curve)


def name_seed(name: str) -> int:
    """Return a random seed derived from an image's name, the same on every machine."""
    return zlib.crc32(name.encode(errors="surrogateescape"))


def typical_read_noise(shot_noise: float) -> float:
    """Return the typical read noise for a shot noise, as variances.

    This is the centre of the distribution that Brooks et al. 2019 found in the Darmstadt Noise Dataset.
    """
    return float(np.exp(2.18 * np.log(shot_noise) + 1.2))
