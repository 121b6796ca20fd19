"""Camera profiles from measured pairs: distributions over the pairs, and the YAML file. No torch here."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from omf.calibration.calibrate import CHROMA, PairFit, average_curve
from omf.calibration.pair_fit import KNOTS
from omf.raw.camera import Camera, mean_of, read_profile
from omf.raw.isp import encode_srgb
from omf.raw.simulator import TONE_KNOTS, apply_srgb_curves, encode_uniform, mean_settings
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

    fields: dict
    origins: dict[str, str]  # {name of a field or setting: comment}
    open: list[str]  # one line each
    num_pairs: int


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
    median = np.median([fit.fit.residual for fit in fits])
    good = [fit for fit in fits if fit.fit.residual >= median - MAX_LOSS]
    lines = [
        f"{printable(fit.name)}: residual {fit.fit.residual:.1f} dB, median {median:.1f};"
        " its colours, tones and gain are left out"
        for fit in fits
        if fit.fit.residual < median - MAX_LOSS
    ]
    few = len(good) < MIN_SPREAD_PAIRS
    if few:
        lines.append(f"spread: {count_pairs(good)}, {MIN_SPREAD_PAIRS} needed; the generic spread stays")
    fields, origins = {"name": name}, {}
    for summarise in (sensor_fields, neutral_fields, matrix_fields, setting_fields, jpeg_field):
        found, comments, still_open = summarise(
            fits if summarise in (sensor_fields, jpeg_field) else good, generic
        )
        fields |= found
        origins |= comments
        lines += still_open
    fields["tone_curve"] = tone_curve(good, fields)
    origins["tone_curve"] = f"median of {count_pairs(good)}"
    return Profile(fields, origins, lines, len(fits))


Summary = tuple[dict, dict[str, str], list[str]]  # fields, origins and open lines


def count_pairs(fits: Sequence[PairFit]) -> str:
    """Return the number of pairs in words."""
    return f"{len(fits)} pair" + "s" * (len(fits) != 1)


def sensor_fields(fits: Sequence[PairFit], generic: Camera) -> Summary:
    """Summarise CFA, levels and frame, the most frequent ones, and the noise at ISO 100."""
    sensors = [fit.sensor for fit in fits]
    sensor, count = Counter(sensors).most_common(1)[0]
    lines = []
    if count < len(fits):
        lines.append(f"sensor: {count} of {count_pairs(fits)} have {sensor.cfa}, black {sensor.black_level}")
    if sensor.frame is None:
        lines.append("frame: unknown, since the pairs may be crops; the generic one stays")
    measured = [
        fit.noise[0] / (fit.iso / 100) for fit in fits if fit.noise is not None and fit.iso is not None
    ]
    if not measured:
        lines.append("shot_noise_iso_100: no pair with noise and the ISO in its EXIF; the generic one stays")
    fields = {
        "cfa": sensor.cfa,
        "black_level": sensor.black_level,
        "white_level": sensor.white_level,
        "frame": list(sensor.frame or generic.frame),
        "shot_noise_iso_100": float(np.median(measured)) if measured else generic.shot_noise * 100,
    }
    origins = {
        "frame": "of the RAW files" if sensor.frame else NOT_MEASURED,
        "shot_noise_iso_100": f"median of {len(measured)}" if measured else NOT_MEASURED,
    }
    return fields, origins, lines


def neutral_fields(fits: Sequence[PairFit], generic: Camera) -> Summary:
    """Summarise the illuminants: each pair's, or the medians of groups along the principal axis."""
    greys = [fit for fit in fits if fit.fit.has_greys]
    lines = []
    if len(greys) >= MIN_SPREAD_PAIRS:
        fits = greys
    elif len(greys) < len(fits):
        lines.append(
            f"neutrals: {len(fits) - len(greys)} of {count_pairs(fits)} without greys;"
            " theirs are extrapolated from colours"
        )
    logs = np.log([fit.fit.neutral for fit in fits])
    if len(fits) <= MAX_LISTED_NEUTRALS:
        points, names = logs, [printable(fit.name) for fit in fits]
        origin = "one of each pair"
    else:
        points = group_medians(logs)
        names = [f"group {number + 1}" for number in range(len(points))]
        origin = f"medians of groups of {count_pairs(fits)}, along the principal axis"
    neutrals = [
        {"light": light, "red": round(red, 4), "blue": round(blue, 4), "weight": 1.0}
        for light, (red, blue) in zip(names, np.exp(points).tolist())
    ]
    covariance, comment = generic.spread, "generic_phone's"
    if len(fits) >= MIN_SPREAD_PAIRS:
        # a kernel density with Scott's bandwidth in two dimensions
        covariance = np.cov(logs.T) * len(points) ** (-1 / 3) + np.eye(2) * MIN_DEVIATION**2
        comment = f"from {count_pairs(fits)}"
    red, blue = np.sqrt(np.diag(covariance))
    jitter = {"red": red, "blue": blue, "correlation": covariance[0, 1] / (red * blue)}
    rounded = {key: round(float(value), 4) for key, value in jitter.items()}
    return {"neutrals": neutrals, "jitter": rounded}, {"neutrals": origin, "jitter": comment}, lines


