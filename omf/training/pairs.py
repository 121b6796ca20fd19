"""Pairs of sRGB and RAW patches, simulated on the fly, the same for the same seed and index."""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from omf.camera import Camera, develop, expose, linear_scene, random_shot
from omf.errors import InputError
from omf.fusion import network_input
from omf.images import read_rgb
from omf.overexposure import overexposure_mask
from omf.scenes import SCENES

DRAWN_SHARE = 0.25  # of the patches come from drawn scenes
LARGE = 1200  # a photo with more pixels than this on its long side is halved until it has fewer than twice as many


def load_scenes(photos: list[Path]) -> list[np.ndarray]:
    """Read photos as linear scenes, float16 (H, W, 3). Unreadable ones are reported and left out."""
    scenes = []
    for path in tqdm(photos, "reading photos", unit="photo", disable=None):
        try:
            rgb = read_rgb(path)
        except InputError as error:
            tqdm.write(f"left out: {error}")
            continue
        rgb = (rgb >> 8).astype(np.uint8) if rgb.dtype == np.uint16 else rgb
        picture = Image.fromarray(rgb)
        while max(picture.size) > 2 * LARGE:  # hides the photo's own JPEG blocks and demosaicing
            picture = picture.reduce(2)
        scenes.append(linear_scene(np.asarray(picture)).astype(np.float16))
    return scenes


class SimulatedPairs(Dataset):
    """Patches of photos and drawn scenes, taken and developed by the simulated camera.

    Args:
        scenes: linear scenes, (H, W, 3), each at least a patch in size; smaller ones are not used.
        camera: whose pictures are simulated.
        branch: `oe` gives only patches with overexposed pixels, `noe` those with others.
        patch: height and width in pixels.
        length: number of pairs.
        seed: pair i depends on (seed, i) alone.
    """

    def __init__(self, scenes: list[np.ndarray], camera: Camera, branch: str, patch: int, length: int, seed: int):
        self.scenes = [scene for scene in scenes if min(scene.shape[:2]) >= patch]
        self.camera, self.branch, self.patch, self.length, self.seed = camera, branch, patch, length, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """(4, P, P) sRGB and mask, (3, P, P) demosaiced RAW, float32."""
        rng = np.random.default_rng([self.seed, index])
        while True:
            rgb, raw = self.draw(rng)
            mask = overexposure_mask(rgb)
            share = mask.mean()
            if share > 0.02 if self.branch == "oe" else share < 0.8:
                return network_input(rgb, mask)[0], torch.from_numpy(np.moveaxis(raw, -1, 0).copy())

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One pair: uint8 (P, P, 3) sRGB, float32 (P, P, 3) RAW."""
        if not self.scenes or rng.uniform() < DRAWN_SHARE:
            scene = SCENES[rng.integers(len(SCENES))](2 * self.patch, 2 * self.patch, rng)
        else:
            scene = self.scenes[rng.integers(len(self.scenes))]
        top, left = (rng.integers(size - self.patch + 1) for size in scene.shape[:2])
        scene = scene[top : top + self.patch, left : left + self.patch].astype(np.float32)
        if rng.uniform() < 0.5:
            scene = scene[:, ::-1]
        if rng.uniform() < 0.2:  # other weather: all colours of a photo move together
            scene = scene * np.exp(rng.normal(0, 0.15, 3)).astype(np.float32)
        shot = random_shot(self.camera, rng)
        raw = expose(scene, shot)
        rgb = develop(raw, shot, rng)
        if rng.uniform() < 0.9:
            rgb = jpeg(rgb, int(rng.integers(88, 99)), subsampling=int(rng.choice([0, 2])))
        return rgb, raw


def jpeg(rgb: np.ndarray, quality: int, subsampling: int) -> np.ndarray:
    """There and back through JPEG; subsampling as Pillow numbers it (0: 4:4:4, 2: 4:2:0)."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(buffer))
