"""The Bayer side: mosaic, packed planes, and the challenge's 10-bit numbers.

The colour filter array (CFA) is RGGB throughout: R at even row and even column.
"""

import numpy as np

WHITE_LEVEL = 1024  # counts for 1.0; the challenge writes truncate(1024 x), so 1024 itself can occur


def mosaic(rgb: np.ndarray) -> np.ndarray:
    """Keep, at each pixel, the one colour that an RGGB sensor measures there.

    Args:
        rgb: (H, W, 3), demosaiced RAW (camera RGB). A last odd row or column is dropped, since half
            a Bayer cell can't be packed.

    Returns:
        (H', W') of the same type, H' and W' even.
    """
    height, width = rgb.shape[0] // 2 * 2, rgb.shape[1] // 2 * 2
    bayer = rgb[:height, :width, 1].copy()
    bayer[0::2, 0::2] = rgb[0:height:2, 0:width:2, 0]
    bayer[1::2, 1::2] = rgb[1:height:2, 1:width:2, 2]
    return bayer


def pack(bayer: np.ndarray) -> np.ndarray:
    """Stack the four sites of each Bayer cell: (H, W) -> (H/2, W/2, 4), planes R, Gr, Gb, B."""
    return np.stack([bayer[0::2, 0::2], bayer[0::2, 1::2], bayer[1::2, 0::2], bayer[1::2, 1::2]], axis=-1)


def unpack(packed: np.ndarray) -> np.ndarray:
    """Undo `pack`: (H/2, W/2, 4) -> (H, W)."""
    half_height, half_width, _ = packed.shape
    bayer = np.empty((2 * half_height, 2 * half_width), packed.dtype)
    for plane in range(4):
        bayer[plane // 2 :: 2, plane % 2 :: 2] = packed[..., plane]
    return bayer


def quantise(raw: np.ndarray) -> np.ndarray:
    """Turn linear values into the challenge's counts: [0, 1] float -> uint16, truncate(1024 x)."""
    return (np.clip(raw, 0, 1) * raw.dtype.type(WHITE_LEVEL)).astype(np.uint16)


def dequantise(counts: np.ndarray) -> np.ndarray:
    """Turn counts into linear values: uint16 -> float64, counts / 1024."""
    return counts / WHITE_LEVEL


def to_challenge_format(rgb: np.ndarray) -> np.ndarray:
    """Demosaiced RAW, float (H, W, 3) in [0, 1] -> packed Bayer, uint16 (H/2, W/2, 4)."""
    return pack(mosaic(quantise(rgb)))
