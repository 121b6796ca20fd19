"""Training patches and their sources."""

import json

import imageio.v3 as iio
import numpy as np
import pytest
from conftest import ROOT, random_rgb

from omf.networks.global_net import QUANTILES
from omf.raw.bayer import mosaic, pack, to_challenge_counts
from omf.raw.camera import load_camera
from omf.raw.overexposure import overexposure_mask
from omf.raw.simulator import sample_settings
from omf.training.datasets import Pair
from omf.training.patches import WANTED, MosaickedScenes, Patches, WholeImages
from omf.training.sources import (
    RecordedPictures,
    SimulatedPictures,
    draw_scenes,
    load_linear_scenes,
    load_scenes,
    randomly_flip,
    reduce_scene,
)
from omf.utils.console import configure_logging

CAMERA = load_camera("samsung_s7")
PHOTOS = [ROOT / "test_rgb" / name for name in ("coffee.jpg", "hopper.jpg", "chelsea.jpg")]


@pytest.fixture(scope="module")
def simulated():
    return SimulatedPictures(load_scenes(PHOTOS, 50, CAMERA), draw_scenes(2, 0, 80), CAMERA)


@pytest.fixture
def recorded(tmp_path):
    """Return three pairs whose RAW is exactly half of the photo in each channel."""
    pairs = []
    for seed in range(3):
        rgb = random_rgb(70, 90, seed)
        iio.imwrite(tmp_path / f"{seed}.png", rgb)
        np.save(tmp_path / f"{seed}.npy", pack(to_challenge_counts(mosaic(rgb / np.float32(510)))))
        pairs.append(Pair(tmp_path / f"{seed}.png", tmp_path / f"{seed}.npy", 1024))
    return RecordedPictures(pairs)


