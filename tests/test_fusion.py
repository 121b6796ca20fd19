import imageio.v3 as iio
import numpy as np
import pytest
import torch
from conftest import REFERENCE, random_rgb, random_unet
from hypothesis import given, settings
from hypothesis import strategies as st

from omf import fusion
from omf.bayer import to_challenge_format
from omf.checkpoints import load_fusion
from omf.errors import InputError
from omf.fusion import Fusion, network_input, pick_device, tile_slices
from omf.models import find_model
from omf.overexposure import overexposure_mask

CPU = torch.device("cpu")


def assert_same_counts(given: np.ndarray, expected: np.ndarray) -> None:
    """The bound on every equal answer: 1 count at most, at no more than 1 value in 10,000."""
    difference = np.abs(given.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 1e-4


def test_published_answer(published_model):
    rgb = iio.imread(REFERENCE / "input_504.png")
    fuse = load_fusion(find_model(str(published_model)), CPU)
    raw = fuse(rgb, overexposure_mask(rgb))
    assert_same_counts(to_challenge_format(raw), np.load(REFERENCE / "expected_504.npy"))


def test_each_branch_answers_for_its_own_pixels():
    oe, noe = random_unet((4, 8), 0), random_unet((4, 8), 1)
    rgb = random_rgb(40, 52)
    mask = overexposure_mask(rgb)
    assert 0.05 < mask.mean() < 0.95
    raw = Fusion(oe, noe, CPU)(rgb, mask)
    with torch.inference_mode():
        for network, own in ((oe, mask), (noe, ~mask)):
            alone = network(network_input(rgb, mask))[0].clamp(0, 1).permute(1, 2, 0).numpy()
            np.testing.assert_allclose(raw[own], alone[own], atol=1e-6)


@settings(max_examples=10)
@given(st.integers(2, 200), st.integers(2, 200), st.sampled_from([16, 48, 96]))
def test_tiles_give_the_answer_of_the_whole_image(height, width, tile):
    networks = random_unet((4, 6, 8), 0), random_unet((4, 6, 8), 1)
    rgb = random_rgb(height, width, seed=height)
    mask = overexposure_mask(rgb)
    whole = Fusion(*networks, CPU)(rgb, mask)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fusion, "TILE", tile)
        tiled = Fusion(*networks, CPU)(rgb, mask)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 10))
def test_tiles_answer_for_every_pixel_once(size, tile, halo):
    tiles = tile_slices(size, tile, halo)
    assert [i for own, _ in tiles for i in range(size)[own]] == list(range(size))
    for own, seen in tiles:
        assert seen.start == max(own.start - halo, 0)
        assert seen.stop >= min(own.stop + halo, size)


def test_8_and_16_bit_inputs_agree():
    rgb = random_rgb(20, 24)
    mask = overexposure_mask(rgb)
    same = network_input(rgb.astype(np.uint16) * 257, mask)
    torch.testing.assert_close(network_input(rgb, mask), same)
    assert same.min() >= 0
    assert same.max() <= 1


def test_threads_do_not_change_a_bit():
    rgb = random_rgb(150, 131)
    mask = overexposure_mask(rgb)
    before = torch.get_num_threads()
    answers = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            fuse = Fusion(random_unet((8, 16, 32), 0), random_unet((8, 16, 32), 1), pick_device("cpu"))
            answers.append(fuse(rgb, mask))
    finally:
        torch.set_num_threads(before)
    assert (answers[0] == answers[1]).all()
    assert (answers[0] == answers[2]).all()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told():
    with pytest.raises(InputError, match="no GPU"):
        pick_device("cuda")
    assert pick_device("auto") == CPU
