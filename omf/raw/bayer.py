"""Bayer images: mosaicking, demosaicing, packed planes, and the challenge's 10-bit counts.

The colour filter array (CFA) is RGGB, R at even row and even column, unless stated otherwise.
"""

import numpy as np

from omf.raw.isp import clip

WHITE_LEVEL = 1024  # counts for 1.0; the challenge writes truncate(1024 x), so 1024 itself can occur
# Row and column of the first red pixel
CFA_ORIGINS = {"RGGB": (0, 0), "GRBG": (0, 1), "GBRG": (1, 0), "BGGR": (1, 1)}


def mosaic(rgb: np.ndarray, cfa: str = "RGGB") -> np.ndarray:
    """Sample, at each pixel, the one colour that a Bayer sensor measures there.

    Demosaiced RAW (H, W, 3) -> (H', W') of the same dtype. An odd last row or column is cropped, since half
    a Bayer cell cannot be packed.
    """
    return mosaic_full(crop_to_cells(rgb), cfa)


def mosaic_full(rgb: np.ndarray, cfa: str = "RGGB") -> np.ndarray:
    """Mosaic an image without cropping an odd last row or column: (H, W, 3) -> (H, W)."""
    row, column = CFA_ORIGINS[cfa]
    bayer = rgb[..., 1].copy()
    for (y, x), channel in (((row, column), 0), ((1 - row, 1 - column), 2)):
        bayer[y::2, x::2] = rgb[y::2, x::2, channel]
    return bayer


def crop_to_cells(image: np.ndarray) -> np.ndarray:
    """Crop an odd last row and column, so that (H, W, ...) consists of complete 2 x 2 cells."""
    return image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]


def to_rggb(bayer: np.ndarray, cfa: str) -> np.ndarray:
    """Crop a mosaic (H, W) to begin at its first red pixel and to have an even height and width."""
    row, column = CFA_ORIGINS[cfa]
    return crop_to_cells(bayer[row:, column:])


def demosaic(bayer: np.ndarray, cfa: str = "RGGB") -> np.ndarray:
    """Interpolate the two colours that the sensor does not measure at each pixel.

    Implements the gradient-corrected linear interpolation of Malvar, He and Cutler (2004): the mean of
    the neighbours of the missing colour, corrected by the difference between the pixel's own colour and
    its surroundings. Borders are mirrored, which preserves the CFA pattern.

    Float32 or float64 (H, W), H and W even -> (H, W, 3) of the same dtype. Measured samples are unchanged;
    near sharp edges, interpolated ones may lie slightly outside the range of the input.
    """
    # mirrored, each CFA order is RGGB
    mirror = tuple(slice(None, None, -1 if origin else 1) for origin in CFA_ORIGINS[cfa])
    bayer = bayer[mirror]
    height, width = bayer.shape
    padded = np.pad(bayer, 2, mode="reflect")

    def shifted(row: int, column: int) -> np.ndarray:
        return padded[2 + row : 2 + row + height, 2 + column : 2 + column + width]

    left_right, up_down = shifted(0, -1) + shifted(0, 1), shifted(-1, 0) + shifted(1, 0)
    diagonal = shifted(-1, -1) + shifted(-1, 1) + shifted(1, -1) + shifted(1, 1)
    far_row, far_column = shifted(0, -2) + shifted(0, 2), shifted(-2, 0) + shifted(2, 0)
    # the four kernels of the paper: green at R and B; R or B at a green pixel in the same row as it,
    # or in the same column; R at B and B at R
    green = (4 * bayer + 2 * (left_right + up_down) - far_row - far_column) / 8
    in_row = (5 * bayer + 4 * left_right - diagonal - far_row + far_column / 2) / 8
    in_column = (5 * bayer + 4 * up_down - diagonal - far_column + far_row / 2) / 8
    opposite = (6 * bayer + 2 * diagonal - 1.5 * (far_row + far_column)) / 8

    sources = (  # of R, G, B at the four sites of a Bayer cell
        (bayer, green, opposite),
        (in_row, bayer, in_column),
        (in_column, bayer, in_row),
        (opposite, green, bayer),
    )
    rgb = np.empty((height, width, 3), bayer.dtype)
    for site, colours in enumerate(sources):
        rows, columns = slice(site // 2, None, 2), slice(site % 2, None, 2)
        for channel, source in enumerate(colours):
            rgb[rows, columns, channel] = source[rows, columns]
    return rgb[mirror]


def pack(bayer: np.ndarray) -> np.ndarray:
    """Stack the four sites of each Bayer cell: (H, W) -> (H/2, W/2, 4), planes R, Gr, Gb, B."""
    return np.stack([bayer[0::2, 0::2], bayer[0::2, 1::2], bayer[1::2, 0::2], bayer[1::2, 1::2]], axis=-1)


def unpack(packed: np.ndarray) -> np.ndarray:
    """Invert `pack`: (H/2, W/2, 4) -> (H, W)."""
    half_height, half_width, _ = packed.shape
    bayer = np.empty((2 * half_height, 2 * half_width), packed.dtype)
    for plane in range(4):
        bayer[plane // 2 :: 2, plane % 2 :: 2] = packed[..., plane]
    return bayer


def to_challenge_counts(raw: np.ndarray, white_level: int = WHITE_LEVEL) -> np.ndarray:
    """Convert linear values to a challenge's counts: float, clipped to [0, 1] -> uint16, truncated.

    With the default white level these are truncate(1024 x).
    """
    return (np.clip(raw, 0, 1) * raw.dtype.type(white_level)).astype(np.uint16)


def from_challenge_counts(counts: np.ndarray) -> np.ndarray:
    """Convert counts to linear values: uint16 -> float64, counts / 1024."""
    return counts / WHITE_LEVEL


def to_challenge_format(rgb: np.ndarray) -> np.ndarray:
    """Convert demosaiced RAW, float (H, W, 3) in [0, 1], to packed RGGB counts, uint16 (H/2, W/2, 4)."""
    return pack(mosaic(to_challenge_counts(rgb)))


def halved(image: np.ndarray) -> np.ndarray:
    """Average 2 x 2 pixels: (H, W, ...) -> (H/2, W/2, ...), an odd last row or column cropped."""
    image = crop_to_cells(image)
    return (image[0::2, 0::2] + image[0::2, 1::2] + image[1::2, 0::2] + image[1::2, 1::2]) / 4


def merge_greens(packed: np.ndarray) -> np.ndarray:
    """Convert packed RGGB, float (..., 4), to R, the mean of both greens, and B: (..., 3)."""
    return np.stack([packed[..., 0], (packed[..., 1] + packed[..., 2]) / 2, packed[..., 3]], axis=-1)


def mean_colour(packed: np.ndarray) -> np.ndarray:
    """Return the means of R, G and B, (3,), of packed RGGB."""
    return merge_greens(packed.reshape(-1, 4).mean(axis=0))


def half_size_rgb(packed: np.ndarray) -> np.ndarray:
    """Convert packed RAW, float (h, w, 4) in [0, 1], to RGB, float32 (h, w, 3), one pixel per Bayer cell.

    The RAW is demosaiced first, because the planes are offset by one pixel, which is visible at edges.
    """
    return clip(halved(demosaic(unpack(packed.astype(np.float32)))))


def half_size_photo(rgb: np.ndarray) -> np.ndarray:
    """Average an sRGB photo over each Bayer cell: uint8 or uint16 (H, W, 3) -> float32 (H/2, W/2, 3)."""
    return halved(rgb.astype(np.float32)) / np.float32(np.iinfo(rgb.dtype).max)
