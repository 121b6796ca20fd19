"""Fusion equals running both networks on every pixel, for any mask, tile size and number of threads."""

import copy
import gc
import weakref

import numpy as np
import pytest
import torch
from conftest import assert_as_close, random_base, random_rgb, random_unet
from hypothesis import given, settings
from hypothesis import strategies as st

from omf.inference.base import Picture
from omf.inference.fusion import Fusion
from omf.networks.base import network_input
from omf.networks.global_net import GlobalTransform, refine, summarise_photo
from omf.raw.bayer import to_challenge_format
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import DeviceError, InputError

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


def base_reference(
    base, oe, noe, rgb: np.ndarray, mask: np.ndarray, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Run the base network once, and both others on every pixel."""
    x = network_input(rgb, mask)
    with torch.inference_mode():
        summary = (part[None].double() for part in summarise_photo(torch.from_numpy(rgb)))
        transform = GlobalTransform(*(part.float() for part in copy.deepcopy(base).double()(*summary)))
        x = torch.cat((x, transform.apply(x[:, :3])), 1).to(dtype)
        outputs = [refine(network and copy.deepcopy(network).to(dtype), x)[0] for network in (oe, noe)]
        return torch.where(torch.from_numpy(mask), *outputs).clamp(0, 1).permute(1, 2, 0)


@pytest.mark.usefixtures("one_thread")
@settings(max_examples=30)
@given(masks(), st.booleans(), st.sampled_from([100, 10_000]), st.sampled_from(["float32", "published"]))
def test_boxes_and_tiles_do_not_change_the_result_with_a_base(mask, with_noe, cells, precision):
    oe, noe = (random_unet((4, 6, 8), seed, in_channels=7) for seed in range(2))
    networks = random_base(0), oe, noe if with_noe else None
    rgb = random_rgb(*mask.shape, seed=mask.sum())
    fuse = Fusion(oe, networks[2], CPU, precision, copy.deepcopy(networks[0]))
    fuse.memory = cells * fuse.branches[0].bytes_per_cell
    raw = fuse(rgb, mask)
    assert_as_close(
        torch.from_numpy(raw),
        base_reference(*networks, rgb, mask),
        base_reference(*networks, rgb, mask, torch.float64),
    )
    assert (fuse.packed([Picture(rgb, mask)])()[0] == to_challenge_format(raw)).all()


def test_photos_of_a_batch_have_their_own_transforms():
    fuse = Fusion(random_unet((4, 6), 0, in_channels=7), None, CPU, base=random_base(0))
    photos = [random_rgb(70, 80), random_rgb(31, 45) // 2, random_rgb(70, 80, seed=1) // 3]
    pictures = [Picture(rgb, overexposure_mask(rgb)) for rgb in photos]
    for picture, raw in zip(pictures, fuse.demosaiced(pictures)()):
        np.testing.assert_allclose(raw, fuse(picture.rgb, picture.mask), atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_transform_does_not_depend_on_the_number_of_threads(threads):
    """Only networks on tiles may: the base runs in double precision."""
    before = torch.get_num_threads()
    fuse = Fusion(random_unet((4, 6), 0, in_channels=7), None, CPU, base=random_base(0))
    rgb = random_rgb(300, 420) // 2  # without overexposed pixels
    expected = fuse.packed([Picture(rgb, overexposure_mask(rgb))])()[0]
    try:
        torch.set_num_threads(threads)
        assert (fuse.packed([Picture(rgb, overexposure_mask(rgb))])()[0] == expected).all()
    finally:
        torch.set_num_threads(before)


def test_a_known_neutral_and_exposure_correct_the_base():
    """Scaling the base RAW by known factors is all they do where no network refines it."""
    fuse = Fusion(random_unet((4, 6), 0, in_channels=7), None, CPU, base=random_base(0))
    rgb = random_rgb(40, 60) // 2
    mask = np.zeros((40, 60), bool)
    plain = Picture(rgb, mask)
    with torch.inference_mode():
        transform = fuse.predict_transform(fuse.upload(rgb, mask).rgb, plain)
    white = transform.white()[0]
    neutral = (float(white[0] / white[1]) * 0.9, float(white[2] / white[1]) * 0.8)
    raw, known = fuse.demosaiced([plain, plain._replace(neutral=neutral, exposure=0.75)])()
    np.testing.assert_allclose(known, np.clip(raw * np.float32([0.675, 0.75, 0.6]), 0, 1), atol=2e-6)


def test_models_without_base_refuse_a_known_neutral():
    fuse = Fusion(random_unet((4, 6), 0), random_unet((4, 6), 1), CPU)
    rgb = random_rgb(40, 60)
    for known in ({"neutral": (0.5, 0.6)}, {"exposure": 1.2}):
        with pytest.raises(InputError, match="no use for a known neutral or exposure"):
            fuse.demosaiced([Picture(rgb, overexposure_mask(rgb), **known)])


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
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_tiles_shrink_if_memory_runs_out(error):
    fuse = Fusion(random_unet((4, 6, 8), 0), random_unet((4, 6, 8), 1), CPU)
    rgb = random_rgb(300, 300)
    mask = overexposure_mask(rgb)
    expected, before = fuse.packed([Picture(rgb, mask)])()[0], fuse.memory
    held: list[weakref.ref] = []
    for branch in fuse.branches:

        def run_or_fail(x, run=branch.run):
            assert not any(tensor() is not None for tensor in held)  # freed before the next try
            if x[:, 0].numel() > 120**2:
                activations = torch.empty(1000)
                held.append(weakref.ref(activations))
                raise type(error)(*error.args)
            return run(x)

        branch.run = run_or_fail
    gc.disable()  # a GPU's memory must not wait for it
    try:
        assert_same_counts(fuse.packed([Picture(rgb, mask)])()[0], expected)
    finally:
        gc.enable()
    assert held
    assert fuse.memory < before


def test_downloads_that_run_out_of_memory_are_tried_again(monkeypatch):
    fuse = Fusion(random_unet((4, 6, 8), 0), random_unet((4, 6, 8), 1), CPU)
    rgb = random_rgb(60, 60)
    picture = Picture(rgb, overexposure_mask(rgb))
    expected, download, calls = fuse.packed([picture])()[0], fuse.download, []

    def fail_once(*results):
        calls.append(1)
        if len(calls) == 1:
            raise torch.AcceleratorError("CUDA error: out of memory")  # pinned memory
        return download(*results)

    monkeypatch.setattr(fuse, "download", fail_once)
    assert_same_counts(fuse.packed([picture])()[0], expected)


def test_a_gpu_without_kernels_is_not_taken_for_lack_of_memory():
    fuse = Fusion(random_unet((4, 6), 0), random_unet((4, 6), 1), CPU)
    for branch in fuse.branches:

        def fails(x):
            raise RuntimeError("GET was unable to find an engine to execute this computation")

        branch.run = fails
    with pytest.raises(DeviceError, match=r"the GPU failed \(GET was unable to find an engine"):
        fuse(random_rgb(30, 40), np.zeros((30, 40), bool))


@pytest.mark.parametrize(
    ("precision", "cause"), [("float16", "range of float16; set precision"), ("float32", "are not finite")]
)
def test_values_that_are_not_finite_are_reported(precision, cause):
    fuse = Fusion(random_unet((4, 6), 0), random_unet((4, 6), 1), CPU)
    fuse.precision = precision
    for branch in fuse.branches:
        branch.run = lambda x: torch.full_like(x[:, :3], torch.inf)
    with pytest.raises(InputError, match=cause):
        fuse(random_rgb(30, 40), np.zeros((30, 40), bool))


def test_too_little_memory_for_any_tile_is_reported():
    fuse = Fusion(random_unet((4, 6), 0), random_unet((4, 6), 1), CPU)
    for branch in fuse.branches:

        def fails(x):
            raise MemoryError

        branch.run = fails
    before = fuse.memory
    with pytest.raises(InputError, match="not enough memory for a photo of 40 x 30 pixels"):
        fuse(random_rgb(30, 40), np.zeros((30, 40), bool))
    assert fuse.memory == before  # other photos are not slower for it


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
