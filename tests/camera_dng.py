"""A small camera model for tests: sensor counts, DNG files and sRGB photos of drawn scenes."""

import io
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from omf.raw.scenes import SCENES

# RAW value of a scene value of 1, per channel; no colour matrix, so sites can be compared directly
GAINS = np.array([0.55, 1.0, 0.6], np.float32) * 0.45


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
    for site, colour in enumerate(cfa):
        rows, columns = slice(site // 2, None, 2), slice(site % 2, None, 2)
        bayer[rows, columns] = raw[rows, columns, "RGB".index(colour)]
    return np.clip(bayer + noise * np.random.default_rng(0).standard_normal(bayer.shape), 0, 1).astype(
        np.float32
    )


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
    for site, level in enumerate(black):
        rows, columns = slice(site // 2, None, 2), slice(site % 2, None, 2)
        counts[rows, columns] = (bayer[rows, columns] * (white - level) + level).round()
    pattern = bytes("RGB".index(colour) for colour in cfa)
    write_tiff(path, counts, (2, 2), pattern, black, white, orientation, embedded)
    return counts


def write_tiff(
    path: Path,
    counts: np.ndarray,
    repeat: tuple[int, int],
    pattern: bytes,
    black: tuple[int, ...] = (64,) * 4,
    white: int = 16383,
    orientation: int = 1,
    embedded: tuple[bytes | np.ndarray, ...] = (),
) -> None:
    """Write counts as DNG: (H, W) with a CFA pattern, or (H, W, 3) as linear RAW, with embedded photos."""
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
            (33421, "H", 2, repeat, True),  # CFARepeatPatternDim
            (33422, "B", len(pattern), pattern, True),  # CFAPattern
            (50713, "H", 2, (2, 2), True),  # BlackLevelRepeatDim
            (50714, "H", 4, black, True),  # BlackLevel
        ]
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            counts,
            photometric="cfa" if counts.ndim == 2 else 34892,
            extratags=tags,
            metadata=None,
            subifds=len(embedded),
        )
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
