"""Training patches: simulated on the fly or cut out of a dataset's pictures, the same for the same seed and index."""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from omf.networks.base import network_input
from omf.raw.bayer import mosaic
from omf.raw.overexposure import THRESHOLD, overexposure_mask
from omf.raw.simulator import expose
from omf.training.sources import SimulatedPictures, Source, randomly_rotate


class Patches(Dataset):
    """Patches of a source, as the network gets them.

    Args:
        source: where they come from.
        branch: `oe` asks for patches with overexposed pixels, `noe` for those with others, `all` for any.
        size: height and width in pixels, even.
        length: number of patches.
        seed: patch i depends on (seed, i) alone.
        even_brightness: as many dark patches as bright ones (stratified sampling, Berdan et al. 2025), `noe` and `all` only.
    """

    def __init__(self, source: Source, branch: str, size: int, length: int, seed: int, even_brightness: bool):
        self.source, self.branch, self.size, self.length, self.seed = source, branch, size, length, seed
        self.even_brightness = even_brightness

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """(4, P, P) sRGB and mask, (1, P, P) RAW mosaic, float32."""
        rng = np.random.default_rng([self.seed, index])
        level = rng.uniform()

        def wanted(brightness: np.ndarray) -> bool:
            overexposed = (brightness >= THRESHOLD / 1000).mean()
            if self.branch == "oe":
                return overexposed > 0.02
            near = not self.even_brightness or abs(brightness.mean() - level) < 0.1
            return near and (self.branch == "all" or overexposed < 0.8)

        rgb, bayer = self.source.draw(rng, self.size, wanted)
        return network_input(rgb, overexposure_mask(rgb))[0], torch.from_numpy(np.ascontiguousarray(bayer))[
            None
        ]


class MosaickedScenes(Dataset):
    """Sharp scenes in RAW's colours and their mosaics, for the Demosaic Net.

    Args:
        pictures: their scenes are reduced to half, which hides what the cameras of the photos made up themselves.
        size: height and width in pixels, even.
        length: number of patches.
        seed: patch i depends on (seed, i) alone.
    """

    def __init__(self, pictures: SimulatedPictures, size: int, length: int, seed: int):
        smallest = min(length for scene in pictures.scenes for length in scene.shape[:2])
        self.pictures, self.length, self.seed = pictures, length, seed
        self.size = min(size, smallest // 4 * 2)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """(1, P, P) mosaic, (3, P, P) what it was made of, float32 in [0, 1]."""
        rng = np.random.default_rng([self.seed, index])
        scene, shot = self.pictures.crop(*self.pictures.pool(rng), rng, 2 * self.size)
        sharp = (
            randomly_rotate(scene.astype(np.float32), rng)
            .reshape(self.size, 2, self.size, 2, 3)
            .mean(axis=(1, 3))
        )
        raw = np.clip(expose(sharp, shot), 0, 1)
        return torch.from_numpy(mosaic(raw))[None], torch.from_numpy(np.moveaxis(raw, -1, 0).copy())
