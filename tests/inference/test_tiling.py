"""Boxes cover every needed cell once, at low cost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from omf.inference.tiling import Box, bounding_box, cover_with_boxes, needed_cells

shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))
cells = st.one_of(arrays.arrays(bool, shapes), arrays.arrays(bool, shapes, fill=st.just(False)))


@settings(max_examples=150)
@given(cells, st.integers(0, 8), st.sampled_from([0, 30, 500, 10**6]))
def test_boxes_contain_every_needed_cell_once_at_no_more_cost_than_the_bounding_box(needed, halo, extra):
    shape, max_cells = needed.shape, (2 * halo + 1) ** 2 + extra
    count, cost = np.zeros(shape, int), 0
    for box in cover_with_boxes(needed, halo, max_cells):
        assert min(box.shape) > 0
        dilated = box.dilated(halo, *shape).cells
        assert dilated <= max_cells
        cost += dilated
        count[box.window] += 1
    assert count.max() <= 1
    assert (count[needed] == 1).all()
    if extra == 10**6:  # large enough for one box
        bounding = bounding_box(needed, Box(0, shape[0], 0, shape[1]))
        assert cost <= sum(box.dilated(halo, *shape).cells for box in bounding)


def test_near_cells_share_a_box_and_distant_ones_do_not():
    needed = np.zeros((100, 100), bool)
    needed[3, 4] = needed[90, 80] = needed[92, 83] = True
    boxes = sorted(cover_with_boxes(needed, 8, 10**6), key=lambda box: box.top)
    assert boxes == [Box(3, 4, 4, 5), Box(90, 93, 80, 84)]


def test_a_large_image_is_split_into_equal_tiles():
    boxes = cover_with_boxes(np.ones((190, 253), bool), 8, 80 * 80)
    heights, widths = ({box.shape[axis] for box in boxes} for axis in (0, 1))
    assert max(heights) - min(heights) <= 1
    assert max(widths) - min(widths) <= 1
    assert len(boxes) <= 12


@pytest.mark.parametrize(
    ("pixel", "cell"), [((0, 0), (0, 0)), ((11, 11), (0, 0)), ((12, 11), (1, 0)), ((39, 60), (2, 4))]
)
def test_cells_of_the_padded_image(pixel, cell):
    needed = np.zeros((40, 61), bool)
    needed[pixel] = True
    cells = needed_cells(needed, 16, 4)
    assert cells.shape == (3, 5)
    assert np.argwhere(cells).tolist() == [list(cell)]
