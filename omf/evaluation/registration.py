"""Bring a photo and the RAW it was developed from onto each other, pixel for pixel.

A camera's JPEG may be turned, and cropped differently from the RAW. Both are undone here without
resampling: the photo's pixels are turned to the sensor's orientation and both are cropped, so that
the Bayer data stay as they were measured. What would need resampling (zoom, distortion) is refused.
"""

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter, maximum_filter

from omf.utils.errors import InputError

MIN_SIDE = 64  # pixels a side; less holds too little to compare
COARSE_SIDE = 1024  # the longest side of the reduced pictures in which the position is searched
OVERLAP = 0.75  # share of the smaller picture that must be on the other; JPEGs are cropped by a few percent, or from 4:3 to 16:9
TILE_SIDE = 128  # pixels a side where local shifts are measured; twice that in large pictures
MAX_TILES = 7  # tiles a side
MIN_TILES = 4  # in all; from fewer a change of scale can't be told
TOO_FLAT = "the photo has too little texture to be brought onto its RAW; give one that shows detail in several places"
# Deviation of the fine structure, of a range of 1: more than is left of noise in a flat sky after
# JPEG compression, less than a single edge makes. Tiles with less say nothing about shifts.
TEXTURED = 0.005
# Brightness, gamma-encoded. Around brighter places the photo is clipped where the RAW is not, and
# edges lie elsewhere.
MAX_BRIGHTNESS = 0.9
# Simulated pairs of all kinds of scenes reach 0.75 and more with little noise, 0.4 and more with the
# noise of a dim room; different pictures reach 0.3 by chance, each tile at its own best shift.
MIN_CORRELATION = 0.4
# Along a straight edge and in a repeated pattern a tile fits in many places: the shift of a tile counts
# where the correlation at any other place is less than this share of the best.
MAX_RIVAL = 0.85
# Pixels, and a tenth of the tiles may have more. Shifts of exact pairs stay below 0.5, noise included;
# where a zoom or a distortion correction moves a corner by a whole pixel, the colours at edges are wrong.
MAX_SHIFT = 1.0


@dataclass(frozen=True)
class Registration:
    """How a photo lies on its RAW, and how well."""

    mirrored: bool  # the photo's columns are reversed, before it is turned
    turns: int  # quarter turns to the left that bring the photo to the sensor's orientation
    top: int  # where the turned photo's first row lies on the RAW; below 0 if the photo is larger
    left: int  # the same of its first column
    correlation: float  # mean of the tiles, by how much texture they have; 1 = equal
    median_shift: float  # pixels that are left between the two, the median of the tiles
    largest_shift: float  # the same, of the worst tiles but for a tenth

    def apply(self, rgb: np.ndarray, bayer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Crop both to what they share: (H, W, 3) and (H, W), H and W even, RGGB, in the sensor's orientation."""
        rgb = to_sensor_orientation(rgb, self.mirrored, self.turns)
        rows = shared(rgb.shape[0], bayer.shape[0], self.top)
        columns = shared(rgb.shape[1], bayer.shape[1], self.left)
        photo = rgb[
            rows.start - self.top : rows.stop - self.top, columns.start - self.left : columns.stop - self.left
        ]
        return np.ascontiguousarray(photo), np.ascontiguousarray(bayer[rows, columns])


def register(rgb: np.ndarray, bayer: np.ndarray) -> Registration:
    """Find the turn and the crop that bring a photo onto its RAW, and check the result.

    Args:
        rgb: (H, W, 3), uint8 or uint16, sRGB.
        bayer: float32 (H', W'), RGGB, H' and W' even, values in [0, 1].

    Raises:
        InputError: they show different things, or differ by more than a turn and a crop.
    """
    if min(rgb.shape[:2] + bayer.shape) < MIN_SIDE:
        raise InputError(
            f"photo of {size_text(rgb)}, RAW of {size_text(bayer)} pixels; {MIN_SIDE} a side or more are needed to bring them together"
        )
    photo = (rgb @ np.array([0.25, 0.5, 0.25], np.float32)) / np.float32(np.iinfo(rgb.dtype).max)
    mirrored, turns, top, left = coarse_position(photo, bayer)
    photo = to_sensor_orientation(photo, mirrored, turns)
    for _ in range(3):  # the coarse position is wrong by a few pixels
        tiles = measure_tiles(photo, bayer, top, left)
        step = (
            np.rint(np.median(tiles.shifts[tiles.clear], axis=0)).astype(int)
            if tiles.clear.any()
            else np.zeros(2, int)
        )
        if not step.any():
            break
        top, left = top + int(step[0]), left + int(step[1])
    agreement = float(np.average(tiles.correlations, weights=tiles.weights))
    if agreement < MIN_CORRELATION:
        raise InputError(
            f"photo and RAW don't match (correlation {agreement:.2f}, {MIN_CORRELATION} or more is needed);"
            " give the photo that the camera made of this RAW"
        )
    if tiles.clear.sum() < MIN_TILES:
        raise InputError(TOO_FLAT)
    lengths = np.hypot(*tiles.shifts[tiles.clear].T)
    median, largest = np.percentile(lengths, (50, 90))
    if largest > MAX_SHIFT:
        raise InputError(
            f"photo and RAW differ in scale or shape: parts are shifted by up to {largest:.1f} pixels"
            f" (median {median:.1f}, {MAX_SHIFT:g} is the limit); give one without digital zoom or distortion correction"
        )
    return Registration(mirrored, turns, top, left, agreement, float(median), float(largest))


def to_sensor_orientation(picture: np.ndarray, mirrored: bool, turns: int) -> np.ndarray:
    """Reverse the columns if `mirrored`, then turn to the left by quarters; a view."""
    return np.rot90(picture[:, ::-1] if mirrored else picture, turns)


def shared(photo: int, raw: int, start: int) -> slice:
    """What of a RAW's rows (or columns) a photo covers that begins at `start`, cut to whole Bayer cells."""
    first = max(start, 0) + max(start, 0) % 2
    last = min(start + photo, raw)
    return slice(first, first + (last - first) // 2 * 2)


def size_text(picture: np.ndarray) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]}"


