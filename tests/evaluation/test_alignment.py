"""Registration finds the turn and the crop of every photo exactly, and rejects pairs that need resampling."""

import numpy as np
import pytest
from camera_dng import GAINS, bayer_of, photo_of, scene
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage.transform import resize

from omf.evaluation.alignment import MAX_TILES, TILE_SIDE, coarse_raw, is_turned, measure_tiles, register
from omf.utils.errors import InputError

HEIGHT, WIDTH = 420, 560
SITES = ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2))  # row, column, colour


def assert_sites_match(rgb: np.ndarray, bayer: np.ndarray, edge: int = 1) -> None:
    """Assert that each site, developed on its own, equals the photo at that site."""
    assert rgb.shape[:2] == bayer.shape and not any(side % 2 for side in bayer.shape)
    for row, column, colour in SITES:
        developed = photo_of(bayer[row::2, column::2] / GAINS[colour])
        expected = rgb[row::2, column::2, colour]
        assert np.abs(developed.astype(int) - expected).max() <= edge


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_turned_and_cropped(turns: int, mirrored: bool):
    height, width = 260, 340
    top, left = ((0, 0), (6, 11), (7, 4), (13, 9))[(turns + mirrored) % 4]
    linear = scene(0, height, width)
    photo = photo_of(linear)[top : height - 9, left : width - 6]
    photo = np.rot90(photo, -turns)[:, :: -1 if mirrored else 1]
    bayer = bayer_of(linear)
    position = register(photo, bayer)
    # a mirrored and turned photo has two descriptions; only the resulting pixels count
    rgb, raw = position.apply(photo, bayer)
    assert (position.top, position.left, position.mirrored) == (top, left, mirrored)
    assert min(raw.shape) > height - 26 and position.correlation > 0.9 and position.largest_shift < 0.5
    assert_sites_match(rgb, raw)


@pytest.mark.parametrize("index", range(8))
def test_noisy_scenes_of_all_kinds_are_registered_and_unrelated_ones_rejected(index: int):
    linear, other = scene(index, HEIGHT, WIDTH), scene((index + 3) % 8, HEIGHT, WIDTH)
    position = register(photo_of(linear)[5:, 8:], bayer_of(linear, noise=0.004))
    assert (position.mirrored, position.turns, position.top, position.left) == (False, 0, 5, 8)
    with pytest.raises(InputError, match="don't match"):
        register(photo_of(linear), bayer_of(other))


@pytest.mark.parametrize(("top", "left"), [(4, 8), (3, 5)])
def test_photo_larger_than_raw(top: int, left: int):
    linear = scene(5, HEIGHT, WIDTH)
    photo, bayer = photo_of(linear), bayer_of(linear[top:-6, left:-4])
    position = register(photo, bayer)
    assert (position.top, position.left) == (-top, -left)
    rgb, raw = position.apply(photo, bayer)
    assert raw.shape == tuple(side // 2 * 2 for side in bayer.shape)
    assert_sites_match(rgb, raw)


def test_wide_crop_of_16_bits():
    linear = scene(0, HEIGHT, WIDTH)
    position = register(photo_of(linear)[40:-41].astype(np.uint16) * 257, bayer_of(linear))
    assert (position.top, position.left, position.turns) == (40, 0, 0)


def zoomed(photo: np.ndarray, factor: float) -> np.ndarray:
    height, width = (round(side / factor / 2) * 2 for side in photo.shape[:2])
    top, left = (photo.shape[0] - height) // 2, (photo.shape[1] - width) // 2
    part = photo[top : top + height, left : left + width]
    return (resize(part, photo.shape) * 255).round().astype(np.uint8)


def undistorted(photo: np.ndarray, pixels: float) -> np.ndarray:
    """Apply a distortion correction: the corners move by `pixels`, the centre stays."""
    y, x = (np.mgrid[: photo.shape[0], : photo.shape[1]].T - np.array(photo.shape[1::-1])[::-1] / 2).T
    radius = np.hypot(y, x) / np.hypot(*photo.shape[:2]) * 2
    scale = 1 - radius**2 * pixels / (np.hypot(*photo.shape[:2]) / 2)
    positions = [y * scale + photo.shape[0] / 2, x * scale + photo.shape[1] / 2]
    channels = np.moveaxis(photo, -1, 0)
    return np.stack([map_coordinates(one, positions, order=1, mode="nearest") for one in channels], -1)


@pytest.mark.parametrize("index", [0, 1, 5])
@pytest.mark.parametrize(("change", "amount"), [(zoomed, 1.03), (zoomed, 1.015), (undistorted, 6)])
def test_zoom_and_distortion_are_rejected(index: int, change, amount: float):
    linear = scene(index, HEIGHT, WIDTH)
    line = r"differ in scale or shape: parts are shifted by up to \d+\.\d pixels"
    with pytest.raises(InputError, match=line):
        register(change(photo_of(linear), amount), bayer_of(linear))


def test_photos_that_show_too_little_are_rejected():
    tiny = "photo of 50 x 60, RAW of 560 x 420 pixels; registration needs 64"
    for shape, line in (((HEIGHT, WIDTH), "too little texture"), ((60, 50), tiny)):
        with pytest.raises(InputError, match=line):
            register(np.full((*shape, 3), 120, np.uint8), bayer_of(scene(0, HEIGHT, WIDTH)))


@pytest.mark.parametrize("index", range(4))
def test_a_photo_is_turned_only_if_it_fits_better_then(index: int):
    """A symmetrical one fits as well mirrored."""
    linear = scene(index, HEIGHT, WIDTH)
    symmetrical = (linear + linear[:, ::-1]) / 2
    assert is_turned(photo_of(linear)[:, ::-1], bayer_of(linear))
    assert is_turned(photo_of(linear)[::-1, ::-1], bayer_of(linear))
    for kept in (linear, symmetrical):
        assert not is_turned(photo_of(kept), bayer_of(kept))


@pytest.mark.parametrize(("side", "factor"), [(2048, 2), (2050, 4)])
def test_the_coarse_raw_averages_whole_bayer_cells(side: int, factor: int):
    bayer = np.zeros((64, side), np.float32)
    bayer[::2, ::2] = 0.8  # red only
    used, brightness = coarse_raw(bayer)
    assert used == factor and np.ptp(brightness) < 1e-6


def test_tiles_of_a_pair():
    """A long pair gets small tiles, and its RAW is compared in the gamma of its photo."""
    grey = gaussian_filter(np.random.default_rng(0).uniform(size=(2 * TILE_SIDE + 1, 9 * TILE_SIDE + 1)), 2)
    raw = (0.05 + 0.6 * (grey - grey.min()) / np.ptp(grey)).astype(np.float32)
    tiles = measure_tiles(raw ** np.float32(1 / 2.2), raw, 0, 0)
    assert len(tiles.shifts) == 2 * MAX_TILES and tiles.clear.all() and np.abs(tiles.shifts).max() < 0.05
    assert tiles.correlations.min() > 0.999
