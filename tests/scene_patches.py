"""Scenes as AIM 2022 gives them out, in patches, for tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from omf.raw import isp
from omf.raw.challenge_scenes import PATCHES, window
from omf.raw.extra_curves import PATCH_COLUMNS, PATCH_ROWS
from omf.raw.scenes import SCENES

SIZE = 32  # of a patch
CURVES = [0, 1, 1, 0, 1, 0] * 8
LEFT = [number % PATCH_COLUMNS < 4 for number in range(PATCHES)]  # patches of the left half


def draw_photo(size: int = SIZE, seed: int = 3, low: float = 0.25) -> np.ndarray:
    """Draw a photo of mid-tones, which the curves change, for patches of this size: uint8 (h, w, 3)."""
    scene = SCENES[0](PATCH_ROWS * size, PATCH_COLUMNS * size, np.random.default_rng(seed))
    noise = np.random.default_rng(seed + 1).normal(0, 0.01, scene.shape)
    return isp.to_8_bit(isp.clip(low + 0.5 * isp.encode_srgb(isp.clip(scene)) + noise))


def cut(photo: np.ndarray, curves: Sequence[int] | None = None) -> list[np.ndarray]:
    """Cut a photo into patches, under extra curves."""
    height, width = photo.shape[0] // PATCH_ROWS, photo.shape[1] // PATCH_COLUMNS
    patches = [photo[window(number, height, width)] for number in range(PATCHES)]
    if not curves:
        return patches
    return [
        isp.to_8_bit(isp.EXTRA_CURVES[curve](patch / np.float32(255)))
        for patch, curve in zip(patches, curves, strict=True)
    ]


def expose(photo: np.ndarray, factor: float) -> np.ndarray:
    """Return a photo of another exposure."""
    linear = isp.decode_srgb(photo / np.float32(255)) * np.float32(factor)
    return isp.to_8_bit(isp.encode_srgb(isp.clip(linear)))


def two_exposures(photo: np.ndarray, curves: Sequence[int] | None = None) -> list[np.ndarray]:
    """Cut a scene whose right half comes from a photo of a third of the exposure."""
    bright, dark = cut(photo, curves), cut(expose(photo, 0.33), curves)
    return [bright[number] if left else dark[number] for number, left in enumerate(LEFT)]


def write_scene(folder: Path, scene: str, patches: Sequence[np.ndarray]) -> list[Path]:
    """Write the patches of a scene as PNG."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{scene}_{number}.png" for number in range(len(patches))]
    for path, patch in zip(paths, patches):
        Image.fromarray(patch).save(path)
    return paths
