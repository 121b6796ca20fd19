"""Registration of a photo to the RAW that it was developed from, pixel for pixel.

A camera's JPEG may be turned, and cropped differently from the RAW. Both are undone without resampling:
the photo's pixels are turned to the sensor's orientation and both are cropped, so the Bayer samples keep
their measured values. Pairs that would need resampling (zoom, distortion) are rejected.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter, maximum_filter

from omf.utils.errors import InputError

MIN_SIDE = 64  # pixels; smaller images hold too little to compare
COARSE_SIDE = 1024  # longest side of the downscaled images in which the position is searched
# Share of the smaller image that must lie on the other; JPEGs are cropped by a few percent, or from 4:3 to
# 16:9.
OVERLAP = 0.75
TILE_SIDE = 128  # pixels of the tiles in which local shifts are measured; doubled in large images
MAX_TILES = 7  # per side
MIN_TILES = 4  # in total; fewer cannot reveal a change of scale
TOO_FLAT = "the photo has too little texture for registration; give one that shows detail in several places"
# Shares of R, G and B in a Bayer cell. They make the photo comparable with `box_mean` of a mosaic.
BAYER_CELL_WEIGHTS = np.array([0.25, 0.5, 0.25], np.float32)
# Standard deviation of the fine structure, of a range of 1: above the noise that JPEG compression leaves in a
# flat sky, below a single edge. Tiles with less contain no information about shifts.
MIN_TEXTURE = 0.005
# Brightness, gamma-encoded. Around brighter areas the photo is clipped and the RAW is not, which moves edges.
MAX_BRIGHTNESS = 0.9
# Simulated pairs of all kinds of scenes reach 0.75 and more with little noise, 0.4 and more with the noise of
# a dim room. Unrelated images reach 0.3 by chance, with each tile at its own best shift.
MIN_CORRELATION = 0.4
# Along a straight edge and in a repeated pattern a tile fits at many positions. The shift of a tile counts if
# the correlation everywhere else is below this share of the best.
MAX_RIVAL = 0.85
# Pixels; a tenth of the tiles may exceed it. Shifts of exact pairs stay below 0.5, even with noise. If a zoom
# or a distortion correction moves a corner by a whole pixel, the colours at edges are wrong.
MAX_SHIFT = 1.0
# By this much the correlations, of texture and brightness, must be higher for another orientation
MIN_TURN_GAIN = 0.3


@dataclass(frozen=True)
class Registration:
    """Position of a photo on its RAW, and quality of the match."""

    mirrored: bool  # the photo's columns are reversed before it is turned
    turns: int  # anticlockwise quarter turns from the photo to the sensor's orientation
    top: int  # row of the RAW at the turned photo's first row; negative if the photo is larger
    left: int  # column of the RAW at its first column
    correlation: float  # mean over the tiles, weighted by their texture; 1 = equal
    largest_shift: float  # remaining shift in pixels, the 90th percentile of the reliable tiles

    def apply(self, rgb: np.ndarray, bayer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Crop photo, (H, W, 3), and RGGB mosaic, (H', W'), to their common area.

        Returns:
            (H'', W'', 3) and (H'', W''), H'' and W'' even, RGGB, in the sensor's orientation.
        """
        turned = to_sensor_orientation(rgb, self.mirrored, self.turns)
        photo, raw = overlap(turned, bayer, self.top, self.left, cell=2)
        return np.ascontiguousarray(photo), np.ascontiguousarray(raw)


