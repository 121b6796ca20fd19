"""Check of the errors that models expect of their answers: simulated held-out photos and real references.

    python benchmarks/spread.py PHOTOS... --pairs PAIRS --stretched 's7_deepisp_*' --published PHOTO ANSWER \\
        --out benchmarks/spread.md

For each model: the share of simulated photos whose true exposure lies in the expected range, which should be
0.9; the mean PSNR of the single answers, the PSNR expected of them and the correlation of both; and the mean
PSNR of samples. The second table holds the references of known scale, each with the model of its camera: the
true exposure is the factor on the green of the answer that brings it nearest to the true RAW. For the other
arguments see benchmarks/real.py.
"""

from pathlib import Path

import numpy as np
from heldout_pairs import held_out_pictures
from real import add_references, read_references
from reporting import head, make_parser, publish, row
from tqdm import tqdm

from omf.evaluation.metrics import psnr
from omf.inference.base import Method, Picture
from omf.inference.load import load_method
from omf.models.registry import find_model
from omf.raw.bayer import merge_greens, mosaic, pack
from omf.raw.camera import load_camera
from omf.raw.overexposure import overexposure_mask
from omf.utils.console import count_of
from omf.utils.errors import cli_entry_point

SIZE = 96  # pixels; smaller scenes are left out
SAMPLES = 8
SEED = 40


def cell_colours(packed: np.ndarray) -> np.ndarray:
    """Return R, the mean of both greens, and B of each Bayer cell: (h, w, 4) -> (h w, 3)."""
    return merge_greens(packed).reshape(-1, 3)


def judge(method: Method, rgb: np.ndarray, truth: np.ndarray, name: str) -> dict[str, float]:
    """Return what a method expects of its answer to a photo, and what is true.

    Args:
        method: method of a model with a spread network.
        rgb: sRGB, (H, W, 3).
        truth: R, G and B of the true RAW in each Bayer cell, (H/2 W/2, 3) in [0, 1]; NaN: unknown.
        name: name of the photo, which seeds its samples.
    """
    picture = Picture(rgb, overexposure_mask(rgb), name)
    samples = [picture._replace(name=f"{name}_{number}", is_sample=True) for number in range(SAMPLES)]
    answer, *others = (cell_colours(pack(mosaic(raw))) for raw in method.demosaiced([picture, *samples])())
    known = np.isfinite(truth).all(axis=1)
    green, true_green = answer[known][:, 1], truth[known][:, 1]
    expected = method.expected(picture)
    low, high = expected.exposure
    factor = float((green * true_green).sum() / (green**2).sum())
    return {
        "factor": factor,
        "low": low,
        "high": high,
        "inside": float(low <= factor <= high),
        "psnr": psnr(answer[known], truth[known]),
        "expected": expected.psnr,
        "samples": float(np.mean([psnr(other[known], truth[known]) for other in others])),
    }


def simulated_row(name: str, method: Method, photos: list[Path], count: int) -> str:
    """Return the row of a model over simulated held-out photos."""
    pictures, _ = held_out_pictures(photos, load_camera(find_model(name).camera), SIZE)
    results = []
    for number in tqdm(range(count), desc=name, unit="photo", disable=None):
        rgb, raw = pictures.draw_whole(np.random.default_rng([SEED, number]))
        even = np.s_[: len(rgb) // 2 * 2, : len(rgb) // 2 * 2]
        rgb, truth = np.ascontiguousarray(rgb[even]), cell_colours(pack(mosaic(raw[even])))
        results.append(judge(method, rgb, truth, str(number)))
    columns = {key: np.array([result[key] for result in results]) for key in results[0]}
    relation = np.corrcoef(columns["expected"], columns["psnr"])[0, 1]
    return (
        f"| {name} | {columns['inside'].mean():.3f} | {columns['psnr'].mean():.2f}"
        f" | {columns['expected'].mean():.2f} | {relation:.2f} | {columns['samples'].mean():.2f} |"
    )


@cli_entry_point
def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("photos", nargs="+", type=Path, help="photos, of which the held-out ones are used")
    add_references(parser)
    parser.add_argument("--models", nargs="+", default=["samsung_s7", "huawei_p20", "generic_phone"])
    parser.add_argument("--count", type=int, default=500, help="number of simulated photos")
    arguments = parser.parse_args()
    methods = {name: load_method(find_model(name), "auto")[0] for name in arguments.models}
    lines = [
        f"{count_of(arguments.count, 'simulated photo')} of each model's camera:",
        "",
        *head("Model", "Exposure within the range", "PSNR", "expected", "correlation", "of samples"),
        *(simulated_row(name, method, arguments.photos, arguments.count) for name, method in methods.items()),
        "",
        "Real references:",
        "",
        *head("Photo", "Model", "True exposure", "Range", "Within", "PSNR", "expected", "of samples"),
    ]
    inside = []
    for item in read_references(arguments):
        truth = np.where(item.valid.reshape(-1, 1), cell_colours(item.raw), np.nan)
        for name, method in methods.items():
            if item.is_stretched or not find_model(name).camera.endswith(item.camera):
                continue
            result = judge(method, item.rgb, truth, item.name)
            inside.append(result["inside"])
            cells = [
                *(item.name, name, f"{result['factor']:.2f}", f"{result['low']:.2f} to {result['high']:.2f}"),
                "yes" if result["inside"] else "no",
                *(f"{result[key]:.2f}" for key in ("psnr", "expected", "samples")),
            ]
            lines.append(row(*cells))
    lines += ["", f"The true exposure is within the range of {sum(inside):.0f} of {len(inside)}."]
    publish(lines, arguments.out)


if __name__ == "__main__":
    main()
