"""Where a network has to run: rectangles that cover the pixels that are asked of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Box:
    """Rectangle of cells (squares of the network's grid); last row and column excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left

    @property
    def cells(self) -> int:
        return self.shape[0] * self.shape[1]

    def dilated(self, halo: int, height: int, width: int) -> "Box":
        """By `halo` cells on each side, within a picture of `height` x `width` cells."""
        return Box(
            max(self.top - halo, 0),
            min(self.bottom + halo, height),
            max(self.left - halo, 0),
            min(self.right + halo, width),
        )


def needed_cells(needed: np.ndarray, grid: int, border: int) -> np.ndarray:
    """The cells that hold a needed pixel.

    Args:
        needed: bool (H, W).
        grid: pixels a side of a cell.
        border: pixels that the picture is padded with at the top and left, and at least at the bottom and right.

    Returns:
        bool, (padded H / grid, padded W / grid).
    """
    height, width = (-(-(size + 2 * border) // grid) for size in needed.shape)
    padded = np.zeros((height * grid, width * grid), bool)
    padded[border : border + needed.shape[0], border : border + needed.shape[1]] = needed
    return padded.reshape(height, grid, width, grid).any(axis=(1, 3))


def cover(cells: np.ndarray, halo: int, largest: int) -> list[Box]:
    """Rectangles that hold all True cells, no cell twice, with little to compute: the boxes' grown areas add up to few cells.

    The rectangle around all of them is cut in two where that saves most, again and again, until no cut
    saves anything; what is too large then is cut into equal tiles.

    Args:
        cells: bool (rows, columns).
        halo: cells that the network needs to see around a box.
        largest: cells of a grown box, at most; at least (2 halo + 1) squared.
    """
    shape = cells.shape
    boxes = []
    for box in cut(cells, halo):
        for tile in split_into_tiles(box, halo, largest, shape):
            boxes += bounding_box(cells, tile)
    return boxes


def cut(cells: np.ndarray, halo: int) -> Iterator[Box]:
    """Cut the box around the True cells as long as that lowers the sum of the grown areas."""
    whole = bounding_box(cells, Box(0, cells.shape[0], 0, cells.shape[1]))
    while whole:
        box = whole.pop()
        cost = box.dilated(halo, *cells.shape).cells
        at, axis, least = cheapest_cut(cells, box, halo)
        if least >= cost:
            yield box
        elif axis == 0:
            whole += bounding_box(cells, Box(box.top, at, box.left, box.right)) + bounding_box(
                cells, Box(at, box.bottom, box.left, box.right)
            )
        else:
            whole += bounding_box(cells, Box(box.top, box.bottom, box.left, at)) + bounding_box(
                cells, Box(box.top, box.bottom, at, box.right)
            )


def bounding_box(cells: np.ndarray, box: Box) -> list[Box]:
    """The smallest box around the True cells in a box; none where there are none."""
    inside = cells[box.top : box.bottom, box.left : box.right]
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


def cheapest_cut(cells: np.ndarray, box: Box, halo: int) -> tuple[int, int, int]:
    """(row or column, 0 for a row or 1 for a column, cells to compute then) of the best cut through a box."""
    inside = cells[box.top : box.bottom, box.left : box.right]
    candidates = []
    for axis, first, across in ((0, box.top, box.left), (1, box.left, box.top)):
        lines = inside if axis == 0 else inside.T
        if len(lines) < 2:
            continue
        before = grown_areas(lines, halo, (first, across), (cells.shape[axis], cells.shape[1 - axis]))[:-1]
        flipped = (cells.shape[axis] - first - len(lines), across)
        after = grown_areas(lines[::-1], halo, flipped, (cells.shape[axis], cells.shape[1 - axis]))[-2::-1]
        best = int((before + after).argmin())
        candidates.append((first + best + 1, axis, int((before + after)[best])))
    return min(candidates, key=lambda candidate: candidate[2], default=(0, 0, np.iinfo(int).max))


def grown_areas(lines: np.ndarray, halo: int, origin: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """For each n, the grown area of the smallest box around the True cells of lines 0 to n."""
    held, width = lines.any(1), lines.shape[1]
    numbers = np.arange(len(lines))
    first = held.argmax()
    last = np.maximum.accumulate(np.where(held, numbers, 0))
    left = np.minimum.accumulate(np.where(held, lines.argmax(1), width))
    right = np.maximum.accumulate(np.where(held, width - lines[:, ::-1].argmax(1), 0))
    rows = np.minimum(origin[0] + last + 1 + halo, shape[0]) - max(origin[0] + first - halo, 0)
    columns = np.minimum(origin[1] + right + halo, shape[1]) - np.maximum(origin[1] + left - halo, 0)
    return rows * columns * (numbers >= first)


def split_into_tiles(box: Box, halo: int, largest: int, shape: tuple[int, int]) -> list[Box]:
    """Cut a box into equal tiles, none of them larger than `largest` when it is grown, with the least to compute."""
    height, width = box.bottom - box.top, box.right - box.left
    ways = []
    for count in range(1, height + 1):
        rows = parts(box.top, box.bottom, count)
        tall = min(-(-height // count) + 2 * halo, shape[0])
        wide = largest // tall
        if wide < shape[1] and wide <= 2 * halo:
            continue
        columns = parts(box.left, box.right, 1 if wide >= shape[1] else -(-width // (wide - 2 * halo)))
        ways.append((grown_sum(rows, halo, shape[0]) * grown_sum(columns, halo, shape[1]), rows, columns))
    _, rows, columns = min(ways)
    return [Box(*row, *column) for row in rows for column in columns]


def grown_sum(sides: list[tuple[int, int]], halo: int, size: int) -> int:
    """The lengths of all parts of an axis, each grown."""
    return sum(min(last + halo, size) - max(first - halo, 0) for first, last in sides)


def parts(first: int, last: int, count: int) -> list[tuple[int, int]]:
    """Cut [first, last) into `count` parts of equal size, to one."""
    edges = [first + (last - first) * part // count for part in range(count + 1)]
    return list(pairwise(edges))