def group_medians(rows: np.ndarray) -> np.ndarray:
    """Return the medians of `MAX_GROUPS` equal groups along the principal axis: (N, C) -> (6, C)."""
    axis = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2][0]
    order = np.argsort(rows @ axis)
    return np.array([np.median(rows[part], axis=0) for part in np.array_split(order, MAX_GROUPS)])


def matrix_fields(fits: Sequence[PairFit], generic: Camera) -> Summary:
    """Summarise the colour matrices: those of pairs with colours, at most `MAX_GROUPS`.

    With few, the generic matrices are shifted so that their mean is the median of the measured ones.
    """
    matrices = np.array([fit.fit.colour_matrix for fit in fits if fit.fit.has_colours])
    lines = []
    if len(matrices) == 0:
        origin = NOT_MEASURED
        lines.append("colour_matrices: no pair has enough colours; the generic ones stay")
        matrices = generic.colour_matrices
    elif len(matrices) < MIN_SPREAD_PAIRS:
        origin = f"generic_phone's, shifted to the median of {len(matrices)}"
        middle = np.median(matrices, axis=0)
        middle /= middle.sum(axis=-1, keepdims=True)
        lines.append(
            f"colour_matrices: their spread, measured in {len(matrices)} of the pairs; the generic one stays"
        )
        matrices = generic.colour_matrices - generic.mean_colour_matrix + middle
    else:
        origin = f"from {len(matrices)} pairs; they include the ISP's saturation"
        distances = np.abs(matrices - np.median(matrices, axis=0)).max(axis=(1, 2))
        matrices = matrices[distances <= MAX_DISTANCE * np.median(distances)]
        if len(matrices) > MAX_GROUPS:
            matrices = group_medians(matrices.reshape(-1, 9)).reshape(-1, 3, 3)
            matrices /= matrices.sum(axis=-1, keepdims=True)
    return {"colour_matrices": matrices.round(4).tolist()}, {"colour_matrices": origin}, lines


def setting_fields(fits: Sequence[PairFit], generic: Camera) -> Summary:
    """Summarise the distributions of the settings."""
    settings = generic.prior.model_dump(exclude_none=True)
    origins = dict.fromkeys((*UNMEASURED, "exposure"), NOT_MEASURED)
    lines = [f"{', '.join(UNMEASURED)}: not measured; the generic prior stays"]
    gains = [fit.fit.gain for fit in fits if fit.fit.has_highlights]
    exposures = [fit.exposure for fit in fits if fit.fit.has_highlights]
    if exposures:
        origins["exposure"] += f"; brightest hundredth of the pairs' RAW: {np.median(exposures):.2f}"
    lines.append("exposure: a pair does not tell the light from the scene; the generic prior stays")
    noise = [fit.noise[0] for fit in fits if fit.noise is not None]
    isos = [fit.iso for fit in fits if fit.iso is not None]
    if not isos:
        isos = [shot / generic.shot_noise for shot in noise]
    for name, values, floor, missing in (
        ("gain", gains, 1.0, "no pair has highlights below white"),
        ("iso", isos, 0.0, "no pair tells its noise or ISO"),
        ("quality", [fit.quality for fit in fits if fit.quality is not None], 0.0, "no photo is a JPEG"),
    ):
        if values:
            settings[name], origins[name] = fit_distribution(values, settings[name], floor)
            if len(values) < MIN_SPREAD_PAIRS <= len(fits):
                lines.append(
                    f"{name}: its spread, measured in {len(values)} of the pairs; the generic one stays"
                )
        else:
            origins[name] = NOT_MEASURED
            lines.append(f"{name}: {missing}; the generic prior stays")
    settings["saturation"] = {"uniform": [1.0, 1.0]}
    origins["saturation"] = "in the matrices"
    if len(fits) >= MIN_SPREAD_PAIRS:
        for name in ("midtones", "contrast", "black_point"):
            settings[name], origins[name] = {"uniform": [0.0, 0.0]}, "in tone_curve"
        settings["white_point"], origins["white_point"] = {"uniform": [1.0, 1.0]}, "in tone_curve"
        deviation = tone_deviation(fits)
        settings["tone_deviation"] = {"uniform": [round(deviation, 3)] * 2}
        origins["tone_deviation"] = f"from {count_pairs(fits)}"
    else:
        origins["midtones"] = origins["contrast"] = "generic_phone's spread; tone_curve corrects its mean"
    return {"settings": settings}, origins, lines


