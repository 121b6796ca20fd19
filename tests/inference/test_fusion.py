"""Fusion equals running both networks on every pixel, for any mask, tile size and number of threads."""

import copy

import numpy as np
import pytest
import torch
from conftest import assert_as_close, random_rgb, random_unet
from hypothesis import given, settings
from hypothesis import strategies as st

from omf.inference.base import Picture
from omf.inference.fusion import Fusion
from omf.networks.base import network_input
from omf.raw.bayer import to_challenge_format
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import InputError

CPU = torch.device("cpu")


def assert_same_counts(given: np.ndarray, expected: np.ndarray) -> None:
    """Assert equality up to rounding: a difference of at most 1 count, in at most 5 of 10,000 values."""
    difference = np.abs(given.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 5e-4


def test_each_branch_predicts_its_own_pixels():
    oe, noe = random_unet((4, 8), 0), random_unet((4, 8), 1)
    rgb = random_rgb(40, 52)
    mask = overexposure_mask(rgb)
    assert 0.05 < mask.mean() < 0.95
    raw = Fusion(oe, noe, CPU)(rgb, mask)
    for network, selected in ((oe, mask), (noe, ~mask)):
        alone, exact = (
            reference(network, network, rgb, mask, dtype) for dtype in (torch.float32, torch.float64)
        )
        assert_as_close(torch.from_numpy(raw)[selected], alone[selected], exact[selected])


def reference(oe, noe, rgb: np.ndarray, mask: np.ndarray, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Run both networks on every pixel, as the published code does."""
    x = network_input(rgb, mask).to(dtype)
    with torch.inference_mode():
        outputs = [copy.deepcopy(network).to(dtype)(x)[0] for network in (oe, noe)]
        return torch.where(torch.from_numpy(mask), *outputs).clamp(0, 1).permute(1, 2, 0)


@st.composite
def masks(draw) -> np.ndarray:
    """Draw masks with rectangles, single pixels and borders, set or cleared."""
    height, width = draw(st.integers(2, 400)), draw(st.integers(2, 400))
    mask = np.full((height, width), draw(st.booleans()))
    for _ in range(draw(st.integers(0, 4))):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        mask[top : top + draw(st.integers(1, 60)), left : left + draw(st.integers(1, 60))] ^= True
    return mask


@pytest.fixture(scope="module")
def one_thread():
    """Limit PyTorch to one thread: with networks this small, waiting for a second one takes longest."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@settings(max_examples=40)
@given(
    masks(),
    st.sampled_from([(4,), (4, 6, 8), (3, 4, 4, 5, 6)]),
    st.sampled_from([0, 100, 10_000]),
    st.sampled_from(["float32", "published"]),
)
def test_boxes_and_tiles_do_not_change_the_result(mask, widths, cells, precision):
    oe, noe = random_unet(widths, 0), random_unet(widths, 1)
    rgb = random_rgb(*mask.shape, seed=mask.sum())
    fuse = Fusion(oe, noe, CPU, precision)
    fuse.memory = cells * fuse.branches[0].bytes_per_cell
    raw = fuse(rgb, mask)
    assert_as_close(
        torch.from_numpy(raw), reference(oe, noe, rgb, mask), reference(oe, noe, rgb, mask, torch.float64)
    )
    assert (fuse.packed([Picture(rgb, mask)])()[0] == to_challenge_format(raw)).all()


def test_a_batch_of_photos_of_different_sizes():
    fuse = Fusion(random_unet((4, 6, 8), 0), random_unet((4, 6, 8), 1), CPU)
    pictures = [
        Picture(rgb, overexposure_mask(rgb))
        for rgb in (random_rgb(70, 80), random_rgb(31, 45), random_rgb(70, 80, seed=1), random_rgb(2, 3))
    ]
    for picture, packed in zip(pictures, fuse.packed(pictures)()):
        assert packed.dtype == np.uint16
        assert_same_counts(packed, to_challenge_format(fuse(picture.rgb, picture.mask)))


def count_pixels(fuse: Fusion) -> list[int]:
    """Return the numbers of pixels, updated by later calls, that the NOE and the OE network run on."""
    pixels = [0, 0]
    for i, branch in enumerate(fuse.branches):

        def counted(x, i=i, run=branch.run):
            pixels[i] += x[:, 0].numel()
            return run(x)

        branch.run = counted
    return pixels


def test_a_network_runs_only_where_the_mask_requires_it():
    networks = random_unet((3, 4, 4, 5, 6), 0), random_unet((3, 4, 4, 5, 6), 1)
    rgb, mask = random_rgb(504, 504), np.zeros((504, 504), bool)
    fuse = Fusion(*networks, CPU)
    pixels = count_pixels(fuse)
    fuse(rgb, mask)
    assert pixels == [512**2, 0]
    mask[10, 20] = True
    fuse(rgb, mask)
    assert pixels[1] == (16 + 128) * (16 * 2 + 128)  # the cell, and eight more on each side within the photo
    pixels[:] = [0, 0]
    fuse(rgb, ~np.zeros_like(mask))
    assert pixels == [0, 512**2]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_tiles_shrink_if_memory_runs_out(error):
    fuse = Fusion(random_unet((4, 6, 8), 0), random_unet((4, 6, 8), 1), CPU)
    rgb = random_rgb(300, 300)
    mask = overexposure_mask(rgb)
    expected, before = fuse.packed([Picture(rgb, mask)])()[0], fuse.memory
    for branch in fuse.branches:

        def run_or_fail(x, run=branch.run):
            if x[:, 0].numel() > 120**2:
                raise error
            return run(x)

        branch.run = run_or_fail
    assert_same_counts(fuse.packed([Picture(rgb, mask)])()[0], expected)
    assert fuse.memory < before


def test_too_little_memory_for_any_tile_is_reported():
    fuse = Fusion(random_unet((4, 6), 0), random_unet((4, 6), 1), CPU)
    for branch in fuse.branches:

        def fails(x):
            raise MemoryError

        branch.run = fails
    with pytest.raises(InputError, match="not enough memory for a photo of 40 x 30 pixels"):
        fuse(random_rgb(30, 40), np.zeros((30, 40), bool))


def test_other_errors_are_not_treated_as_out_of_memory():
    fuse = Fusion(random_unet((4, 6), 0), random_unet((4, 6), 1), CPU)
    fuse.branches[0].run = lambda x: x.reshape(7)
    with pytest.raises(RuntimeError, match="invalid for input of size"):
        fuse(random_rgb(30, 40), np.zeros((30, 40), bool))


def test_8_and_16_bit_inputs_agree():
    rgb = random_rgb(20, 24)
    mask = overexposure_mask(rgb)
    same = network_input(rgb.astype(np.uint16) * 257, mask)
    torch.testing.assert_close(network_input(rgb, mask), same)
    assert same.min() >= 0
    assert same.max() <= 1


@pytest.mark.parametrize("precision", ["float32", "published"])
def test_threads_change_last_bits_at_most(precision):
    rgb = random_rgb(150, 131)
    mask = overexposure_mask(rgb)
    oe, noe = random_unet((8, 16, 32), 0), random_unet((8, 16, 32), 1)
    exact = reference(oe, noe, rgb, mask, torch.float64)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            raw = Fusion(oe, noe, CPU, precision)(rgb, mask)
            assert_as_close(torch.from_numpy(raw), reference(oe, noe, rgb, mask), exact)
    finally:
        torch.set_num_threads(before)
