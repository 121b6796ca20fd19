"""Seams between the two networks: rise of RAW across smooth mask edges, compared with the ground truth.

    python benchmarks/seams.py PHOTO_OR_FOLDER... --models samsung_s7 --out benchmarks/seams.md

The pairs are those of heldout.py. In each, the Bayer cells within two cells of the mask's edge are compared:
those inside the mask with those outside.
"""

from pathlib import Path

import numpy as np
from heldout import SIZE, fused
from heldout_pairs import held_out_pairs, held_out_pictures
from reporting import head, make_parser, publish, row
from scipy.ndimage import distance_transform_edt, gaussian_gradient_magnitude
from tqdm import tqdm

from omf.inference.base import Picture
from omf.raw.camera import load_camera
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import cli_entry_point

NEAR = 2  # cells
SMOOTH = 2  # maximum gradient of the 8-bit photo, values per pixel
MIN_EDGE_CELLS = 100  # on each side; fewer are not meaningful


def sides(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the smooth Bayer cells just inside and just outside the mask: bool (H/2, W/2) each."""
    height, width = rgb.shape[0] // 2, rgb.shape[1] // 2
    overexposed = overexposure_mask(rgb)
    inside, outside, smooth = (
        part[: 2 * height, : 2 * width].reshape(height, 2, width, 2).all(axis=(1, 3))
        for part in (overexposed, ~overexposed, gaussian_gradient_magnitude(rgb.mean(axis=-1), 3) < SMOOTH)
    )
    near_outside, near_inside = (distance_transform_edt(~side) <= NEAR for side in (outside, inside))
    return inside & smooth & near_outside, outside & smooth & near_inside


def rise(packed: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Return the relative rise of R, Gr, Gb and B across the edge, from outside to inside."""
    return packed[inside].mean(axis=0) / np.maximum(packed[outside].mean(axis=0), 1) - 1


@cli_entry_point
def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--models", nargs="+", default=["samsung_s7"])
    parser.add_argument("--pairs", type=int, default=160)
    arguments = parser.parse_args()
    methods = {name: fused(name) for name in arguments.models}
    pictures, contents = held_out_pictures(arguments.photos, load_camera("samsung_s7"), SIZE)
    rises = {name: [] for name in ["ground truth", *methods]}
    pairs = held_out_pairs(pictures, arguments.pairs, SIZE)
    for pair in tqdm(pairs, total=arguments.pairs, unit="pair", disable=None):
        inside, outside = sides(pair.rgb)
        if min(inside.sum(), outside.sum()) < MIN_EDGE_CELLS:
            continue
        rises["ground truth"].append(rise(pair.truth, inside, outside))
        picture = Picture(pair.rgb, overexposure_mask(pair.rgb))
        for name, method in methods.items():
            rises[name].append(rise(method(picture), inside, outside))
    truth = np.array(rises["ground truth"])
    lines = [
        f"Medians, in percent, over the {len(truth)} of {arguments.pairs} simulated pairs ({contents}) "
        "with a smooth mask edge",
        "",
        *head("", "rise of R", "of G", "of B", "error of the rise of R", "of G", "of B"),
    ]
    for name, values in rises.items():
        cells = [
            np.median(part, axis=0)[[0, 1, 3]]
            for part in (np.array(values), np.abs(np.array(values) - truth))
        ]
        lines.append(row(name, *(f"{100 * value:.1f}" for value in np.concatenate(cells))))
    publish(lines, arguments.out)


if __name__ == "__main__":
    main()
