"""The Bayer side: mosaic, demosaic, packed planes, and the challenge's 10-bit numbers.

The colour filter array (CFA) is RGGB, R at even row and even column, unless a line says otherwise.
"""

import numpy as np

from omf.raw.isp import clip

WHITE_LEVEL = 1024  # counts for 1.0; the challenge writes truncate(1024 x), so 1024 itself can occur
CFA_ORIGINS = {
    "RGGB": (0, 0),
    "GRBG": (0, 1),
    "GBRG": (1, 0),
    "BGGR": (1, 1),
}  # row and column of the first red pixel


def mosaic(rgb: np.ndarray, cfa: str = "RGGB") -> np.ndarray:
    """Keep, at each pixel, the one colour that a Bayer sensor measures there.

    Args:
        rgb: (H, W, 3), demosaiced RAW (camera RGB). A last odd row or column is dropped, since half
            a Bayer cell can't be packed.
        cfa: the order of the colours, one of `CFA_ORIGINS`.

    Returns:
        (H', W') of the same type, H' and W' even.
    """
    return mosaic_of_all(whole_cells(rgb), cfa)


def mosaic_of_all(rgb: np.ndarray, cfa: str = "RGGB") -> np.ndarray:
    """`mosaic` with a last odd row and column: (H, W, 3) -> (H, W)."""
    row, column = CFA_ORIGINS[cfa]
    bayer = rgb[..., 1].copy()
    for (y, x), channel in (((row, column), 0), ((1 - row, 1 - column), 2)):
        bayer[y::2, x::2] = rgb[y::2, x::2, channel]
    return bayer


def whole_cells(image: np.ndarray) -> np.ndarray:
    """(H, W, ...) without a last odd row and column."""
    return image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]


def to_rggb(bayer: np.ndarray, cfa: str) -> np.ndarray:
    """The part of a mosaic (H, W) that begins at its first red pixel and has an even height and width."""
    row, column = CFA_ORIGINS[cfa]
    height, width = ((size - start) // 2 * 2 for size, start in zip(bayer.shape, (row, column)))
    return bayer[row : row + height, column : column + width]


def demosaic(bayer: np.ndarray, cfa: str = "RGGB") -> np.ndarray:
    """Fill in the two colours that a sensor does not measure at each pixel.

    The gradient-corrected linear interpolation of Malvar, He and Cutler (2004): the mean of the
    neighbours of the wanted colour, corrected by how far the pixel's own colour departs from its
    surroundings. Borders are mirrored, which keeps the colours of the filter array in place.

    Args:
        bayer: (H, W), H and W even, float32 or float64.
        cfa: the order of its colours, one of `CFA_ORIGINS`.

    Returns:
        (H, W, 3) of the same type. Measured samples are kept; beside sharp edges the others may lie
        a little outside the range of the input.
    """
    # mirrored, each order is RGGB
    mirror = tuple(slice(None, None, -1 if origin else 1) for origin in CFA_ORIGINS[cfa])
    bayer = bayer[mirror]
    height, width = bayer.shape
    padded = np.pad(bayer, 2, mode="reflect")

    def at(row: int, column: int) -> np.ndarray:
        return padded[2 + row : 2 + row + height, 2 + column : 2 + column + width]

    left_right, up_down = at(0, -1) + at(0, 1), at(-1, 0) + at(1, 0)
    diagonal = at(-1, -1) + at(-1, 1) + at(1, -1) + at(1, 1)
    far_row, far_column = at(0, -2) + at(0, 2), at(-2, 0) + at(2, 0)
    # the four kernels of the paper: green at R and B; R or B at a green pixel with it in the same row,
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
        for colour, source in enumerate(colours):
            rgb[rows, columns, colour] = source[rows, columns]
    return rgb[mirror]


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


def to_challenge_counts(raw: np.ndarray, white_level: int = WHITE_LEVEL) -> np.ndarray:
    """Turn linear values into a challenge's counts: [0, 1] float -> uint16, truncate(1024 x)."""
    return (np.clip(raw, 0, 1) * raw.dtype.type(white_level)).astype(np.uint16)


def from_challenge_counts(counts: np.ndarray) -> np.ndarray:
    """Turn counts into linear values: uint16 -> float64, counts / 1024."""
    return counts / WHITE_LEVEL


def to_challenge_format(rgb: np.ndarray) -> np.ndarray:
    """Demosaiced RAW, float (H, W, 3) in [0, 1] -> packed Bayer, uint16 (H/2, W/2, 4)."""
    return pack(mosaic(to_challenge_counts(rgb)))


def halved(picture: np.ndarray) -> np.ndarray:
    """Means of 2 x 2; a last odd row or column is dropped."""
    even = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
    return (even[0::2, 0::2] + even[0::2, 1::2] + even[1::2, 0::2] + even[1::2, 1::2]) / 4


def mean_colour(packed: np.ndarray) -> np.ndarray:
    """(3,): means of R, green and B."""
    red, green_r, green_b, blue = packed.reshape(-1, 4).mean(axis=0)
    return np.array([red, (green_r + green_b) / 2, blue])


def half_size_rgb(packed: np.ndarray) -> np.ndarray:
    """Packed RAW, float (h, w, 4) in [0, 1] -> float32 (h, w, 3), a pixel for each Bayer cell.

    Demosaiced first: the planes alone are a pixel apart, which shows at edges.
    """
    return clip(halved(demosaic(unpack(packed.astype(np.float32)))))


def half_size_photo(rgb: np.ndarray) -> np.ndarray:
    """sRGB, uint8 or uint16 (H, W, 3) -> float32 (H/2, W/2, 3) in [0, 1], a pixel for each Bayer cell."""
    return halved(rgb.astype(np.float32)) / np.float32(np.iinfo(rgb.dtype).max)