def coarse_position(photo: np.ndarray, bayer: np.ndarray) -> tuple[bool, int, int, int]:
    """The turn and position of highest correlation, in reduced pictures: mirrored, turns, top, left.

    Args:
        photo: (H, W), brightness of the photo.
        bayer: (H', W'), RGGB.
    """
    factor = 2 * -(-max(bayer.shape) // (2 * COARSE_SIDE))  # even: each mean is over whole Bayer cells
    raw = reduce(bayer, factor) ** (1 / 2.2)
    found = []
    for mirrored in (False, True):
        for turns in range(4):
            turned = reduce(to_sensor_orientation(photo, mirrored, turns), factor)
            top, left = best_position(texture(turned), texture(raw))
            on_photo, on_raw = overlap(turned, raw, top, left)
            # brightness tells apart turns of a symmetrical picture, whose edges fit in several ways
            likeness = correlation(texture(on_photo), texture(on_raw)) + correlation(
                on_photo - on_photo.mean(), on_raw - on_raw.mean()
            )
            found.append((likeness, mirrored, turns, top * factor, left * factor))
    return max(found)[1:]


def reduce(picture: np.ndarray, factor: int) -> np.ndarray:
    """The means of factor x factor pixels; what is over at the end is left out."""
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    return (
        picture[: height * factor, : width * factor].reshape(height, factor, width, factor).mean(axis=(1, 3))
    )


def texture(brightness: np.ndarray) -> np.ndarray:
    """Edges and fine structure, equally strong everywhere: what tone curve and white balance leave alone."""
    fine = fine_structure(brightness)
    return fine / (np.sqrt(gaussian_filter(fine**2, 8)) + 0.02)  # 0.02 keeps noise in flat areas small


def fine_structure(brightness: np.ndarray) -> np.ndarray:
    """What is neither single-pixel noise nor a gradient; gradients would blur where two pictures fit best."""
    return gaussian_filter(brightness, 1) - gaussian_filter(brightness, 3)


def best_position(photo: np.ndarray, raw: np.ndarray) -> tuple[int, int]:
    """Where on `raw` the picture `photo` correlates best: top, left."""
    shape = tuple(next_fast_len(a + b, real=True) for a, b in zip(photo.shape, raw.shape))
    products = irfft2(rfft2(raw, shape) * rfft2(photo, shape).conj(), shape)
    ranges = []
    for photo_side, raw_side in zip(photo.shape, raw.shape):
        needed = int(np.ceil(OVERLAP * min(photo_side, raw_side)))
        ranges.append(np.arange(needed - photo_side, raw_side - needed + 1))
    allowed = products[np.ix_(*ranges)]  # negative positions count from the end, as the transform has it
    row, column = np.unravel_index(allowed.argmax(), allowed.shape)
    return int(ranges[0][row]), int(ranges[1][column])


def overlap(photo: np.ndarray, raw: np.ndarray, top: int, left: int) -> tuple[np.ndarray, np.ndarray]:
    """What a photo at (top, left) shares with its RAW, cut out of each."""
    bottom, right = (min(start + a, b) for start, a, b in zip((top, left), photo.shape, raw.shape))
    top_shared, left_shared = max(top, 0), max(left, 0)
    return photo[top_shared - top : bottom - top, left_shared - left : right - left], raw[
        top_shared:bottom, left_shared:right
    ]


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Of two pictures whose mean is 0: 1 where one is a multiple of the other, 0 where they have nothing in common."""
    return float((a * b).sum() / max(np.sqrt((a**2).sum() * (b**2).sum()), 1e-9))


@dataclass(frozen=True)
class Tiles:
    """What was measured on the N textured tiles of a pair."""

    shifts: np.ndarray  # (N, 2), rows and columns by which the photo's tile must move on the RAW
    correlations: np.ndarray  # (N,), that it then has
    weights: np.ndarray  # (N,), how much texture it has
    clear: np.ndarray  # (N,), True where the shift can be relied on


def measure_tiles(photo: np.ndarray, bayer: np.ndarray, top: int, left: int) -> Tiles:
    """Measure what shifts are left on a grid of tiles, when the photo lies on the RAW at (top, left).

    Raises InputError where hardly any tile has texture.
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
    found = []
    for row in starts[0]:
        for column in starts[1]:
            ours = means_of_four(
                photo[row - top : row - top + tile + 1, column - left : column - left + tile + 1]
            )
            theirs = means_of_four(bayer[row : row + tile + 1, column : column + tile + 1]) ** (1 / 2.2)
            comparable = ~maximum_filter(
                (ours > MAX_BRIGHTNESS) | (theirs > MAX_BRIGHTNESS), 17
            )  # 17: as far as the filters reach
            weight = (fine_structure(ours) * comparable).std()
            if weight < TEXTURED:
                continue
            shift, best, rival = tile_shift(texture(ours), texture(theirs), comparable * window)
            found.append((*shift, best, weight, best >= MIN_CORRELATION and rival <= MAX_RIVAL * best))
    if len(found) < MIN_TILES:
        raise InputError(TOO_FLAT)
    table = np.array(found)
    return Tiles(table[:, :2], table[:, 2], table[:, 3], table[:, 4].astype(bool))


def means_of_four(picture: np.ndarray) -> np.ndarray:
    """(H + 1, W + 1) -> (H, W): the mean of each 2 x 2 pixels. On a Bayer image, one R, two G and one B at every place."""
    return (picture[:-1, :-1] + picture[:-1, 1:] + picture[1:, :-1] + picture[1:, 1:]) / 4


def tile_shift(
    photo: np.ndarray, raw: np.ndarray, weight: np.ndarray
) -> tuple[tuple[float, float], float, float]:
    """By how much one tile must move to lie on another, to a fraction of a pixel; their correlation there; the next best elsewhere.

    The weights belong to the photo's pixels and move with them: weights that stay would pull towards no shift.
    """
    products = irfft2(rfft2(raw) * rfft2(photo * weight).conj(), photo.shape)
    energies = irfft2(rfft2(raw**2) * rfft2(weight).conj(), photo.shape) * (photo**2 * weight).sum()
    correlations = np.fft.fftshift(products / np.sqrt(np.maximum(energies, 0.05 * energies.max() + 1e-9)))
    row, column = (
        int(i) + 1
        for i in np.unravel_index(correlations[1:-1, 1:-1].argmax(), [side - 2 for side in photo.shape])
    )
    shift = (
        row - photo.shape[0] // 2 + vertex(*correlations[row - 1 : row + 2, column]),
        column - photo.shape[1] // 2 + vertex(*correlations[row, column - 1 : column + 2]),
    )
    best = float(correlations[row, column])
    correlations[max(row - 6, 0) : row + 7, max(column - 6, 0) : column + 7] = (
        0  # 6 pixels: as wide as a peak is
    )
    return shift, best, float(correlations.max())


def vertex(before: float, peak: float, after: float) -> float:
    """Where, between -0.5 and 0.5, the parabola through three neighbours is highest."""
    bend = before - 2 * peak + after
    return 0.0 if bend >= 0 else float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5))
