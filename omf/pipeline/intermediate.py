"""Pictures between two steps: TIFF files, compressed without loss. No torch here."""

from pathlib import Path

import numpy as np
import tifffile

from omf.utils.files import atomic_write


def save_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture, (H, W, 3), of uint8, uint16 or float32, atomically.

    Only the next step reads it, which compares it with a manifest: it is not synced to the disk.
    """
    with atomic_write(path, synced=False) as temporary:
        tifffile.imwrite(
            temporary,
            picture,
            photometric="rgb",
            planarconfig="contig",
            compression="zstd",
            compressionargs={"level": 1},
            # differences of neighbours are small in photos; RAW rather repeats whole values
            predictor=picture.dtype.kind == "u",
            maxworkers=1,  # a step works on several pictures at once
        )


def read_picture(path: Path) -> np.ndarray:
    """Read a picture of `save_picture`."""
    return tifffile.imread(path, maxworkers=1)
