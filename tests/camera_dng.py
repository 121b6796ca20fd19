"""A small camera model for tests: sensor counts, DNG files and sRGB photos of drawn scenes."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from omf.raw.scenes import SCENES

# RAW value of a scene value of 1, per channel; no colour matrix, so sites can be compared directly
GAINS = np.array([0.55, 1.0, 0.6], np.float32) * 0.45
SITES = [(slice(row, None, 2), slice(column, None, 2)) for row in (0, 1) for column in (0, 1)]  # of a cell
RGGB = bytes([0, 1, 1, 2])
IDENTITY = (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1)


def scene(index: int, height: int, width: int) -> np.ndarray:
    """Draw a scene: float32 (height, width, 3), linear RGB."""
    return SCENES[index](height, width, np.random.default_rng(index)).astype(np.float32)


def photo_of(scene: np.ndarray) -> np.ndarray:
    """Render a scene as a photo: uint8 (H, W, 3), gamma 1/2.2."""
    return (np.clip(scene, 0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8)


def bayer_of(scene: np.ndarray, cfa: str = "RGGB", noise: float = 0.0) -> np.ndarray:
    """Mosaic a scene: float32 (H, W) in [0, 1], CFA order `cfa`, with Gaussian `noise`."""
    raw = np.clip(scene * GAINS, 0, 1)
    bayer = np.empty(raw.shape[:2], np.float32)
    for site, colour in zip(SITES, cfa):
        bayer[site] = raw[site][..., "RGB".index(colour)]
    noisy = bayer + noise * np.random.default_rng(0).standard_normal(bayer.shape)
    return np.clip(noisy, 0, 1).astype(np.float32)


def jpeg_of(rgb: np.ndarray, **options: object) -> bytes:
    """Encode a photo, uint8 (H, W, 3), as JPEG with options of Pillow."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", **{"quality": 95} | options)
    return file.getvalue()


def write_dng(
    path: Path,
    bayer: np.ndarray,
    cfa: str = "RGGB",
    black: tuple[int, ...] = (64,) * 4,
    white: int = 16383,
    orientation: int = 1,
    embedded: tuple[bytes | np.ndarray, ...] = (),
) -> np.ndarray:
    """Write a mosaic in [0, 1] as a DNG file with one black level per site, and return its uint16 counts.

    `embedded` are photos: JPEG files, or uint8 (H, W, 3), which are stored without compression.
    """
    counts = np.empty(bayer.shape, np.uint16)
    for site, level in zip(SITES, black):
        counts[site] = (bayer[site] * (white - level) + level).round()
    pattern = bytes(map("RGB".index, cfa))
    write_tiff(path, counts, (2, 2), pattern, ((2, 2), black), white, orientation, embedded)
    return counts


def write_tiff(
    path: Path,
    counts: np.ndarray,
    repeat: tuple[int, int] = (2, 2),
    pattern: bytes = RGGB,
    black: tuple[tuple[int, int], Sequence[int]] = ((1, 1), (0,)),
    white: int = 16383,
    orientation: int = 1,
    embedded: tuple[bytes | np.ndarray, ...] = (),
    tags: Sequence[tuple] = (),
) -> None:
    """Write counts as DNG: (H, W) with a CFA pattern, or (H, W, 3) as linear RAW, with embedded photos.

    `repeat` and `pattern` are of the CFA, `black` are rows and columns of a pattern and its levels.
    """
    cfa = [(33421, "H", 2, repeat, True), (33422, "B", len(pattern), pattern, True)]
    tags = [
        (274, "H", 1, orientation, True),  # Orientation
        (50706, "B", 4, bytes([1, 4, 0, 0]), True),  # DNGVersion
        (50708, "s", 0, "Test Camera", True),  # UniqueCameraModel
        (50713, "H", 2, black[0], True),  # BlackLevelRepeatDim
        (50714, "H", len(black[1]), black[1], True),  # BlackLevel
        (50717, "I", 1, white, True),  # WhiteLevel
        (50721, "2i", 9, IDENTITY, True),  # ColorMatrix1
        (50728, "2I", 3, (1, 2, 1, 1, 1, 2), True),  # AsShotNeutral
        (50778, "H", 1, 21, True),  # CalibrationIlluminant1
        *(cfa if counts.ndim == 2 else []),
        *tags,
    ]
    with tifffile.TiffWriter(path) as tiff:
        photometric = "cfa" if counts.ndim == 2 else 34892
        tiff.write(counts, photometric=photometric, extratags=tags, metadata=None, subifds=len(embedded))
        for photo in embedded:
            options = {"subfiletype": 1, "metadata": None}  # 1: of reduced resolution, in the words of TIFF
            if isinstance(photo, np.ndarray):
                tiff.write(photo, photometric="rgb", **options)
                continue
            with Image.open(io.BytesIO(photo)) as image:
                shape, grey = (image.height, image.width), image.mode == "L"
            options |= {"photometric": "minisblack" if grey else "ycbcr", "rowsperstrip": shape[0]}
            shape = shape if grey else (*shape, 3)
            tiff.write(iter([photo]), shape=shape, dtype=np.uint8, compression="jpeg", **options)


def write_pair(
    folder: Path,
    name: str,
    index: int = 0,
    height: int = 260,
    width: int = 340,
    turns: int = 0,
    cfa: str = "GRBG",
    embedded: bool = False,
) -> np.ndarray:
    """Write a photo (rotated, smaller than the RAW) and NAME.dng of one scene, and return the scene.

    The photo is NAME.jpg, or the same JPEG embedded in NAME.dng.
    """
    shown = scene(index, height, width)
    jpeg = jpeg_of(np.rot90(photo_of(shown)[3:-5, 6:-7], turns))
    folder.mkdir(parents=True, exist_ok=True)
    write_dng(folder / f"{name}.dng", bayer_of(shown, cfa), cfa, embedded=(jpeg,) if embedded else ())
    if not embedded:
        (folder / f"{name}.jpg").write_bytes(jpeg)
    return shown
