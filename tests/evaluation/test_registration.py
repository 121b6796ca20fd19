"""Registration finds the turn and the crop of every photo exactly, and refuses what needs resampling."""

import numpy as np
import pytest
from camera_dng import GAINS, bayer_of, photo_of, scene
from scipy.ndimage import map_coordinates
from skimage.transform import resize

from omf.evaluation.registration import register
from omf.utils.errors import InputError

HEIGHT, WIDTH = 420, 560
SITES = ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2))  # row, column, colour


def assert_sites_match(rgb: np.ndarray, bayer: np.ndarray, edge: int = 1) -> None:
    """The photo of each site's own value is what the photo shows at that site."""
    assert rgb.shape[:2] == bayer.shape and not any(side % 2 for side in bayer.shape)
    for row, column, colour in SITES:
        developed = photo_of(bayer[row::2, column::2] / GAINS[colour])
        shown = rgb[row::2, column::2, colour]
        assert np.abs(developed.astype(int) - shown).max() <= edge


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("top", "left"), [(0, 0), (6, 11), (7, 4), (13, 9)])
def test_turned_and_cropped(turns: int, mirrored: bool, top: int, left: int):
    height, width = 260, 340
    shown = scene(0, height, width)
    photo = photo_of(shown)[top : height - 9, left : width - 6]
    photo = np.rot90(photo, -turns)[:, :: -1 if mirrored else 1]
    bayer = bayer_of(shown)
    found = register(photo, bayer)
    # a mirrored and turned picture can be told in two ways; what counts is where the pixels go
    rgb, raw = found.apply(photo, bayer)
    assert (found.top, found.left, found.mirrored) == (top, left, mirrored)
    assert min(raw.shape) > height - 26 and found.correlation > 0.9 and found.largest_shift < 0.5
    assert_sites_match(rgb, raw)


@pytest.mark.parametrize("index", range(8))
def test_all_kinds_of_scenes_with_noise(index: int):
    shown = scene(index, HEIGHT, WIDTH)
    photo, bayer = photo_of(shown)[5:, 8:], bayer_of(shown, noise=0.004)
    found = register(photo, bayer)
    assert (found.mirrored, found.turns, found.top, found.left) == (False, 0, 5, 8)


@pytest.mark.parametrize(("top", "left"), [(4, 8), (3, 5)])
def test_photo_larger_than_raw(top: int, left: int):
    shown = scene(5, HEIGHT, WIDTH)
    photo, bayer = photo_of(shown), bayer_of(shown[top:-6, left:-4])
    found = register(photo, bayer)
    assert (found.top, found.left) == (-top, -left)
    rgb, raw = found.apply(photo, bayer)
    assert raw.shape == tuple(side // 2 * 2 for side in bayer.shape)
    assert_sites_match(rgb, raw)


def test_wide_crop_of_16_bits():
    shown = scene(0, HEIGHT, WIDTH)
    photo = photo_of(shown)[40:-41].astype(np.uint16) * 257
    found = register(photo, bayer_of(shown))
    assert (found.top, found.left, found.turns) == (40, 0, 0)


def zoomed(photo: np.ndarray, factor: float) -> np.ndarray:
    height, width = (round(side / factor / 2) * 2 for side in photo.shape[:2])
    top, left = (photo.shape[0] - height) // 2, (photo.shape[1] - width) // 2
    return (
        (resize(photo[top : top + height, left : left + width], photo.shape) * 255).round().astype(np.uint8)
    )


def straightened(photo: np.ndarray, pixels: float) -> np.ndarray:
    """As a distortion correction does it: the corners move by `pixels`, the middle stays."""
    y, x = (np.mgrid[: photo.shape[0], : photo.shape[1]].T - np.array(photo.shape[1::-1])[::-1] / 2).T
    radius = np.hypot(y, x) / np.hypot(*photo.shape[:2]) * 2
    pull = 1 - radius**2 * pixels / (np.hypot(*photo.shape[:2]) / 2)
    places = [y * pull + photo.shape[0] / 2, x * pull + photo.shape[1] / 2]
    return np.stack(
        [map_coordinates(photo[..., channel], places, order=1, mode="nearest") for channel in range(3)],
        axis=-1,
    )


@pytest.mark.parametrize("index", [0, 1, 5])
@pytest.mark.parametrize(
    "change",
    [
        lambda photo: zoomed(photo, 1.03),
        lambda photo: zoomed(photo, 1.015),
        lambda photo: straightened(photo, 6),
    ],
)
def test_zoom_and_distortion_are_refused(index: int, change):
    shown = scene(index, HEIGHT, WIDTH)
    with pytest.raises(
        InputError, match=r"differ in scale or shape: parts are shifted by up to \d+\.\d pixels"
    ):
        register(change(photo_of(shown)), bayer_of(shown))


@pytest.mark.parametrize("index", range(8))
def test_different_pictures_are_refused(index: int):
    with pytest.raises(InputError, match="don't match"):
        register(photo_of(scene(index, HEIGHT, WIDTH)), bayer_of(scene((index + 3) % 8, HEIGHT, WIDTH)))


def test_flat_photo_is_refused():
    flat = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    with pytest.raises(InputError, match="too little texture"):
        register(flat, bayer_of(scene(0, HEIGHT, WIDTH)))


def test_tiny_photo_is_refused():
    shown = scene(0, 100, 100)
    with pytest.raises(InputError, match="photo of 50 x 60, RAW of 100 x 100 pixels; 64 a side"):
        register(photo_of(shown)[:60, :50], bayer_of(shown))
