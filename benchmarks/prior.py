"""Check of a camera profile's prior against real references.

    python benchmarks/prior.py PHOTOS... --camera samsung_s7 --pairs PAIRS --only 's7_*' \\
        --published PHOTO ANSWER --out benchmarks/prior.md --plot docs/prior.png

The simulator makes pairs of the photos' scenes with the profile. Statistics of a pair: the tone ratio, which
is RAW green over linear sRGB green of nearly grey pixels at several levels of the photo; their white balance;
the colour matrix from linear sRGB to RAW; and the mean RAW. A prior contains reality if the statistics of
each reference are within the 5 to 95 % band of the simulated pairs. PAIRS, PHOTO and ANSWER as for
benchmarks/real.py.
"""

import argparse
from pathlib import Path

import numpy as np
from real import add_references, read_references, to_rgb
from tqdm import tqdm

from omf.io.photos import find_photos
from omf.raw.bayer import half_size_photo, pack
from omf.raw.camera import load_camera
from omf.raw.isp import decode_srgb
from omf.training.sources import SimulatedPictures, load_scenes
from omf.utils.errors import cli_entry_point
from omf.utils.files import atomic_write, save_text

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


def statistics(rgb: np.ndarray, packed: np.ndarray) -> np.ndarray:
    """Return `NAMES` of a pair: sRGB (H, W, 3), packed RAW (H/2, W/2, 4) in [0, 1]. NaN: too few pixels."""
    photo = half_size_photo(rgb).reshape(-1, 3)
    linear, raw = decode_srgb(photo), to_rgb(packed)
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
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="+", type=Path, help="photos to take scenes from")
    parser.add_argument("--camera", default="samsung_s7")
    add_references(parser)
    parser.add_argument("--count", type=int, default=3000, help="number of simulated pairs")
    parser.add_argument("--out", type=Path, help="Markdown table")
    parser.add_argument("--plot", type=Path, help="PNG of the tone ratios")
    arguments = parser.parse_args()
    pictures = SimulatedPictures(
        load_scenes(find_photos(arguments.photos), SIZE + 2), [], load_camera(arguments.camera)
    )
    simulated = []
    for number in tqdm(range(arguments.count), unit="pair", disable=None):
        rgb, bayer, _ = pictures.draw(np.random.default_rng([1, number]), SIZE, lambda luma: True)
        simulated.append(statistics(rgb, pack(bayer)))
    bands = np.nanpercentile(np.array(simulated), (5, 50, 95), axis=0)
    references = {
        reference.name: statistics(reference.rgb, reference.raw) for reference in read_references(arguments)
    }
    lines = ["| Statistic | 5 % | median | 95 % | " + " | ".join(references) + " |"]
    lines.append("|---" * (len(references) + 4) + "|")
    for index, name in enumerate(NAMES):
        low, _, high = bands[:, index]
        cells = [f"{value:.3f}" for value in bands[:, index]]
        for values in references.values():
            value = values[index]
            inside = low <= value <= high or np.isnan(value)
            cells.append("" if np.isnan(value) else f"{value:.3f}" if inside else f"**{value:.3f}**")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    print("\n".join(lines))
    if arguments.out:
        save_text(arguments.out, "\n".join([*lines, "", "Bold: outside the band."]) + "\n")
    if arguments.plot:
        draw(bands, references, arguments.plot)


if __name__ == "__main__":
    main()
