"""Whole images at the size of a thumbnail, for the training of the global network."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from omf.networks.base import network_input
from omf.networks.global_net import THUMBNAIL_SIZE
from omf.raw.isp import clip
from omf.raw.overexposure import overexposure_mask
from omf.raw.simulator import expose, run_isp, sample_settings
from omf.training.sources import SimulatedPictures, randomly_rotate

MIN_SHARE = 0.45  # of a scene's shorter side, that an image shows at least
TINT_SHARE = 0.3  # share of images with a tint
TINT_DEVIATION = 0.15  # of the logarithm of its channels


class WholeImages(Dataset):
    """Simulated thumbnails of whole images, with their RAW.

    The simulator runs at the size of the thumbnail, without mosaic, noise and JPEG, which averaging removes.

    Args:
        pictures: simulated camera and its scenes.
        length: number of images.
        seed: random seed; image i depends on (seed, i) alone.
    """

    def __init__(self, pictures: SimulatedPictures, length: int, seed: int):
        self.pictures, self.length, self.seed = pictures, length, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return the network's thumbnail (4, S, S) and demosaiced RAW (3, S, S), float32 in [0, 1]."""
        rng = np.random.default_rng([self.seed, index])
        scenes, shares = self.pictures.pool(rng)
        scene = reduce_scene(scenes[rng.choice(len(scenes), p=shares)], rng)
        if rng.uniform() < TINT_SHARE:
            scene = scene * np.exp(rng.normal(0, TINT_DEVIATION, 3)).astype(np.float32)
        camera = self.pictures.camera
        settings = replace(sample_settings(camera, rng), subsampling=None)
        raw = clip(expose(scene, settings)).astype(np.float32)
        rgb = run_isp(raw, settings)
        thumbnail = network_input(rgb, overexposure_mask(rgb))[0]
        return thumbnail, torch.from_numpy(np.moveaxis(raw, -1, 0).copy())


def reduce_scene(scene: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Average a random square of a scene, (H, W, 3) of `THUMBNAIL_SIZE` or more, to float32 (S, S, 3)."""
    factor = max(int(min(scene.shape[:2]) * rng.uniform(MIN_SHARE, 1)) // THUMBNAIL_SIZE, 1)
    side = factor * THUMBNAIL_SIZE
    top, left = (rng.integers(length - side + 1) for length in scene.shape[:2])
    window = scene[top : top + side, left : left + side].astype(np.float32)
    blocks = window.reshape(THUMBNAIL_SIZE, factor, THUMBNAIL_SIZE, factor, 3)
    return np.ascontiguousarray(randomly_rotate(blocks.mean(axis=(1, 3)), rng))


def global_objective(network: nn.Module, batch: list[Tensor]) -> Tensor:
    """Return the mean over the images of the RMS error of RAW."""
    thumbnail, raw = batch
    transform = network(thumbnail)
    with torch.autocast(thumbnail.device.type, enabled=False):
        error = type(transform)(*(part.float() for part in transform)).apply(thumbnail[:, :3]) - raw
        return error.square().mean((1, 2, 3)).sqrt().mean()
