"""Training patches: simulated on the fly, or cropped from a dataset; the seed and index decide each patch."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from omf.networks.base import network_input
from omf.networks.global_net import THUMBNAIL_SIZE, summarise_photo
from omf.raw.bayer import halved, mosaic
from omf.raw.overexposure import THRESHOLD, overexposure_mask
from omf.raw.simulator import expose
from omf.training.sources import SimulatedPictures, Source, Wanted, randomly_rotate


def wants_overexposed(luma: np.ndarray) -> bool:
    """Return whether a patch has enough overexposed pixels for OE: more than 2 %. Luma is sRGB in [0, 1]."""
    return (luma >= THRESHOLD / 1000).mean() > 0.02


def wants_others(luma: np.ndarray) -> bool:
    """Return whether a patch has enough other pixels for NOE: more than 20 %. Luma is sRGB in [0, 1]."""
    return (luma >= THRESHOLD / 1000).mean() < 0.8


WANTED = {"oe": wants_overexposed, "noe": wants_others}


class DrawnImages(Dataset):
    """Images drawn from a source; image i depends on (`seed`, i) alone."""

    def __init__(self, source: Source, length: int, seed: int):
        self.source, self.length, self.seed = source, length, seed

    def __len__(self) -> int:
        return self.length

    def rng(self, index: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, index])


class Patches(DrawnImages):
    """Patches of a source, as network input and RAW mosaic.

    Args:
        source: source of the patches.
        wanted: predicate of a patch's luma that selects the patches, see `WANTED`.
        size: height and width in pixels, even.
        length: number of patches.
        seed: random seed.
        with_summary: whether to summarise the whole photo too, for the base network.
    """

    def __init__(
        self, source: Source, wanted: Wanted, size: int, length: int, seed: int, with_summary: bool = False
    ):
        super().__init__(source, length, seed)
        self.wanted, self.size, self.with_summary = wanted, size, with_summary

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        """Return network input (4, P, P), RAW mosaic (1, P, P) and, if wanted, `summarise_photo`."""
        rgb, bayer, photo = self.source.draw(self.rng(index), self.size, self.wanted)
        x = network_input(rgb, overexposure_mask(rgb))[0]
        patch = (x, torch.from_numpy(np.ascontiguousarray(bayer))[None])
        return (*patch, *summarise_photo(torch.tensor(photo()))) if self.with_summary else patch


class WholeImages(DrawnImages):
    """Summaries of whole images, with their RAW, for the base network."""

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return thumbnail (4, S, S), quantiles and demosaiced RAW (3, S, S), float32 in [0, 1]."""
        rgb, raw = self.source.draw_whole(self.rng(index))
        raw = torch.from_numpy(np.moveaxis(raw, -1, 0).copy())
        return *summarise_photo(torch.tensor(rgb)), functional.adaptive_avg_pool2d(raw, THUMBNAIL_SIZE)


class MosaickedScenes(DrawnImages):
    """Sharp scenes in camera RGB and their mosaics, for the Demosaic Net.

    Args:
        pictures: simulated camera; its scenes are reduced to half, which hides the demosaicing of the photos.
        size: height and width in pixels, even; limited by the smallest scene.
        length: number of patches.
        seed: random seed.
    """

    def __init__(self, pictures: SimulatedPictures, size: int, length: int, seed: int):
        super().__init__(pictures, length, seed)
        smallest = min(side for scene in pictures.scenes for side in scene.shape[:2])
        self.size = min(size, smallest // 4 * 2)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return mosaic (1, P, P) and the camera RGB (3, P, P) it samples, float32 in [0, 1]."""
        rng = self.rng(index)
        _, crop, settings, _ = self.source.crop(*self.source.pool(rng), rng, 2 * self.size)
        sharp = halved(randomly_rotate(crop.astype(np.float32), rng))
        raw = np.clip(expose(sharp, settings), 0, 1)
        return torch.from_numpy(mosaic(raw))[None], torch.from_numpy(np.moveaxis(raw, -1, 0).copy())