def fit_distribution(values: Sequence[float], generic: dict, floor: float) -> tuple[dict, str]:
    """Return a distribution of measured values, and its origin.

    With few values it has the generic spread around their mean, but none below `floor` and, of a uniform one,
    none above 100.
    """
    ((kind, _),) = generic.items()
    count = f"{len(values)} pair" + "s" * (len(values) != 1)
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


def jpeg_field(fits: Sequence[PairFit], generic: Camera) -> Summary:
    """Summarise the chroma subsampling of the JPEGs."""
    kinds = [fit.subsampling for fit in fits if fit.subsampling is not None]
    shares = generic.subsampling
    origin, lines = f"from {len(kinds)} JPEGs", []
    if not kinds:
        origin = NOT_MEASURED
        lines = ["jpeg: no photo is a JPEG; the generic shares stay"]
    elif len(kinds) < MIN_SPREAD_PAIRS:
        origin = f"generic_phone's and {len(kinds)} JPEG" + "s" * (len(kinds) != 1)
        shares = np.bincount(kinds, minlength=4) / len(kinds) / 2 + shares / 2
    else:
        shares = np.bincount(kinds, minlength=4) / len(kinds)
    return {"jpeg": dict(zip((*CHROMA, "none"), shares.round(3).tolist()))}, {"jpeg": origin}, lines


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
    settings = mean_settings(read_profile(fields))
    levels = np.linspace(0, 1, 4097)
    before = apply_srgb_curves(encode_uniform(levels**2, settings), settings)
    linear = np.interp(np.linspace(0, 1, CURVE_POINTS), before, levels**2)
    curve = np.maximum.accumulate(forward_curve(average_curve(list(fits)))(linear))
    return curve.clip(0, 1).round(4).tolist()


def profile_text(profile: Profile) -> str:
    """Return a profile as YAML with the origin of each figure."""
    fields, origins = profile.fields, profile.origins

    def flow(value: object) -> str:
        return json.dumps(value, ensure_ascii=True)

    def remark(name: str) -> str:
        return f"  # {origins[name]}" if name in origins else ""

    lines = [
        f"# Measured by `omf calibrate` on {profile.num_pairs} pair" + "s" * (profile.num_pairs != 1) + ".",
        "# samsung_s7.yaml explains the fields; all that the pairs leave open is that of generic_phone.yaml.",
        *(f"# open: {json.dumps(line)[1:-1]}" for line in profile.open),
        "",
        f"name: {flow(fields['name'])}",
        "",
    ]
    names = ("cfa", "black_level", "white_level", "frame", "shot_noise_iso_100")
    lines += [f"{name}: {flow(fields[name])}{remark(name)}" for name in names]
    lines += ["", f"neutrals:{remark('neutrals')}"]
    lines += [f"  - {flow(light)}" for light in fields["neutrals"]]
    lines += [f"jitter: {flow(fields['jitter'])}{remark('jitter')}"]
    lines += ["", f"colour_matrices:{remark('colour_matrices')}"]
    lines += [f"  - {flow(matrix)}" for matrix in fields["colour_matrices"]]
    lines += ["", f"tone_curve:{remark('tone_curve')}"]
    lines += [f"  - {flow(value)}" for value in fields["tone_curve"]]
    lines += ["", "settings:"]
    lines += [f"  {name}: {flow(value)}{remark(name)}" for name, value in fields["settings"].items()]
    lines += [f"jpeg: {flow(fields['jpeg'])}{remark('jpeg')}"]
    return "\n".join(lines) + "\n"