@pytest.fixture(params=["simulated", "recorded"])
def source(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("branch", ["oe", "noe"])
def test_patches_are_reproducible_and_contain_pixels_of_the_branch(source, branch):
    first, other = (Patches(source, WANTED[branch], 48, 6, seed) for seed in (1, 2))
    again = Patches(source, WANTED[branch], 48, 6, 1, with_summary=True)
    masks = []
    for index in reversed(range(6)):
        (x, bayer), (x2, bayer2, thumbnail, quantiles) = first[index], again[index]
        assert (x == x2).all() and (bayer == bayer2).all()
        assert thumbnail.shape == (4, 64, 64) and quantiles.shape == (3, len(QUANTILES))
        assert (x != other[index][0]).any()
        assert x.shape == (4, 48, 48) and bayer.shape == (1, 48, 48)
        assert bayer.min() >= 0 and bayer.max() <= 1
        masks.append(x[3].numpy() == 1)
        rgb = (x[:3].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        assert (masks[-1] == overexposure_mask(rgb)).all()
    if branch == "noe":
        assert max(mask.mean() for mask in masks) < 0.9
    else:
        assert np.mean([mask.any() for mask in masks]) > 0.8


def test_recorded_photo_and_raw_stay_aligned(recorded):
    for seed in range(30):
        rgb, bayer, photo = recorded.draw(np.random.default_rng(seed), 32, lambda brightness: True)
        np.testing.assert_allclose(bayer, mosaic(rgb / np.float32(510)), atol=1 / 1024)
        assert photo().shape == (70, 90, 3)


def test_whole_images_are_reproducible_and_show_their_raw(source):
    first, again = (WholeImages(source, 4, 1) for _ in range(2))
    for index in reversed(range(4)):
        (x, quantiles, raw), others = first[index], again[index]
        assert all((part == other).all() for part, other in zip((x, quantiles, raw), others))
        assert (quantiles.diff() >= 0).all()
        assert x.shape == (4, 64, 64) and raw.shape == (3, 64, 64)
        assert raw.min() >= 0 and raw.max() <= 1
        assert x[3].unique().tolist() in ([0], [1], [0, 1])
        luma = x[:3].mean(0) > 0.3  # brighter photo, brighter RAW
        assert raw.mean(0)[luma].mean() > raw.mean(0)[~luma].mean()


def test_a_patch_and_its_summary_are_of_one_capture():
    """Of a uniform scene, both show the same grey."""
    source = SimulatedPictures([np.full((100, 100, 3), 0.2, np.float16)], [], CAMERA)
    for x, _, thumbnail, _ in (Patches(source, WANTED["noe"], 48, 12, 1, True)[index] for index in range(12)):
        np.testing.assert_allclose(thumbnail[:3].mean((1, 2)), x[:3].mean((1, 2)), atol=0.02)


def test_photos_keep_a_part_of_the_lights_colour(simulated):
    """White balance is incomplete, so that photos in warm light are warm, and on average neither."""
    rng = np.random.default_rng(0)
    casts, warm = [], []  # logarithms; of R over B
    for _ in range(300):
        settings = sample_settings(CAMERA, rng)
        casts.append(np.log(simulated.remaining_cast(settings, rng)))
        light = np.log(settings.neutral / CAMERA.mean_neutral)
        warm.append(light[0] - light[2])
    warm_casts = np.array(casts) @ [1, 0, -1]
    assert np.corrcoef(warm_casts, warm)[0, 1] > 0.7
    assert (np.abs(warm_casts) <= 0.4 * np.abs(warm) + 1e-6).all()
    np.testing.assert_allclose(np.exp(casts) @ [0.299, 0.587, 0.114], 1, atol=0.05)


@pytest.mark.parametrize("shape", [(64, 64), (300, 330), (130, 40)])
def test_a_reduced_scene_averages_a_part_of_it(shape):
    scene = np.random.default_rng(0).uniform(0, 1, (*shape, 3)).astype(np.float16)
    reduced = reduce_scene(scene, np.random.default_rng(1))
    size = min(128, *shape)
    assert reduced.shape == (size, size, 3) and reduced.dtype == np.float32
    assert reduced.mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("size", [12, 14, 20])
def test_a_flipped_mosaic_is_the_mosaic_of_the_flipped_image_in_all_orientations(size):
    rgb, corners = np.random.default_rng(0).uniform(size=(size + 2, size + 2, 3)), set()
    order = np.arange(size + 2)
    rgb[..., 1] = order[:, None] * (size + 2) + order
    for seed in range(100):
        turned, bayer = randomly_flip(rgb, mosaic(rgb), np.random.default_rng(seed))
        assert bayer.shape == (size, size)
        assert (bayer == mosaic(turned)).all()
        corners.add(tuple(turned[[0, 0, -1], [0, -1, 0], 1]))
    assert len(corners) == 8


def test_sharp_scenes_and_their_mosaics(simulated):
    (bayer, truth), (_, again) = (MosaickedScenes(simulated, 24, 4, 0)[3] for _ in range(2))
    assert bayer.shape == (1, 24, 24) and truth.shape == (3, 24, 24)
    assert (bayer[0].numpy() == mosaic(truth.permute(1, 2, 0).numpy())).all()
    assert (again == truth).all()


def test_unusable_photos_are_reported_and_skipped(tmp_path, capsys):
    (tmp_path / "broken.jpg").write_text("no picture")
    iio.imwrite(tmp_path / "small.png", np.zeros((20, 20, 3), np.uint8))
    configure_logging()  # as the programs do
    assert len(load_scenes([tmp_path / "broken.jpg", tmp_path / "small.png", PHOTOS[0]], 50, CAMERA)) == 1
    log = capsys.readouterr().err
    assert "broken.jpg: not a picture" in log
    assert "small.png: 20 x 20 pixels; 50 x 50 are needed" in log


def test_shadows_that_a_photo_clips_are_black_in_its_scenes(tmp_path):
    """No draw of the prior leaves the level of its black point in them."""
    photo = np.full((60, 60, 3), 128, np.uint8)
    photo[:30] = 0
    iio.imwrite(tmp_path / "half.png", photo)
    for scene in load_scenes([tmp_path / "half.png"] * 10, 50, CAMERA):
        assert (scene[:30] == 0).all() and (scene[30:] > 0.02).all()


def test_linear_images_are_white_balanced(tmp_path):
    linear = np.full((60, 60, 3), [4000, 8000, 2000], np.uint16)
    iio.imwrite(tmp_path / "a.tiff", linear)
    (tmp_path / "a_metadata.json").write_text(json.dumps({"illuminant_color_raw": [0.5, 1.0, 0.25]}))
    (scene,) = load_linear_scenes([tmp_path / "a.tiff"], 50)
    np.testing.assert_allclose(scene[0, 0], 1, rtol=1e-3)