def register(rgb: np.ndarray, bayer: np.ndarray) -> Registration:
    """Find the turn and the crop that align a photo with its RAW, and check the result.

    Args:
        rgb: sRGB photo, (H, W, 3), uint8 or uint16.
        bayer: RGGB mosaic, float32 (H', W'), H' and W' even, values in [0, 1].

    Raises:
        InputError: either is too small, the photo has too little texture, they show different scenes, or they
            differ by more than a turn and a crop.
    """
    if min(rgb.shape[:2] + bayer.shape) < MIN_SIDE:
        raise InputError(
            f"photo of {size_text(rgb)}, RAW of {size_text(bayer)} pixels;"
            f" registration needs {MIN_SIDE} or more per side"
        )
    photo = brightness_of(rgb)
    mirrored, turns, top, left = coarse_position(photo, bayer)
    photo = to_sensor_orientation(photo, mirrored, turns)
    for _ in range(3):  # the coarse position is off by a few pixels
        tiles = measure_tiles(photo, bayer, top, left)
        shifts = tiles.shifts[tiles.clear]
        down, right = np.rint(np.median(shifts, axis=0)).astype(int).tolist() if len(shifts) else (0, 0)
        if not (down or right):
            break
        top, left = top + down, left + right
    agreement = float(np.average(tiles.correlations, weights=tiles.weights))
    if agreement < MIN_CORRELATION and (factor := binning(rgb.shape[:2], bayer.shape)):
        raise InputError(
            f"photo of {size_text(rgb)}, RAW of {size_text(bayer)} pixels: the camera combined"
            f" {factor} x {factor} pixels of the sensor for the photo; give a photo of the RAW's size"
        )
    if agreement < MIN_CORRELATION:
        raise InputError(
            f"photo and RAW don't match (correlation {agreement:.2f}; at least {MIN_CORRELATION} is needed);"
            " give the photo that the camera developed from this RAW"
        )
    if len(shifts) < MIN_TILES:
        raise InputError(TOO_FLAT)
    median, largest = np.percentile(np.hypot(*shifts.T), (50, 90))
    if largest > MAX_SHIFT:
        raise InputError(
            f"photo and RAW differ in scale or shape: parts are shifted by up to {largest:.1f} pixels"
            f" (median {median:.1f}, limit {MAX_SHIFT:g});"
            " give a photo without digital zoom or distortion correction"
        )
    return Registration(mirrored, turns, top, left, agreement, float(largest))


def binning(photo: tuple[int, int], raw: tuple[int, int]) -> int:
    """Return 2 or more if a RAW has about that many times the height and width of a photo, else 0."""
    ratios = [b / a for a, b in zip(sorted(photo), sorted(raw))]
    factor = round(ratios[0])
    return factor if factor >= 2 and all(abs(ratio / factor - 1) < 0.1 for ratio in ratios) else 0


def is_turned(rgb: np.ndarray, bayer: np.ndarray) -> bool:
    """Return True if a photo clearly fits its RAW of the same size better turned or mirrored than as it is.

    Arguments as of `register`; sides within a pixel of each other.
    """
    similarities = {}
    factor, raw = coarse_raw(bayer)
    for mirrored, turns, turned in coarse_orientations(brightness_of(rgb), factor):
        if all(abs(a - b) <= 1 for a, b in zip(turned.shape, raw.shape)):
            similarities[mirrored, turns] = similarity(*overlap(turned, raw, 0, 0))
    return max(similarities.values()) > similarities[False, 0] + MIN_TURN_GAIN


def brightness_of(rgb: np.ndarray) -> np.ndarray:
    """Return the brightness of a photo, uint8 or uint16 (H, W, 3), in the shares of a Bayer cell: (H, W)."""
    return (rgb @ BAYER_CELL_WEIGHTS) / np.float32(np.iinfo(rgb.dtype).max)


