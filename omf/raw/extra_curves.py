"""The extra tone curves A and B of AIM 2022's photos: find and invert them.

In some scenes of the challenge, every patch of the photo went through curve A or B, chosen patch by patch.
The patches of a scene are parts of one photo, so their borders tell which: with the right curves, neighbours
continue each other.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from omf.raw.isp import EXTRA_CURVES

PATCH_ROWS, PATCH_COLUMNS = 6, 8  # of a scene's patches
CODES = np.linspace(0, 1, 4096, dtype=np.float32)  # fine enough to invert 8-bit curves by interpolation
INVERSE = [np.interp(np.arange(256) / 255, curve(CODES), CODES) for curve in EXTRA_CURVES]
MAX_DIFFERENCE = 32  # codes; edges of the scene that lie on a border count no more
MAX_RATIO = 0.8  # of the differences at the borders with and without curves, for a scene that has curves
CURVE_NAMES = "AB"
MAX_CODE_OF_A, MAX_SHARE_ABOVE = 212, 0.01  # A ends at 204; JPEG adds a few codes


def invert_curve(rgb: np.ndarray, curve: int) -> np.ndarray:
    """Invert extra curve 0 (A) or 1 (B): uint8 (H, W, 3) -> uint8 (H, W, 3)."""
    return np.rint(255 * INVERSE[curve]).astype(np.uint8)[rgb]


def find_curves(patches: Sequence[np.ndarray]) -> list[int] | None:
    """Find the curve of each patch of a scene.

    Args:
        patches: all `PATCH_ROWS` x `PATCH_COLUMNS` patches of the scene, row by row, sRGB, uint8 (H, W, 3).

    Returns:
        0 (A) or 1 (B) for each patch, those with the least differences at the borders; None if the borders
        fit as they are.
    """
    grid = [patches[row * PATCH_COLUMNS : (row + 1) * PATCH_COLUMNS] for row in range(PATCH_ROWS)]
    across = np.array([[differences(a[:, -1], b[:, 0]) for a, b in pairwise(row)] for row in grid])
    down = np.array([[differences(a[-1], b[0]) for a, b in zip(*rows)] for rows in pairwise(grid)])
    unchanged = across[..., 1, 1].sum() + down[..., 1, 1].sum()  # B on both sides keeps their difference
    too_bright = [np.mean(patch > MAX_CODE_OF_A) > MAX_SHARE_ABOVE for patch in patches]
    barred = np.zeros((PATCH_ROWS, PATCH_COLUMNS, 2))
    barred[np.reshape(too_bright, barred.shape[:2]), 0] = np.inf

    # Viterbi's algorithm: column by column, the best curves so far for each choice of curves in this column
    choices = np.array(list(np.ndindex((2,) * PATCH_ROWS)))  # (2 ** PATCH_ROWS, PATCH_ROWS)
    within = [
        sum(down[row, column][choices[:, row], choices[:, row + 1]] for row in range(PATCH_ROWS - 1))
        + sum(barred[row, column][choices[:, row]] for row in range(PATCH_ROWS))
        for column in range(PATCH_COLUMNS)
    ]
    total, best_before = within[0], []
    for column in range(1, PATCH_COLUMNS):
        steps = total[:, None] + sum(
            across[row, column - 1][choices[:, None, row], choices[None, :, row]] for row in range(PATCH_ROWS)
        )
        best_before.append(steps.argmin(axis=0))
        total = steps.min(axis=0) + within[column]
    if total.min() >= MAX_RATIO * unchanged:
        return None
    best = [total.argmin()]
    for before in reversed(best_before):
        best.append(before[best[-1]])
    return choices[best[::-1]].T.ravel().tolist()


def differences(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the mean difference in codes at a border for each pair of curves of its sides, float64 (2, 2).

    The sides are uint8 (N, 3). Each is compared with the other's pixels under its own curve, so that no pair
    of curves is preferred for making differences small.
    """
    result = np.empty((2, 2))
    for one, other in np.ndindex(2, 2):
        there = 255 * EXTRA_CURVES[other](INVERSE[one][first]) - second
        back = 255 * EXTRA_CURVES[one](INVERSE[other][second]) - first
        result[one, other] = np.minimum(np.abs([there, back]), MAX_DIFFERENCE).mean()
    return result
