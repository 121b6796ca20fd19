"""How the two networks meet: the rise of RAW across the mask's edge, where the photo is smooth, beside the truth's.

    python benchmarks/seams.py PHOTO_OR_FOLDER... --models samsung_s7 --out benchmarks/seams.md

Pairs as in heldout.py. In each, the Bayer cells within two cells of the edge are compared, those inside the mask with
those outside.
"""

import argparse
from pathlib import Path

import numpy as np
from heldout import SIZE, fused
from heldout_pairs import held_out_pairs, held_out_pictures
from scipy.ndimage import distance_transform_edt, gaussian_gradient_magnitude
from tqdm import tqdm

from omf.raw.camera import load_camera
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import cli_entry_point
from omf.utils.files import save_text

NEAR = 2  # cells
SMOOTH = 2  # counts of the 8-bit photo from pixel to pixel, at most
MIN_EDGE_CELLS = 100  # cells on each side; fewer say little


def sides(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smooth Bayer cells just inside and just outside the mask, bool (H/2, W/2) each."""
    height, width = rgb.shape[0] // 2, rgb.shape[1] // 2
    overexposed = overexposure_mask(rgb)
    inside, outside, smooth = (
        part[: 2 * height, : 2 * width].reshape(height, 2, width, 2).all(axis=(1, 3))
        for part in (overexposed, ~overexposed, gaussian_gradient_magnitude(rgb.mean(axis=-1), 3) < SMOOTH)
    )
    return inside & smooth & (distance_transform_edt(~outside) <= NEAR), outside & smooth & (
        distance_transform_edt(~inside) <= NEAR
    )


def rise(packed: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """By which part R, Gr, Gb and B grow across the edge."""
    return packed[inside].mean(axis=0) / np.maximum(packed[outside].mean(axis=0), 1) - 1


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--models", nargs="+", default=["samsung_s7"])
    parser.add_argument("--pairs", type=int, default=160)
    parser.add_argument("--out", type=Path, help="Markdown table")
    arguments = parser.parse_args()
    methods = {name: fused(name) for name in arguments.models}
    pictures, contents = held_out_pictures(arguments.photos, load_camera("samsung_s7"), SIZE)
    rises = {name: [] for name in ["the true RAW", *methods]}
    for pair in tqdm(
        held_out_pairs(pictures, arguments.pairs, SIZE), total=arguments.pairs, unit="pair", disable=None
    ):
        inside, outside = sides(pair.rgb)
        if min(inside.sum(), outside.sum()) < MIN_EDGE_CELLS:
            continue
        rises["the true RAW"].append(rise(pair.truth, inside, outside))
        for name, method in methods.items():
            rises[name].append(rise(method(pair.rgb), inside, outside))
    truth = np.array(rises["the true RAW"])
    lines = [
        f"{len(truth)} of {arguments.pairs} simulated pairs of {contents} have a smooth edge; medians over these, in percent",
        "",
        "| | rise of R | of G | of B | away from the true rise, R | G | B |",
        "|---" * 7 + "|",
    ]
    for name, values in rises.items():
        cells = [
            np.median(part, axis=0)[[0, 1, 3]]
            for part in (np.array(values), np.abs(np.array(values) - truth))
        ]
        lines.append(
            f"| {name} | " + " | ".join(f"{100 * value:.1f}" for value in np.concatenate(cells)) + " |"
        )
    print("\n".join(lines))
    if arguments.out:
        save_text(arguments.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
