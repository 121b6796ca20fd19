"""Tiling: boxes that cover the pixels that a network must predict."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Box:
    """Rectangle of cells, the squares of a network's grid. `bottom` and `right` are exclusive."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left

    @property
    def window(self) -> tuple[slice, slice]:
        """Index of the box in an array of cells."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def cells(self) -> int:
        return self.shape[0] * self.shape[1]

    def dilated(self, halo: int, height: int, width: int) -> "Box":
        """Return the box extended by `halo` cells on each side, within `height` x `width` cells."""
        return Box(
            max(self.top - halo, 0),
            min(self.bottom + halo, height),
            max(self.left - halo, 0),
            min(self.right + halo, width),
        )


def needed_cells(needed: np.ndarray, grid: int, border: int) -> np.ndarray:
    """Return the cells of `grid` x `grid` pixels with a needed one: bool (H, W) -> (rows, columns).

    `border` are the pixels of padding at the top and left, and the least at the bottom and right.
    """
    height, width = (-(-(size + 2 * border) // grid) for size in needed.shape)
    padded = np.zeros((height * grid, width * grid), bool)
    padded[border : border + needed.shape[0], border : border + needed.shape[1]] = needed
    return padded.reshape(height, grid, width, grid).any(axis=(1, 3))


def cover_with_boxes(cells: np.ndarray, halo: int, max_cells: int) -> list[Box]:
    """Cover all True cells with disjoint boxes, so that the sum of their dilated areas is small.

    Greedy: the bounding box is split where that saves most, recursively, until no split saves anything.
    Boxes that are still too large are then split into equal tiles.

    Args:
        cells: bool (rows, columns).
        halo: cells that the network reads around a box.
        max_cells: maximum area of a dilated box in cells, at least (2 halo + 1) squared.
    """
    shape = cells.shape
    boxes = []
    for box in split_boxes(cells, halo):
        for tile in split_into_tiles(box, halo, max_cells, shape):
            boxes += bounding_box(cells, tile)
    return boxes


def split_boxes(cells: np.ndarray, halo: int) -> Iterator[Box]:
    """Split the bounding box of the True cells as long as that reduces the sum of the dilated areas."""
    boxes = bounding_box(cells, Box(0, cells.shape[0], 0, cells.shape[1]))
    while boxes:
        box = boxes.pop()
        cost, halves = best_cut(cells, box, halo)
        if cost < box.dilated(halo, *cells.shape).cells:
            boxes += [part for half in halves for part in bounding_box(cells, half)]
        else:
            yield box


def bounding_box(cells: np.ndarray, box: Box) -> list[Box]:
    """Return the bounding box of the True cells in a box, as a list; empty if there are none."""
    inside = cells[box.window]
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        return []
    return [
        Box(
            box.top + int(rows[0]),
            box.top + int(rows[-1]) + 1,
            box.left + int(columns[0]),
            box.left + int(columns[-1]) + 1,
        )
    ]


def best_cut(cells: np.ndarray, box: Box, halo: int) -> tuple[int, tuple[Box, ...]]:
    """Return the halves of a box that minimise the sum of their dilated areas, after that sum in cells."""
    inside = cells[box.window]
    candidates: list[tuple[int, tuple[Box, ...]]] = []
    for axis, lines, first, across in ((0, inside, box.top, box.left), (1, inside.T, box.left, box.top)):
        if len(lines) < 2:
            continue
        shape = cells.shape[axis], cells.shape[1 - axis]
        before = dilated_areas(lines, halo, (first, across), shape)[:-1]
        flipped = shape[0] - first - len(lines), across
        areas = before + dilated_areas(lines[::-1], halo, flipped, shape)[-2::-1]
        best = int(areas.argmin())
        end, start = ("bottom", "top") if axis == 0 else ("right", "left")
        position = first + best + 1
        halves = replace(box, **{end: position}), replace(box, **{start: position})
        candidates.append((int(areas[best]), halves))
    return min(candidates, key=lambda candidate: candidate[0], default=(np.iinfo(int).max, ()))


def dilated_areas(
    lines: np.ndarray, halo: int, origin: tuple[int, int], shape: tuple[int, int]
) -> np.ndarray:
    """Return, for each n, the dilated area of the bounding box of the True cells in lines 0 to n, in cells.

    Args:
        lines: bool (lines, cells), rows or columns of a box.
        halo: cells to extend a box by on each side.
        origin, shape: position of `lines` in the image, and size of the image, in cells along both axes.
    """
    occupied, width = lines.any(1), lines.shape[1]
    numbers = np.arange(len(lines))
    first = occupied.argmax()
    last = np.maximum.accumulate(np.where(occupied, numbers, 0))
    left = np.minimum.accumulate(np.where(occupied, lines.argmax(1), width))
    right = np.maximum.accumulate(np.where(occupied, width - lines[:, ::-1].argmax(1), 0))
    rows = np.minimum(origin[0] + last + 1 + halo, shape[0]) - max(origin[0] + first - halo, 0)
    columns = np.minimum(origin[1] + right + halo, shape[1]) - np.maximum(origin[1] + left - halo, 0)
    return rows * columns * (numbers >= first)


def split_into_tiles(box: Box, halo: int, max_cells: int, shape: tuple[int, int]) -> list[Box]:
    """Split a box into equal tiles of at most `max_cells` cells with halo, at the smallest total area."""
    height, width = box.shape
    candidates = []
    for count in range(1, height + 1):
        rows = split_evenly(box.top, box.bottom, count)
        tile_height = min(-(-height // count) + 2 * halo, shape[0])
        max_width = max_cells // tile_height
        if max_width < shape[1] and max_width <= 2 * halo:
            continue
        column_count = 1 if max_width >= shape[1] else -(-width // (max_width - 2 * halo))
        columns = split_evenly(box.left, box.right, column_count)
        cost = dilated_length(rows, halo, shape[0]) * dilated_length(columns, halo, shape[1])
        candidates.append((cost, rows, columns))
    _, rows, columns = min(candidates)
    return [Box(*row, *column) for row in rows for column in columns]


def dilated_length(intervals: list[tuple[int, int]], halo: int, size: int) -> int:
    """Return the total length of intervals, each extended by `halo` on both sides within [0, size)."""
    return sum(min(last + halo, size) - max(first - halo, 0) for first, last in intervals)


def split_evenly(first: int, last: int, count: int) -> list[tuple[int, int]]:
    """Split [first, last) into `count` intervals whose lengths differ by at most one."""
    edges = [first + (last - first) * part // count for part in range(count + 1)]
    return list(pairwise(edges))
