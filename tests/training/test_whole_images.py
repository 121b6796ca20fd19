"""Whole images for the global network, and its objective."""

import numpy as np
import pytest
import torch
from conftest import ROOT

from omf.networks.global_net import THUMBNAIL_SIZE, GlobalNet
from omf.raw.camera import load_camera
from omf.raw.overexposure import overexposure_mask
from omf.training.loop import Plan, fit
from omf.training.sources import SimulatedPictures, draw_scenes, load_scenes
from omf.training.whole_images import WholeImages, global_objective, reduce_scene

PHOTOS = [ROOT / "test_rgb" / name for name in ("hills.jpg", "bricks.jpg", "balls.jpg")]


@pytest.fixture(scope="module")
def pictures() -> SimulatedPictures:
    return SimulatedPictures(load_scenes(PHOTOS, 64), draw_scenes(4, 0, 150), load_camera("samsung_s7"))


def test_images_are_reproducible_and_have_their_mask(pictures):
    first, again = (WholeImages(pictures, 8, 1) for _ in range(2))
    other = WholeImages(pictures, 8, 2)
    for index in reversed(range(8)):
        (x, raw), (x2, raw2) = first[index], again[index]
        assert (x == x2).all() and (raw == raw2).all()
        assert (x != other[index][0]).any()
        assert x.shape == (4, THUMBNAIL_SIZE, THUMBNAIL_SIZE) and raw.shape == (3, *x.shape[1:])
        assert raw.min() >= 0 and raw.max() <= 1
        rgb = (x[:3].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        assert (overexposure_mask(rgb) == (x[3].numpy() == 1)).all()


@pytest.mark.parametrize("shape", [(64, 64), (200, 330), (130, 64)])
def test_a_reduced_scene_averages_a_part_of_it(shape):
    scene = np.random.default_rng(0).uniform(0, 1, (*shape, 3)).astype(np.float16)
    reduced = reduce_scene(scene, np.random.default_rng(1))
    assert reduced.shape == (THUMBNAIL_SIZE, THUMBNAIL_SIZE, 3) and reduced.dtype == np.float32
    assert reduced.mean() == pytest.approx(0.5, abs=0.03)


def test_a_short_training_finds_a_constant_exposure(tmp_path, pictures):
    """The initial transform is off by a factor, which a few iterations mend."""

    class Halved(WholeImages):
        def __getitem__(self, index):
            thumbnail, raw = super().__getitem__(index)
            return thumbnail, raw / 2

    torch.manual_seed(0)
    images = Halved(pictures, 60 * 8, 0)
    batch = [torch.stack(parts) for parts in zip(*(images[index] for index in range(16)))]
    network = GlobalNet()
    before = global_objective(network, batch).item()
    plan = Plan("global", 60, 8, 2e-3, 5, 0.9, "a")
    trained = fit(network, global_objective, images, plan, tmp_path, torch.device("cpu"))
    assert global_objective(trained, batch).item() < 0.6 * before
