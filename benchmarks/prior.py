"""Check of a camera profile's prior against real references.

    python benchmarks/prior.py PHOTOS... --camera samsung_s7 --pairs PAIRS --only 's7_*' \\
        --stretched 's7_deepisp_*' --published PHOTO ANSWER --out benchmarks/prior.md --plot docs/prior.png

The simulator makes pairs of the photos' scenes with the profile, without the challenge's extra tone curves.
Statistics of a pair: the tone ratio, which is RAW green over linear sRGB green of nearly grey pixels at
several levels of the photo; their white balance; the colour matrix from linear sRGB to RAW; and the mean RAW.
The rank of a reference is the share of the simulated pairs with a smaller statistic. If the prior is right,
the ranks of the references are spread evenly from 0 to 1; those at one end say that it is biased. Tone ratios
of a stretched reference are compared relative to their mean. For the other arguments see benchmarks/real.py.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from real import add_references, read_references
from reporting import head, make_parser, publish, row, save_plot
from tqdm import tqdm

from omf.io.photos import find_photos
from omf.raw.bayer import halved, merge_greens, pack
from omf.raw.camera import Camera, load_camera
from omf.raw.isp import decode_srgb, encode_srgb
from omf.training.sources import SimulatedPictures, load_scenes
from omf.utils.errors import cli_entry_point

LEVELS = np.array([0.02, 0.05, 0.1, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.92])  # sRGB green
LEVEL_WIDTH = 0.1  # relative half width of a level, at least 0.01
MAX_SATURATION = 0.25  # of nearly grey pixels, in linear sRGB
MIN_PIXELS = 30  # for a statistic
MIN_COLOUR = 0.03  # ratio of the singular values of the colours, below which the matrix is undetermined
SIZE = 336
NAMES = [
    *(f"tone ratio at {level:g}" for level in LEVELS),
    "white balance R/G",
    "white balance B/G",
    *(f"matrix {row}{column}" for row in "RGB" for column in "RGB"),
    "mean RAW green over mean linear sRGB green",
]


def statistics(rgb: np.ndarray, packed: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Return `NAMES` of a pair; NaN where it has too few pixels.

    Args:
        rgb: sRGB (H, W, 3).
        packed: RAW (H/2, W/2, 4) in [0, 1].
        valid: Bayer cells that count, bool (H/2, W/2); None: all.
    """
    # averaged in linear light, as the RAW of a cell is
    linear = halved(decode_srgb(rgb / np.float32(np.iinfo(rgb.dtype).max))).reshape(-1, 3)
    raw = merge_greens(packed).reshape(-1, 3)
    if valid is not None:
        linear, raw = linear[valid.ravel()], raw[valid.ravel()]
    photo = encode_srgb(linear)
    grey = linear.min(axis=1) > (1 - MAX_SATURATION) * linear.max(axis=1)
    values = []
    for level in LEVELS:
        near = grey & (np.abs(photo[:, 1] - level) < max(LEVEL_WIDTH * level, 0.01))
        enough = near.sum() >= MIN_PIXELS
        values.append(np.median(raw[near, 1]) / np.median(linear[near, 1]) if enough else np.nan)
    middle = grey & (photo[:, 1] > 0.2) & (photo[:, 1] < 0.8)
    for channel in (0, 2):
        ratio = raw[middle, channel] / np.maximum(raw[middle, 1], 1e-6)
        values.append(np.median(ratio) if middle.sum() >= MIN_PIXELS else np.nan)
    values += fit_matrix(linear, raw, photo.max(axis=1) < 0.95)
    return np.array([*values, raw[:, 1].mean() / linear[:, 1].mean()])


def fit_matrix(linear: np.ndarray, raw: np.ndarray, unclipped: np.ndarray) -> list[float]:
    """Return the matrix from linear sRGB to RAW, rows normalised to 1; NaN if it is undetermined."""
    if unclipped.sum() >= MIN_PIXELS:
        matrix, _, _, singular = np.linalg.lstsq(linear[unclipped], raw[unclipped], rcond=None)
        if singular[-1] > MIN_COLOUR * singular[0]:
            return (matrix / matrix.sum(axis=0)).T.ravel().tolist()
    return [np.nan] * 9


