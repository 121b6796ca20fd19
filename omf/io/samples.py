"""Stored samples of pictures: bit depths and orientation."""

import numpy as np

# Transforms of stored pixels, (H, W) or (H, W, C), for display, by EXIF orientation
DISPLAY_TRANSFORMS = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).swapaxes(0, 1),
    8: np.rot90,
}


def scale_to_16_bits(pixels: np.ndarray, depth: int) -> np.ndarray:
    """Scale samples of 9 to 16 bits to the full range of uint16."""
    return (pixels.astype(np.uint32) * 65535 // (2**depth - 1)).astype(np.uint16)
