"""Fusion equals running both networks on every pixel, for any mask, tile size and number of threads."""

import copy
import gc
import weakref
from functools import partial

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
from omf.networks.spread_net import SpreadNet
from omf.networks.unet import UNet
from omf.raw.bayer import to_challenge_format
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import DeviceError, InputError

CPU = torch.device("cpu")
NO_ENGINE = "GET was unable to find an engine to execute this computation"


def assert_same_counts(given: np.ndarray, expected: np.ndarray) -> None:
    """Assert equality up to rounding: a difference of at most 1 count, in at most 5 of 10,000 values."""
    difference = np.abs(given.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 5e-4


def pair(widths: tuple[int, ...] = (4, 6), in_channels: int = 4) -> tuple[UNet, UNet]:
    """Return OE and NOE."""
    return tuple(random_unet(widths, seed, in_channels) for seed in range(2))


def picture_of(rgb: np.ndarray) -> Picture:
    return Picture(rgb, overexposure_mask(rgb))


def with_base() -> Fusion:
    """Return the fusion of a base network and OE."""
    return Fusion(pair(in_channels=7)[0], None, CPU, base=random_base(0))


def reference(oe, noe, rgb: np.ndarray, mask: np.ndarray, dtype=torch.float32, base=None) -> torch.Tensor:
    """Run OE and NOE on every pixel, as the published code does, after the base network if there is one."""
    x = network_input(rgb, mask)
    with torch.inference_mode():
        if base:
            summary = (part[None].double() for part in summarise_photo(torch.from_numpy(rgb)))
            transform = GlobalTransform(*(part.float() for part in copy.deepcopy(base).double()(*summary)))
            x = torch.cat((x, transform.apply(x[:, :3])), 1)
        networks = [network and copy.deepcopy(network).to(dtype) for network in (oe, noe)]
        outputs = [refine(network, x.to(dtype))[0] for network in networks]
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


@pytest.fixture
def set_threads():
    """Return the function that sets the number of threads, for this test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_boxes_and_tiles_do_not_change_the_result(thorough, set_threads):
    set_threads(1)  # with networks this small, waiting for a second one takes longest

    @settings(max_examples=60 if thorough else 10)
    @given(
        masks(),
        st.sampled_from([(4,), (4, 6, 8), (3, 4, 4, 5, 6)]),
        st.sampled_from([0, 100, 10_000]),
        st.sampled_from(["float32", "published"]),
        st.sampled_from(["oe, noe", "base, oe", "base, oe, noe"]),
    )
    def check(mask, widths, cells, precision, networks):
        base = random_base(0) if "base" in networks else None
        oe, noe = pair(widths, in_channels=7 if base else 4)
        noe = noe if "noe" in networks else None
        rgb = random_rgb(*mask.shape, seed=mask.sum())
        fuse = Fusion(oe, noe, CPU, precision, copy.deepcopy(base))
        fuse.memory = cells * fuse.branches[0].bytes_per_cell
        raw = fuse(rgb, mask)
        plain, exact = (
            reference(oe, noe, rgb, mask, dtype, base) for dtype in (torch.float32, torch.float64)
        )
        assert_as_close(torch.from_numpy(raw), plain, exact)
        assert (fuse.packed([Picture(rgb, mask)])()[0] == to_challenge_format(raw)).all()

    check()


def test_photos_of_a_batch_have_their_own_sizes_and_transforms():
    photos = [random_rgb(70, 80), random_rgb(31, 45) // 2, random_rgb(70, 80, 1) // 3, random_rgb(2, 3)]
    pictures = [picture_of(rgb) for rgb in photos]
    for fuse in (with_base(), Fusion(*pair((4, 6, 8)), CPU)):
        alone = [fuse(picture.rgb, picture.mask) for picture in pictures]
        for raw, expected in zip(fuse.demosaiced(pictures)(), alone):
            np.testing.assert_allclose(raw, expected, atol=1e-6)
        for counts, expected in zip(fuse.packed(pictures)(), alone):
            assert counts.dtype == np.uint16
            assert_same_counts(counts, to_challenge_format(expected))


def test_the_transform_does_not_depend_on_the_number_of_threads(set_threads):
    """Only networks on tiles may: the base runs in double precision."""
    fuse, picture = with_base(), picture_of(random_rgb(300, 420) // 2)  # without overexposed pixels
    answers = []
    for threads in (1, 2, 3):
        set_threads(threads)
        answers += fuse.packed([picture._replace(rgb=picture.rgb.copy())])()
    assert all((answer == answers[0]).all() for answer in answers)


def test_a_known_neutral_and_exposure_correct_the_base():
    """Scaling the base RAW by known factors is all they do where no network refines it."""
    fuse = with_base()
    rgb = random_rgb(40, 60) // 2
    mask = np.zeros((40, 60), bool)
    plain = Picture(rgb, mask)
    with torch.inference_mode():
        transform = fuse.predict_transform(fuse.upload(rgb, mask).rgb, plain)
    white = transform.white()[0]
    neutral = (float(white[0] / white[1]) * 0.9, float(white[2] / white[1]) * 0.8)
    raw, known = fuse.demosaiced([plain, plain._replace(neutral=neutral, exposure=0.75)])()
    np.testing.assert_allclose(known, np.clip(raw * np.float32([0.675, 0.75, 0.6]), 0, 1), atol=2e-6)


def test_samples_scale_the_base_as_the_spread_tells():
    """Their factors have the covariance that the spread network predicts, and known values hold."""
    torch.manual_seed(0)
    fuse = Fusion(pair(in_channels=7)[0], None, CPU, base=random_base(0), spread=SpreadNet())
    picture = picture_of(random_rgb(40, 60) // 2)
    with torch.inference_mode():
        rgb = torch.from_numpy(picture.rgb)
        plain = fuse.predict_transform(rgb, picture).white()[0]
        spread = fuse.judge(picture, rgb).spread
        draws = [picture._replace(name=f"photo_{number}", is_sample=True) for number in range(2000)]
        logs = torch.stack([(fuse.predict_transform(rgb, draw).white()[0] / plain).log() for draw in draws])
        known = fuse.predict_transform(rgb, draws[0]._replace(neutral=(0.5, 0.6))).white()[0]
    red, green, blue = logs.double().unbind(1)
    errors = torch.stack((green, red - green, blue - green))
    covariance = spread.factor[0] @ spread.factor[0].T
    torch.testing.assert_close(errors.cov(), covariance, atol=0.005, rtol=0.1)
    torch.testing.assert_close(known / known[1], torch.tensor([0.5, 1.0, 0.6]))
    torch.testing.assert_close(known[1].log() - plain[1].log(), logs[0, 1])
    again, other = fuse.demosaiced([draws[0], draws[1]])()
    assert (fuse.demosaiced([draws[0]])()[0] == again).all() and (again != other).any()
    told = fuse.expected(picture)
    assert told.exposure[1] == pytest.approx(float(torch.exp(1.645 * covariance[0, 0].sqrt())), rel=1e-6)
    assert told.exposure[0] == pytest.approx(1 / told.exposure[1])


def test_models_without_base_refuse_a_known_neutral():
    fuse, picture = Fusion(*pair(), CPU), picture_of(random_rgb(40, 60))
    for known in ({"neutral": (0.5, 0.6)}, {"exposure": 1.2}):
        with pytest.raises(InputError, match="no use for a known neutral or exposure"):
            fuse.demosaiced([picture._replace(**known)])


def replace_networks(fuse: Fusion, run) -> None:
    """Run `run(x, network, index)` in place of each network, NOE first."""
    for index, branch in enumerate(fuse.branches):
        branch.run = partial(run, network=branch.run, index=index)


def test_a_network_runs_only_where_the_mask_requires_it():
    rgb, mask = random_rgb(504, 504), np.zeros((504, 504), bool)
    fuse, pixels = Fusion(*pair((3, 4, 4, 5, 6)), CPU), [0, 0]

    def counted(x, network, index):
        pixels[index] += x[:, 0].numel()
        return network(x)

    replace_networks(fuse, counted)
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
        RuntimeError(NO_ENGINE),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_tiles_shrink_if_memory_runs_out(error):
    fuse, picture = Fusion(*pair((4, 6, 8)), CPU), picture_of(random_rgb(200, 200))
    expected, before = fuse.packed([picture])()[0], fuse.memory
    held: list[weakref.ref] = []

    def run_or_fail(x, network, index):
        assert not any(tensor() is not None for tensor in held)  # freed before the next try
        if x[:, 0].numel() > 120**2:
            activations = torch.empty(1000)
            held.append(weakref.ref(activations))
            raise type(error)(*error.args)
        return network(x)

    replace_networks(fuse, run_or_fail)
    gc.disable()  # a GPU's memory must not wait for it
    try:
        assert_same_counts(fuse.packed([picture])()[0], expected)
    finally:
        gc.enable()
    assert held
    assert fuse.memory < before


def test_downloads_that_run_out_of_memory_are_tried_again(monkeypatch):
    fuse, picture = Fusion(*pair(), CPU), picture_of(random_rgb(60, 60))
    expected, download, calls = fuse.packed([picture])()[0], fuse.download, []

    def fail_once(*results):
        calls.append(1)
        if len(calls) == 1:
            raise torch.AcceleratorError("CUDA error: out of memory")  # pinned memory
        return download(*results)

    monkeypatch.setattr(fuse, "download", fail_once)
    assert_same_counts(fuse.packed([picture])()[0], expected)


@pytest.mark.parametrize(
    ("error", "kind", "line"),
    [
        (RuntimeError(NO_ENGINE), DeviceError, r"the GPU failed \(GET was unable to find an engine"),
        (MemoryError(), InputError, "not enough memory for a photo of 40 x 30 pixels"),
        (RuntimeError("shape '[7]' is invalid"), RuntimeError, "shape '.7.' is invalid"),
    ],
    ids=["a GPU without kernels", "too little memory for any tile", "another error"],
)
def test_errors_of_networks(error, kind, line):
    def fail(x, network, index):
        raise error

    fuse = Fusion(*pair(), CPU)
    replace_networks(fuse, fail)
    before = fuse.memory
    with pytest.raises(kind, match=line):
        fuse(random_rgb(30, 40), np.zeros((30, 40), bool))
    assert fuse.memory == before  # other photos are not slower for it


@pytest.mark.parametrize(
    ("precision", "cause"), [("float16", "range of float16; set precision"), ("float32", "are not finite")]
)
def test_values_that_are_not_finite_are_reported(precision, cause):
    fuse = Fusion(*pair(), CPU)
    fuse.precision = precision
    replace_networks(fuse, lambda x, network, index: torch.full_like(x[:, :3], torch.inf))
    with pytest.raises(InputError, match=cause):
        fuse(random_rgb(30, 40), np.zeros((30, 40), bool))


def test_8_and_16_bit_inputs_agree():
    rgb = random_rgb(20, 24)
    mask = overexposure_mask(rgb)
    same = network_input(rgb.astype(np.uint16) * 257, mask)
    torch.testing.assert_close(network_input(rgb, mask), same)
    assert same.min() >= 0
    assert same.max() <= 1


@pytest.mark.parametrize("precision", ["float32", "published"])
def test_threads_change_last_bits_at_most(precision, set_threads):
    rgb = random_rgb(150, 131)
    mask = overexposure_mask(rgb)
    oe, noe = pair((8, 16, 32))
    exact = reference(oe, noe, rgb, mask, torch.float64)
    for threads in (1, 2, 3):
        set_threads(threads)
        raw = Fusion(oe, noe, CPU, precision)(rgb, mask)
        assert_as_close(torch.from_numpy(raw), reference(oe, noe, rgb, mask), exact)
