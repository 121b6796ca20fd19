"""Camera profiles from measured pairs: distributions over the pairs, and the YAML file. No torch here."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from omf.calibration.calibrate import CHROMA, PairFit, average_curve
from omf.io.camera_profile import profile_text
from omf.raw.camera import Camera, mean_of, read_profile
from omf.raw.global_fit import KNOTS, mean_rendering
from omf.raw.isp import encode_srgb
from omf.raw.simulator import TONE_KNOTS
from omf.utils.console import count_of
from omf.utils.errors import printable

MIN_SPREAD_PAIRS = 5  # pairs from which a spread is measured; with fewer the generic one stays
MAX_LISTED_NEUTRALS = 8  # more pairs are represented by `MAX_GROUPS` neutrals
MAX_GROUPS = 6
MAX_DISTANCE = 3.0  # of a matrix from the median one, in median distances; others are left out
MAX_LOSS = 8.0  # dB below the median residual, from which a pair's colours and tones are left out
CURVE_POINTS = 33  # of the profile's tone curve
MIN_DEVIATION = 0.02  # of the logarithms of neutrals and gains: the error of a measurement
MIN_WIDTH = 0.05  # half the range of the logarithm of a gain near 1
UNMEASURED = ("shading", "denoising", "local_contrast", "sharpening")
NOT_MEASURED = "generic_phone's, not measured"


@dataclass(frozen=True)
class Profile:
    """A profile as in cameras/*.yaml, the origin of its figures, and all that the pairs leave open."""

    num_pairs: int
    fields: dict
    origins: dict[str, str] = field(default_factory=dict)  # {name of a field or setting: comment}
    open: list[str] = field(default_factory=list)  # one line each


def make_profile(name: str, fits: Sequence[PairFit], generic: Camera) -> Profile:
    """Summarise measured pairs.

    Args:
        name: name of the camera.
        fits: measured pairs, one or more.
        generic: profile that fills in all that the pairs leave open.

    Returns:
        Profile whose means are the pairs' and whose spread is that of the pairs, or with fewer than 5 pairs
        the generic one around their means.
    """
    profile, good = Profile(len(fits), {"name": name}), []
    median = np.median([fit.fit.residual for fit in fits])
    for fit in fits:
        if fit.fit.residual >= median - MAX_LOSS:
            good.append(fit)
        else:
            profile.open.append(
                f"{printable(fit.name)}: residual {fit.fit.residual:.1f} dB, median {median:.1f};"
                " its colours, tones and gain are left out"
            )
    count = count_of(len(good), "pair")
    if len(good) < MIN_SPREAD_PAIRS:
        profile.open.append(f"spread: {count}, {MIN_SPREAD_PAIRS} needed; the generic spread stays")
    add_sensor(profile, fits, generic)
    add_neutrals(profile, good, generic)
    add_matrices(profile, good, generic)
    add_settings(profile, good, generic)
    add_subsampling(profile, fits, generic)
    profile.fields["tone_curve"] = tone_curve(good, profile.fields)
    profile.origins["tone_curve"] = f"median of {count}"
    return profile


def add_sensor(profile: Profile, fits: Sequence[PairFit], generic: Camera) -> None:
    """Add CFA, levels and frame, the most frequent ones, and the noise at ISO 100."""
    sensor, count = Counter(fit.sensor for fit in fits).most_common(1)[0]
    if count < len(fits):
        pairs = count_of(len(fits), "pair")
        profile.open.append(f"sensor: {count} of {pairs} have {sensor.cfa}, black {sensor.black_level}")
    if sensor.frame is None:
        profile.open.append("frame: unknown, since the pairs may be crops; the generic one stays")
    noise = [fit.noise[0] / (fit.iso / 100) for fit in fits if fit.noise is not None and fit.iso is not None]
    if not noise:
        profile.open.append(
            "shot_noise_iso_100: no pair with noise and the ISO in its EXIF; the generic one stays"
        )
    profile.fields.update(
        cfa=sensor.cfa,
        black_level=sensor.black_level,
        white_level=sensor.white_level,
        frame=list(sensor.frame or generic.frame),
        shot_noise_iso_100=float(np.median(noise)) if noise else generic.shot_noise * 100,
    )
    profile.origins["frame"] = "of the RAW files" if sensor.frame else NOT_MEASURED
    profile.origins["shot_noise_iso_100"] = f"median of {len(noise)}" if noise else NOT_MEASURED


def add_neutrals(profile: Profile, fits: Sequence[PairFit], generic: Camera) -> None:
    """Add the illuminants: each pair's, or the medians of groups along the principal axis."""
    greys = [fit for fit in fits if fit.fit.has_greys]
    if len(greys) >= MIN_SPREAD_PAIRS:
        fits = greys
    elif len(greys) < len(fits):
        profile.open.append(
            f"neutrals: {len(fits) - len(greys)} of {count_of(len(fits), 'pair')} without greys;"
            " theirs are extrapolated from colours"
        )
    count = count_of(len(fits), "pair")
    logs = np.log([fit.fit.neutral for fit in fits])
    if len(fits) <= MAX_LISTED_NEUTRALS:
        points, names = logs, [printable(fit.name) for fit in fits]
        profile.origins["neutrals"] = "one of each pair"
    else:
        points = group_medians(logs)
        names = [f"group {number + 1}" for number in range(len(points))]
        profile.origins["neutrals"] = f"medians of groups of {count}, along the principal axis"
    profile.fields["neutrals"] = [
        {"light": light, "red": round(red, 4), "blue": round(blue, 4), "weight": 1.0}
        for light, (red, blue) in zip(names, np.exp(points).tolist())
    ]
    covariance, profile.origins["jitter"] = generic.spread, "generic_phone's"
    if len(fits) >= MIN_SPREAD_PAIRS:
        # a kernel density with Scott's bandwidth in two dimensions
        covariance = np.cov(logs.T) * len(points) ** (-1 / 3) + np.eye(2) * MIN_DEVIATION**2
        profile.origins["jitter"] = f"from {count}"
    red, blue = np.sqrt(np.diag(covariance))
    jitter = {"red": red, "blue": blue, "correlation": covariance[0, 1] / (red * blue)}
    profile.fields["jitter"] = {key: round(float(value), 4) for key, value in jitter.items()}


def group_medians(rows: np.ndarray) -> np.ndarray:
    """Return the medians of `MAX_GROUPS` equal groups along the principal axis: (N, C) -> (6, C)."""
    axis = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2][0]
    order = np.argsort(rows @ axis)
    return np.array([np.median(rows[part], axis=0) for part in np.array_split(order, MAX_GROUPS)])


def add_matrices(profile: Profile, fits: Sequence[PairFit], generic: Camera) -> None:
    """Add the colour matrices: those of pairs with colours, at most `MAX_GROUPS`.

    With few, the generic matrices are shifted so that their mean is the median of the measured ones.
    """
    matrices = np.array([fit.fit.colour_matrix for fit in fits if fit.fit.has_colours])
    count = len(matrices)
    if count == 0:
        origin = NOT_MEASURED
        profile.open.append("colour_matrices: no pair has enough colours; the generic ones stay")
        matrices = generic.colour_matrices
    elif count < MIN_SPREAD_PAIRS:
        origin = f"generic_phone's, shifted to the median of {count}"
        profile.open.append(
            f"colour_matrices: their spread, measured in {count} of the pairs; the generic one stays"
        )
        middle = np.median(matrices, axis=0)
        middle /= middle.sum(axis=-1, keepdims=True)
        matrices = generic.colour_matrices - generic.mean_colour_matrix + middle
    else:
        origin = f"from {count} pairs; they include the ISP's saturation"
        distances = np.abs(matrices - np.median(matrices, axis=0)).max(axis=(1, 2))
        matrices = matrices[distances <= MAX_DISTANCE * np.median(distances)]
        if len(matrices) > MAX_GROUPS:
            matrices = group_medians(matrices.reshape(-1, 9)).reshape(-1, 3, 3)
            matrices /= matrices.sum(axis=-1, keepdims=True)
    profile.fields["colour_matrices"] = matrices.round(4).tolist()
    profile.origins["colour_matrices"] = origin


def add_settings(profile: Profile, fits: Sequence[PairFit], generic: Camera) -> None:
    """Add the distributions of the settings."""
    settings = generic.prior.model_dump(exclude_none=True)
    origins, lines = profile.origins, profile.open
    profile.fields["settings"] = settings
    origins |= dict.fromkeys((*UNMEASURED, "exposure"), NOT_MEASURED)
    bright = [fit for fit in fits if fit.fit.has_highlights]
    if bright:
        exposure = np.median([fit.exposure for fit in bright])
        origins["exposure"] += f"; brightest hundredth of the pairs' RAW: {exposure:.2f}"
    lines.append(f"{', '.join(UNMEASURED)}: not measured; the generic prior stays")
    lines.append("exposure: a pair does not tell the light from the scene; the generic prior stays")
    isos = [fit.iso for fit in fits if fit.iso is not None] or [
        fit.noise[0] / generic.shot_noise for fit in fits if fit.noise is not None
    ]
    qualities = [fit.quality for fit in fits if fit.quality is not None]
    for name, values, floor, missing in (
        ("gain", [fit.fit.gain for fit in bright], 1.0, "no pair has highlights below white"),
        ("iso", isos, 0.0, "no pair tells its noise or ISO"),
        ("quality", qualities, 0.0, "no photo is a JPEG"),
    ):
        if not values:
            origins[name] = NOT_MEASURED
            lines.append(f"{name}: {missing}; the generic prior stays")
            continue
        settings[name], origins[name] = fit_distribution(values, settings[name], floor)
        if len(values) < MIN_SPREAD_PAIRS <= len(fits):
            lines.append(f"{name}: its spread, measured in {len(values)} of the pairs; the generic one stays")
    fixed = {"saturation": (1.0, "in the matrices")}
    if len(fits) >= MIN_SPREAD_PAIRS:
        fixed |= dict.fromkeys(("midtones", "contrast", "black_point"), (0.0, "in tone_curve"))
        fixed["white_point"] = (1.0, "in tone_curve")
        fixed["tone_deviation"] = (round(tone_deviation(fits), 3), f"from {count_of(len(fits), 'pair')}")
    else:
        origins["midtones"] = origins["contrast"] = "generic_phone's spread; tone_curve corrects its mean"
    for name, (value, origin) in fixed.items():
        settings[name], origins[name] = {"uniform": [value, value]}, origin


def fit_distribution(values: Sequence[float], generic: dict, floor: float) -> tuple[dict, str]:
    """Return a distribution of measured values, and its origin.

    With few values it has the generic spread around their mean, but none below `floor` and, of a uniform one,
    none above 100.
    """
    ((kind, _),) = generic.items()
    count = count_of(len(values), "pair")
    few = len(values) < MIN_SPREAD_PAIRS
    origin = f"generic_phone's spread around {count}" if few else f"from {count}"
    if kind == "uniform":  # the JPEG's quality
        low, high = min(values), max(values)
        if few:
            middle = float(np.mean(values))
            width = min((generic[kind][1] - generic[kind][0]) / 2, 100 - middle)
            low, high = middle - width, middle + width
        return {"uniform": [round(float(low), 1), round(float(high), 1)]}, origin
    logs = np.log(values)
    if not few:
        deviation = float(max(logs.std(ddof=1), MIN_DEVIATION))
        return {"log_normal": [round(float(np.exp(np.median(logs))), 4), round(deviation, 3)]}, origin
    middle = float(logs.mean())
    width = np.log(generic[kind][1] / mean_of(generic))
    if floor > 0:
        width = max(min(width, middle - np.log(floor)), MIN_WIDTH)
    bounds = np.exp([middle - width, middle + width])
    return {"log_uniform": [round(float(bound), 4) for bound in bounds]}, origin


def add_subsampling(profile: Profile, fits: Sequence[PairFit], generic: Camera) -> None:
    """Add the chroma subsampling of the JPEGs."""
    kinds = [fit.subsampling for fit in fits if fit.subsampling is not None]
    shares, origin = generic.subsampling, NOT_MEASURED
    if not kinds:
        profile.open.append("jpeg: no photo is a JPEG; the generic shares stay")
    elif len(kinds) < MIN_SPREAD_PAIRS:
        origin = f"generic_phone's and {count_of(len(kinds), 'JPEG')}"
        shares = np.bincount(kinds, minlength=4) / len(kinds) / 2 + shares / 2
    else:
        origin = f"from {len(kinds)} JPEGs"
        shares = np.bincount(kinds, minlength=4) / len(kinds)
    profile.fields["jpeg"] = dict(zip((*CHROMA, "none"), shares.round(3).tolist()))
    profile.origins["jpeg"] = origin


def forward_curve(curve: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from linear to sRGB values of a fitted curve, (19,) at `KNOTS`."""
    encoded = np.maximum.accumulate(encode_srgb(curve) + 1e-9 * KNOTS)
    return lambda linear: np.interp(encode_srgb(linear), encoded, KNOTS)


def tone_deviation(fits: Sequence[PairFit]) -> float:
    """Return the deviation of the log slope of the pairs' curves from their mean one."""
    knots = np.linspace(0, 1, TONE_KNOTS)
    linear = np.interp(knots, KNOTS, average_curve(list(fits)))
    slopes = np.array([np.diff(forward_curve(fit.fit.curve)(linear)) for fit in fits]) / np.diff(knots)
    return float(np.clip(np.log(np.maximum(slopes, 0.1)).std(axis=0, ddof=1).mean(), MIN_DEVIATION, 1))


def tone_curve(fits: Sequence[PairFit], fields: dict) -> list[float]:
    """Return the curve by which the profile's mean ISP gets the pairs' mean tones.

    It takes the place of all that the means of local contrast, midtones and contrast do not explain.
    """
    linear, before = mean_rendering(read_profile(fields))
    linear = np.interp(np.linspace(0, 1, CURVE_POINTS), before, linear)
    curve = np.maximum.accumulate(forward_curve(average_curve(list(fits)))(linear))
    return curve.clip(0, 1).round(4).tolist()


def calibrated_text(profile: Profile) -> str:
    """Return a profile as YAML with the origin of each figure."""
    header = [
        f"Measured by `omf calibrate` on {count_of(profile.num_pairs, 'pair')}.",
        "samsung_s7.yaml explains the fields; all that the pairs leave open is that of generic_phone.yaml.",
        *(f"open: {json.dumps(line)[1:-1]}" for line in profile.open),
    ]
    return profile_text(profile.fields, header, profile.origins)
