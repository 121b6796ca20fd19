"""RAW scored after edits: what a photographer does to it, done to the prediction and to the truth.

    python benchmarks/edits.py PHOTO_OR_FOLDER... --pairs PAIRS --stretched 's7_deepisp_*' \\
        --out benchmarks/edits.md

The truth is developed with its own white balance, estimated from the photo, and as bright as the photo, and
then with each edit; the prediction with the same settings. The PSNR of the sRGB pictures, at half size, is
that of an edit of the reconstructed RAW against the same edit of the true RAW. Held-out simulated pairs are
those of benchmarks/heldout_pairs.py, real references those of benchmarks/real.py, each by the models of its
camera. The RAW of --stretched references is known up to a factor, so that the prediction gets the best one.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from heldout_pairs import held_out_pairs, held_out_pictures
from real import Reference, add_references, read_references, reconstruct
from reporting import head, make_parser, publish, row
from tqdm import tqdm

from omf.evaluation.metrics import psnr
from omf.inference.load import load_method
from omf.models.registry import find_model
from omf.raw.bayer import demosaic, from_challenge_counts, merge_greens, unpack
from omf.raw.camera import Camera, load_camera
from omf.raw.camera_colours import neutral_under, temperature, white_of
from omf.raw.isp import camera_to_srgb, clip, encode_srgb, raise_contrast, saturate
from omf.raw.white_balance import estimate_exposure, estimate_neutral
from omf.utils.errors import cli_entry_point

SIZE = 256  # height and width of held-out pairs, pixels
KELVIN = 800  # by which the white balance is changed


def planckian(kelvin: float) -> tuple[float, float]:
    """Return the chromaticity of a black body, 1,667 to 25,000 K (Kim et al. 2002)."""
    t = 1000 / kelvin
    if kelvin < 4000:
        x = ((-0.2661239 * t - 0.2343589) * t + 0.8776956) * t + 0.179910
    else:
        x = ((-3.0258469 * t + 2.1070379) * t + 0.2226347) * t + 0.240390
    if kelvin < 2222:
        y = ((-1.1063814 * x - 1.34811020) * x + 2.18555832) * x - 0.20219683
    elif kelvin < 4000:
        y = ((-0.9549476 * x - 1.37418593) * x + 2.09137015) * x - 0.16748867
    else:
        y = ((3.0817580 * x - 5.87338670) * x + 3.75112997) * x - 0.37001483
    return x, y


def warmer(neutral: np.ndarray, camera: Camera, kelvin: float) -> np.ndarray:
    """Return the neutral of light that is hotter by `kelvin`, by which a picture turns warmer."""
    now = float(np.clip(temperature(white_of(camera, neutral)), 2600, 12_000))
    ratio = neutral_under(camera, planckian(now + kelvin)) / neutral_under(camera, planckian(now))
    return neutral * ratio


Settings = tuple[np.ndarray, float, Callable[[np.ndarray], np.ndarray]]  # neutral, exposure, edit of sRGB


def edits(neutral: np.ndarray, exposure: float, camera: Camera) -> dict[str, Settings]:
    """Return the settings of each edit."""

    def unchanged(srgb: np.ndarray) -> np.ndarray:
        return srgb

    plain = (neutral, exposure, unchanged)
    return {
        "none": plain,
        "-1 EV": (neutral, exposure / 2, unchanged),
        "+1 EV": (neutral, exposure * 2, unchanged),
        f"-{KELVIN} K": (warmer(neutral, camera, -KELVIN), exposure, unchanged),
        f"+{KELVIN} K": (warmer(neutral, camera, KELVIN), exposure, unchanged),
        "saturation": (neutral, exposure, lambda srgb: clip(saturate(srgb, 1.5))),
        "contrast": (neutral, exposure, lambda srgb: raise_contrast(srgb, 1.0)),
    }


def develop(colours: np.ndarray, settings: Settings, matrix: np.ndarray) -> np.ndarray:
    """Develop RAW (N, 3) with an edit, to sRGB in [0, 1]."""
    neutral, exposure, edit = settings
    gains = neutral.max() / neutral
    linear = camera_to_srgb(np.minimum(colours * gains, 1).astype(np.float32), matrix)
    return edit(encode_srgb(clip(linear * np.float32(exposure / neutral.max()))))


def score(predicted: np.ndarray, reference: Reference, camera: Camera) -> dict[str, float]:
    """Return the PSNR of each edit of packed RAW, float64 (h, w, 4) in [0, 1]."""
    height, width = (2 * side for side in reference.raw.shape[:2])
    rgb, truth = reference.rgb[:height, :width], demosaic(unpack(reference.raw).astype(np.float32))
    neutral = estimate_neutral(truth, rgb, camera)
    exposure = 2 ** estimate_exposure(truth, rgb, neutral, camera)
    colours, true = (merge_greens(packed[reference.valid]) for packed in (predicted, reference.raw))
    if reference.is_stretched:
        colours = colours * ((colours * true).sum() / (colours**2).sum())
    matrix = camera.mean_colour_matrix
    return {
        name: psnr(develop(colours, settings, matrix), develop(true, settings, matrix))
        for name, settings in edits(neutral, exposure, camera).items()
    }


def simulated(photos: list[Path], camera: str, count: int) -> Iterator[Reference]:
    """Yield random held-out pairs of a camera as references."""
    pictures, _ = held_out_pictures(photos, load_camera(camera), SIZE)
    for pair in held_out_pairs(pictures, 2 * count, SIZE):
        if pair.is_random:
            raw = from_challenge_counts(pair.truth)
            yield Reference("simulated", pair.rgb, raw, np.ones(raw.shape[:2], bool), camera)


def table(rows: dict[str, list[dict[str, float]]], heading: str) -> list[str]:
    """Return a Markdown table of the means over the pairs of each model."""
    names = list(next(iter(rows.values()))[0])
    lines = head(heading, "pairs", *names)
    for model, scores in rows.items():
        means = (f"{np.mean([entry[name] for entry in scores]):.2f}" for name in names)
        lines.append(row(model, str(len(scores)), *means))
    return [*lines, ""]


@cli_entry_point
def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("photos", nargs="+", type=Path, help="photos, of which the held-out ones are used")
    add_references(parser)
    parser.add_argument("--count", type=int, default=40, help="simulated pairs of each camera")
    arguments = parser.parse_args()
    references = read_references(arguments)
    cameras = {"samsung_s7": "s7", "huawei_p20": "p20", "generic_phone": "phone"}
    real, drawn = {}, {}
    for camera, end in tqdm(cameras.items(), unit="camera", disable=None):
        profile = load_camera(camera)
        pairs = list(simulated(arguments.photos, camera, arguments.count))
        own = [item for item in references if item.camera == end]
        for name in (camera, "unprocess", "inverse"):
            method = load_method(replace(find_model(name), camera=camera), "cpu")[0]
            label = name if name == camera else f"{name}, {camera}"
            for rows, items in ((drawn, pairs), (real, own)):
                rows[label] = [score(reconstruct(method, item), item, profile) for item in items]
    lines = table({label: scores for label, scores in real.items() if scores}, "real references")
    publish(lines + table(drawn, "simulated held-outs"), arguments.out)


if __name__ == "__main__":
    main()