def coarse_raw(bayer: np.ndarray) -> tuple[int, np.ndarray]:
    """Return the factor by which images are downscaled, and the brightness of the RAW at that size."""
    factor = 2 * -(-max(bayer.shape) // (2 * COARSE_SIDE))  # even: each mean is over complete Bayer cells
    return factor, downscale(bayer, factor) ** (1 / 2.2)


def coarse_orientations(photo: np.ndarray, factor: int) -> Iterator[tuple[bool, int, np.ndarray]]:
    """Yield mirrored, turns and the downscaled photo for each orientation."""
    for mirrored, turns in product((False, True), range(4)):
        yield mirrored, turns, downscale(to_sensor_orientation(photo, mirrored, turns), factor)


def similarity(photo: np.ndarray, raw: np.ndarray) -> float:
    """Return the correlation of two images of brightness, in texture and in brightness, added up.

    Brightness resolves the turn of a symmetrical image, whose edges match in several orientations.
    """
    return zero_mean_correlation(texture(photo), texture(raw)) + correlate(photo, raw)


def to_sensor_orientation(image: np.ndarray, mirrored: bool, turns: int) -> np.ndarray:
    """Reverse the columns if `mirrored`, then apply anticlockwise quarter turns; returns a view."""
    return np.rot90(image[:, ::-1] if mirrored else image, turns)


def size_text(image: np.ndarray) -> str:
    """Format the size of an image as WIDTH x HEIGHT."""
    return f"{image.shape[1]} x {image.shape[0]}"


def coarse_position(photo: np.ndarray, bayer: np.ndarray) -> tuple[bool, int, int, int]:
    """Find the turn and position of highest correlation in downscaled images of brightness and mosaic.

    Returns mirrored, turns, top and left, see `Registration`.
    """
    factor, raw = coarse_raw(bayer)
    positions = []
    for mirrored, turns, turned in coarse_orientations(photo, factor):
        top, left = best_position(texture(turned), texture(raw))
        fit = similarity(*overlap(turned, raw, top, left))
        positions.append((fit, mirrored, turns, top * factor, left * factor))
    return max(positions)[1:]


def downscale(image: np.ndarray, factor: int) -> np.ndarray:
    """Average factor x factor pixels of an image, (H, W, ...); incomplete blocks at the end are cropped."""
    height, width = image.shape[0] // factor, image.shape[1] // factor
    blocks = image[: height * factor, : width * factor]
    return blocks.reshape(height, factor, width, factor, *image.shape[2:]).mean(axis=(1, 3))


def texture(brightness: np.ndarray) -> np.ndarray:
    """Return locally normalised fine structure, which tone curve and white balance hardly affect."""
    fine = fine_structure(brightness)
    return fine / (np.sqrt(gaussian_filter(fine**2, 8)) + 0.02)  # 0.02 limits the noise in flat areas


def fine_structure(brightness: np.ndarray) -> np.ndarray:
    """Remove single-pixel noise and gradients; gradients would widen the correlation peak."""
    return gaussian_filter(brightness, 1) - gaussian_filter(brightness, 3)


def best_position(photo: np.ndarray, raw: np.ndarray) -> tuple[int, int]:
    """Find the position, top and left, at which `photo` correlates best with `raw`."""
    shape = tuple(next_fast_len(a + b, real=True) for a, b in zip(photo.shape, raw.shape))
    products = irfft2(rfft2(raw, shape) * rfft2(photo, shape).conj(), shape)
    ranges = []
    for photo_side, raw_side in zip(photo.shape, raw.shape):
        needed = int(np.ceil(OVERLAP * min(photo_side, raw_side)))
        ranges.append(np.arange(needed - photo_side, raw_side - needed + 1))
    allowed = products[np.ix_(*ranges)]  # negative positions wrap around, as in the DFT
    row, column = np.unravel_index(allowed.argmax(), allowed.shape)
    return int(ranges[0][row]), int(ranges[1][column])


def overlap(
    photo: np.ndarray, raw: np.ndarray, top: int, left: int, cell: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Crop a photo at (top, left) and its RAW to their common area, in complete cells of the RAW."""
    on_photo, on_raw = [], []
    for start, photo_side, raw_side in zip((top, left), photo.shape, raw.shape):
        first = -(-max(start, 0) // cell) * cell
        length = (min(start + photo_side, raw_side) - first) // cell * cell
        on_photo.append(slice(first - start, first - start + length))
        on_raw.append(slice(first, first + length))
    return photo[tuple(on_photo)], raw[tuple(on_raw)]


def correlate(a: np.ndarray, b: np.ndarray) -> float:
    """Return the correlation coefficient of two arrays of the same size; 0 if one is constant."""
    return zero_mean_correlation(a.ravel() - a.mean(), b.ravel() - b.mean())


def zero_mean_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return the correlation of two arrays of mean 0: 1 if they are proportional, 0 if unrelated."""
    return float((a * b).sum() / max(np.sqrt((a**2).sum() * (b**2).sum()), 1e-9))


@dataclass(frozen=True)
class Tiles:
    """Measurements on the N textured tiles of a pair."""

    shifts: np.ndarray  # (N, 2), rows and columns by which the photo's tile must move on the RAW
    correlations: np.ndarray  # (N,), at that shift
    weights: np.ndarray  # (N,), amount of texture
    clear: np.ndarray  # (N,), True if the shift is reliable


def measure_tiles(photo: np.ndarray, bayer: np.ndarray, top: int, left: int) -> Tiles:
    """Measure the remaining shifts on a grid of tiles, with the photo at (top, left) of the RAW.

    Raises InputError if hardly any tile has texture.
    """
    first = max(top, 0), max(left, 0)
    last = min(top + photo.shape[0], bayer.shape[0]) - 1, min(left + photo.shape[1], bayer.shape[1]) - 1
    sides = [end - start for start, end in zip(first, last)]
    tile = min(TILE_SIDE if min(sides) < 8 * TILE_SIDE else 2 * TILE_SIDE, *sides)
    starts = [
        np.linspace(begin, begin + side - tile, min(-(-side // tile), MAX_TILES)).astype(int)
        for begin, side in zip(first, sides)
    ]
    window = np.outer(np.hanning(tile), np.hanning(tile)).astype(np.float32)
    measurements = []
    for row, column in product(*starts):
        on_photo, on_raw = photo[row - top :, column - left :], bayer[row:, column:]
        photo_tile = box_mean(on_photo[: tile + 1, : tile + 1])
        raw_tile = box_mean(on_raw[: tile + 1, : tile + 1]) ** (1 / 2.2)
        bright = (photo_tile > MAX_BRIGHTNESS) | (raw_tile > MAX_BRIGHTNESS)
        comparable = ~maximum_filter(bright, 17)  # 17: extent of the filters
        weight = (fine_structure(photo_tile) * comparable).std()
        if weight >= MIN_TEXTURE:
            shift, best, rival = tile_shift(texture(photo_tile), texture(raw_tile), comparable * window)
            measurements.append((*shift, best, weight, best >= MIN_CORRELATION and rival <= MAX_RIVAL * best))
    if len(measurements) < MIN_TILES:
        raise InputError(TOO_FLAT)
    table = np.array(measurements)
    return Tiles(table[:, :2], table[:, 2], table[:, 3], table[:, 4].astype(bool))


def box_mean(image: np.ndarray) -> np.ndarray:
    """Average each pixel with its right and lower neighbours: (H + 1, W + 1) -> (H, W).

    On a mosaic, every mean is over one R, two G and one B.
    """
    return (image[:-1, :-1] + image[:-1, 1:] + image[1:, :-1] + image[1:, 1:]) / 4


def tile_shift(
    photo: np.ndarray, raw: np.ndarray, weight: np.ndarray
) -> tuple[tuple[float, float], float, float]:
    """Measure the shift of a photo's tile on the RAW's tile, to a fraction of a pixel.

    The weights belong to the photo's pixels and move with them; fixed weights would bias the shift towards 0.

    Returns:
        The shift in rows and columns, the correlation there, and the highest correlation elsewhere.
    """
    products = irfft2(rfft2(raw) * rfft2(photo * weight).conj(), photo.shape)
    energies = irfft2(rfft2(raw**2) * rfft2(weight).conj(), photo.shape) * (photo**2 * weight).sum()
    correlations = np.fft.fftshift(products / np.sqrt(np.maximum(energies, 0.05 * energies.max() + 1e-9)))
    inner = correlations[1:-1, 1:-1]
    row, column = (int(i) + 1 for i in np.unravel_index(inner.argmax(), inner.shape))
    shift = (
        row - photo.shape[0] // 2 + parabola_peak(*correlations[row - 1 : row + 2, column]),
        column - photo.shape[1] // 2 + parabola_peak(*correlations[row, column - 1 : column + 2]),
    )
    best = float(correlations[row, column])
    correlations[max(row - 6, 0) : row + 7, max(column - 6, 0) : column + 7] = 0  # a peak extends 6 pixels
    return shift, best, float(correlations.max())


def parabola_peak(before: float, peak: float, after: float) -> float:
    """Return the position, in [-0.5, 0.5], of the maximum of the parabola through three neighbours."""
    curvature = before - 2 * peak + after
    return 0.0 if curvature >= 0 else float(np.clip(0.5 * (before - after) / curvature, -0.5, 0.5))