def simulate(camera: Camera, scenes: Sequence[np.ndarray], count: int, size: int) -> np.ndarray:
    """Return the statistics of simulated pairs, (count, len(NAMES)).

    Args:
        camera: camera profile; its extra tone curves are left out.
        scenes: linear scenes, (H, W, 3), larger than `size` by 2 pixels or more.
        count: number of pairs.
        size: height and width of a pair in pixels.
    """
    pictures = SimulatedPictures(scenes, [], replace(camera, extra_curves=np.array([1.0, 0.0, 0.0])))
    rows = []
    for number in tqdm(range(count), unit="pair", disable=None):
        rgb, bayer, _ = pictures.draw(np.random.default_rng([1, number]), size, lambda luma: True)
        rows.append(statistics(rgb, pack(bayer)))
    return np.array(rows)


def ranks(simulated: np.ndarray, values: np.ndarray, is_stretched: bool = False) -> np.ndarray:
    """Return the rank of each statistic of a reference among simulated pairs; NaN: it has none.

    Args:
        simulated: statistics of the pairs, (N, len(NAMES)); NaN: a pair has none.
        values: statistics of the reference, (len(NAMES),).
        is_stretched: True if the RAW is known up to a factor.
    """
    values = np.broadcast_to(values, simulated.shape)
    known = ~np.isnan(simulated + values)
    if is_stretched:
        simulated, values = relative_tones(simulated, known), relative_tones(values, known)
        known[:, -1] = False  # the mean RAW
    smaller = ((simulated < values) & known).sum(axis=0)
    return np.where(known.sum(axis=0) >= MIN_PIXELS, smaller / np.maximum(known.sum(axis=0), 1), np.nan)


def relative_tones(rows: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return statistics with tone ratios relative to the geometric mean of the known ones in each row."""
    tones = slice(0, len(LEVELS))
    logs = np.log(np.where(known, rows, np.nan)[:, tones])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # rows without any
        means = np.nanmean(logs, axis=1, keepdims=True)
    return np.concatenate([np.exp(logs - means), rows[:, len(LEVELS) :]], axis=1)


def draw(bands: np.ndarray, references: dict[str, np.ndarray], path: Path) -> None:
    """Plot the tone ratios of the references over the band of the prior."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    tones = slice(0, len(LEVELS))
    axes.fill_between(LEVELS, bands[0, tones], bands[2, tones], alpha=0.25, label="simulated, 5 to 95 %")
    axes.plot(LEVELS, bands[1, tones], linestyle="--", label="simulated, median")
    for name, values in references.items():
        axes.plot(LEVELS, values[tones], marker="o", markersize=3, label=name)
    axes.set(xlabel="photo, green, sRGB", ylabel="RAW green / linear sRGB green", yscale="log")
    ticks = (0.2, 0.5, 1, 2, 5)
    axes.set_yticks(ticks, labels=map(str, ticks))
    axes.yaxis.set_minor_formatter("")
    axes.legend(fontsize=8)
    save_plot(figure, path)


def rank_cell(value: float, rank: float) -> str:
    """Format a statistic of a reference and its rank."""
    if np.isnan(rank):
        return ""
    return f"{value:.3f} ({rank:.2f})" if 0.1 <= rank <= 0.9 else f"**{value:.3f} ({rank:.2f})**"


@cli_entry_point
def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("photos", nargs="+", type=Path, help="photos to take scenes from")
    parser.add_argument("--camera", default="samsung_s7")
    add_references(parser)
    parser.add_argument("--count", type=int, default=3000, help="number of simulated pairs")
    parser.add_argument("--plot", type=Path, help="PNG of the tone ratios")
    arguments = parser.parse_args()
    camera = load_camera(arguments.camera)
    scenes = load_scenes(find_photos(arguments.photos), SIZE + 2, camera)
    simulated = simulate(camera, scenes, arguments.count, SIZE)
    bands = np.nanpercentile(simulated, (5, 50, 95), axis=0)
    references = read_references(arguments)
    values = {item.name: statistics(item.rgb, item.raw, item.valid) for item in references}
    all_ranks = {item.name: ranks(simulated, values[item.name], item.is_stretched) for item in references}
    lines = head("Statistic", "5 %", "median", "95 %", *values)
    for index, name in enumerate(NAMES):
        cells = [f"{value:.3f}" for value in bands[:, index]]
        cells += [rank_cell(values[item][index], all_ranks[item][index]) for item in values]
        lines.append(row(name, *cells))
    means = [f"{np.nanmean(all_ranks[item][: len(LEVELS)]):.2f}" for item in values]
    lines.append("| mean rank of the tone ratios | | | | " + " | ".join(means) + " |")
    lines += ["", "In brackets: the rank among the simulated pairs; bold: outside of 0.1 to 0.9."]
    publish(lines, arguments.out)
    if arguments.plot:
        shown = {item.name: values[item.name] for item in references if not item.is_stretched}
        draw(bands, shown, arguments.plot)


if __name__ == "__main__":
    main()
