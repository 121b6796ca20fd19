"""Check that a photo and its packed RAW are a pair: the same pixels, planes R, Gr, Gb, B, black level 0.

The limits lie between the faults and real pairs of four phones. A photo with little contrast or colour, or
without dark parts, shows fewer faults.
"""

import numpy as np

from omf.evaluation.alignment import MAX_RIVAL, MIN_CORRELATION, correlate, texture, tile_shift
from omf.evaluation.consistency import MAX_GREY_SPREAD, MIN_GREY_SHARE
from omf.raw.bayer import half_size_photo, halved, merge_greens, pack
from omf.raw.isp import LUMA, decode_srgb
from omf.utils.errors import InputError

WRONG_PLANES = "the colours of its planes contradict the photo; give planes R, Gr, Gb, B, black at 0"
MAX_GREENS = 0.3  # difference of the logarithm of Gr / Gb from the photo's, which has patterns in rows too
MIN_COMPARED = 32  # per side; smaller pairs show too little
MIDDLE_SIDE = 256  # pixels of the part in the middle that is compared; multiples of 32 make the DFT fast
MIN_CONTRAST = 0.03  # standard deviation of the photo's brightness; below it noise counts
MIN_MATCH = 0.6  # correlation of brightness: 0.84 and more in real pairs, 0.4 and less if turned or swapped
MAX_OFFSET = 1.1  # Bayer cells; 0.9 in real pairs that were resampled
MIN_COLOUR = 0.05  # standard deviation of logarithmic colour ratios; below it noise counts
MIN_COLOUR_MATCH = -0.5  # sum of two correlations: 0.3 and more in real pairs
MIN_SWAP_GAIN = 0.45  # by which R and B match better if swapped: -0.5 and less in real pairs
# linear values that the darkest pixels reach: of a photo with dark parts, and of RAW with a black level
DARK_SHARE, DARK_PHOTO, DARK_RAW = 0.005, 0.1, 0.03
MIN_BLACK_RATIO = 0.75  # of these values of R, G and B: a black level is the same for all


def check_pair(rgb: np.ndarray, bayer: np.ndarray) -> float | None:
    """Check that a photo and its RAW are a pair.

    Args:
        rgb: sRGB photo, uint8 or uint16 (H, W, 3), H and W even.
        bayer: RGGB mosaic, float32 (H, W) in [0, 1].

    Returns:
        RAW green relative to that of the linear photo, the median over middle tones; None if there are few.

    Raises:
        InputError: they are not a pair; the error does not name the files.
    """
    if not any(np.ptp(bayer[row::2, column::2]) for row, column in np.ndindex(2, 2)):
        raise InputError("every plane has a single value; give RAW that shows something")
    if min(bayer.shape) < 2 * MIN_COMPARED:
        return None
    rgb, packed = middle(rgb), pack(middle(bayer))
    photo, green = half_size_photo(rgb), pack(rgb[..., 1]) / np.float32(np.iinfo(rgb.dtype).max)
    if abs(green_balance(packed) - green_balance(decode_srgb(green))) > MAX_GREENS:
        raise InputError(WRONG_PLANES)
    compare_position(photo @ LUMA, packed.mean(axis=-1) ** np.float32(1 / 2.2))
    linear, raw = decode_srgb(halved(photo)).reshape(-1, 3), merge_greens(halved(packed)).reshape(-1, 3)
    compare_colours(linear, raw)
    compare_black(linear, raw)
    tones = (linear[:, 1] > 0.07) & (linear[:, 1] < 0.7)
    return float(np.median(raw[tones, 1] / linear[tones, 1])) if tones.sum() >= MIN_COMPARED else None


def green_balance(packed: np.ndarray) -> float:
    """Return the logarithm of Gr / Gb, of the means of packed planes (h, w, 4)."""
    green_r, green_b = (float(packed[..., plane].mean()) + 1e-4 for plane in (1, 2))
    return np.log(green_r / green_b)


def middle(image: np.ndarray) -> np.ndarray:
    """Return the middle of an image, (H, W, ...), from a Bayer cell on; at most `MIDDLE_SIDE` a side."""
    height, width = (min(side // 32 * 32, MIDDLE_SIDE) for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 4 * 2, (image.shape[1] - width) // 4 * 2
    return image[top : top + height, left : left + width]


def compare_position(photo: np.ndarray, raw: np.ndarray) -> None:
    """Raise InputError if the brightness of photo and RAW, (h, w) each, does not match or is shifted."""
    if photo.std() > MIN_CONTRAST and correlate(halved(photo), halved(raw)) < MIN_MATCH:
        raise InputError("photo and RAW don't match; give the RAW of this photo, turned and cropped likewise")
    window = np.outer(*(np.hanning(side) for side in photo.shape)).astype(np.float32)
    shift, best, rival = tile_shift(texture(photo), texture(raw), window)
    if np.hypot(*shift) > MAX_OFFSET and best >= MIN_CORRELATION and rival <= MAX_RIVAL * best:
        down, right = (f"{2 * distance:.0f}" for distance in shift)
        raise InputError(
            f"the RAW is shifted against its photo by {down} rows and {right} columns;"
            " give pairs that match pixel for pixel"
        )


def compare_colours(photo: np.ndarray, raw: np.ndarray) -> None:
    """Raise InputError if the colours of a linear photo and of its RAW, (n, 3) each, differ in kind."""
    if not np.ptp(photo, axis=1).any():
        raise InputError("the photo is grey, its RAW is not; give a photo in colour")
    brightest = photo.max(axis=1)
    grey = (brightest > 0.02) & (brightest < 0.9) & (np.ptp(photo, axis=1) < MAX_GREY_SPREAD * brightest)
    neutral = raw[grey].mean(axis=0) if grey.mean() > MIN_GREY_SHARE else np.array([0, 1, 0])
    if neutral[[0, 2]].min() > neutral[1]:  # no light gives less green than both others
        raise InputError(WRONG_PLANES)
    usable = (brightest < 0.9) & (photo.min(axis=1) > 0.004) & (raw.min(axis=1) > 0)
    if usable.sum() < MIN_COMPARED**2 // 4:
        return
    photo, raw = (np.log(image[usable][:, [0, 2]] / image[usable][:, [1]]) for image in (photo, raw))
    if photo.std(axis=0).min() < MIN_COLOUR:
        return
    straight, swapped = (
        sum(correlate(photo[:, i], raw[:, j]) for i, j in enumerate(order)) for order in ((0, 1), (1, 0))
    )
    if straight < MIN_COLOUR_MATCH or swapped > straight + MIN_SWAP_GAIN:
        raise InputError(WRONG_PLANES)


def compare_black(photo: np.ndarray, raw: np.ndarray) -> None:
    """Raise InputError if RAW seems to contain a black level; linear photo and RAW are (n, 3)."""
    darkest = np.quantile(raw, DARK_SHARE, axis=0)
    dark = np.quantile(photo.max(axis=1), DARK_SHARE) < DARK_PHOTO
    if dark and darkest.min() > max(DARK_RAW, MIN_BLACK_RATIO * darkest.max()):
        raise InputError(
            f"R, G and B begin at {darkest.min():.2f} of the white level where the photo is dark;"
            " subtract the black level"
        )
