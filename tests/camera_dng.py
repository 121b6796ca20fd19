"""Small cameras for tests: scenes as a sensor counts them, as DNG files, and as a simple JPEG shows them."""

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from omf.raw.scenes import SCENES

GAINS = (
    np.array([0.55, 1.0, 0.6], np.float32) * 0.45
)  # RAW of a scene value of 1; no matrix, so that sites can be compared


def scene(index: int, height: int, width: int) -> np.ndarray:
    return SCENES[index](height, width, np.random.default_rng(index)).astype(np.float32)


def photo_of(scene: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3)."""
    return (np.clip(scene, 0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8)


def bayer_of(scene: np.ndarray, cfa: str = "RGGB", noise: float = 0.0) -> np.ndarray:
    """float32 (H, W): each site's colour in the order of `cfa`."""
    raw = np.clip(scene * GAINS, 0, 1)
    bayer = np.empty(raw.shape[:2], np.float32)
    for site, colour in enumerate(cfa):
        rows, columns = slice(site // 2, None, 2), slice(site % 2, None, 2)
        bayer[rows, columns] = raw[rows, columns, "RGB".index(colour)]
    return np.clip(bayer + noise * np.random.default_rng(0).standard_normal(bayer.shape), 0, 1).astype(
        np.float32
    )


def write_dng(
    path: Path,
    bayer: np.ndarray,
    cfa: str = "RGGB",
    black: tuple[int, ...] = (64,) * 4,
    white: int = 16383,
    orientation: int = 1,
) -> np.ndarray:
    """Write [0, 1] values as counts, a black level for each site; the counts."""
    counts = np.empty(bayer.shape, np.uint16)
    for site, level in enumerate(black):
        rows, columns = slice(site // 2, None, 2), slice(site % 2, None, 2)
        counts[rows, columns] = (bayer[rows, columns] * (white - level) + level).round()
    write_tiff(path, counts, (2, 2), bytes("RGB".index(colour) for colour in cfa), black, white, orientation)
    return counts


def write_tiff(
    path: Path,
    counts: np.ndarray,
    repeat: tuple[int, int],
    pattern: bytes,
    black: tuple[int, ...] = (64,) * 4,
    white: int = 16383,
    orientation: int = 1,
) -> None:
    """Counts as DNG: (H, W) with a colour pattern, or (H, W, 3), linear."""
    tags = [
        (274, "H", 1, orientation, True),  # Orientation
        (50706, "B", 4, bytes([1, 4, 0, 0]), True),  # DNGVersion
        (50708, "s", 0, "Test Camera", True),  # UniqueCameraModel
        (50717, "I", 1, white, True),  # WhiteLevel
        (50721, "2i", 9, (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1), True),  # ColorMatrix1
        (50728, "2I", 3, (1, 2, 1, 1, 1, 2), True),  # AsShotNeutral
        (50778, "H", 1, 21, True),  # CalibrationIlluminant1
    ]
    if counts.ndim == 2:
        tags += [
            (33421, "H", 2, repeat, True),
            (33422, "B", len(pattern), pattern, True),
        ]  # CFARepeatPatternDim, CFAPattern
        tags += [
            (50713, "H", 2, (2, 2), True),
            (50714, "H", 4, black, True),
        ]  # BlackLevelRepeatDim, BlackLevel
    tifffile.imwrite(
        path, counts, photometric="cfa" if counts.ndim == 2 else 34892, extratags=tags, metadata=None
    )


def write_pair(
    folder: Path,
    name: str,
    index: int = 0,
    height: int = 260,
    width: int = 340,
    turns: int = 0,
    cfa: str = "GRBG",
) -> np.ndarray:
    """NAME.jpg and NAME.dng of one scene, the photo turned and smaller than the RAW; the scene."""
    shown = scene(index, height, width)
    folder.mkdir(parents=True, exist_ok=True)
    write_dng(folder / f"{name}.dng", bayer_of(shown, cfa), cfa)
    Image.fromarray(np.rot90(photo_of(shown)[3:-5, 6:-7], turns)).save(folder / f"{name}.jpg", quality=95)
    return shown
