"""Without ground truth: whether a reconstruction can be the photo's RAW. This tells consistency, never accuracy.

The RAW is rendered by a simple ISP whose colours and tones are fitted to the photo, and compared with it. A wrong RAW can
be consistent - the exposure and the white balance are lost in the fit - but an inconsistent one is wrong.
"""

import numpy as np

from omf.evaluation.metrics import psnr
from omf.raw.bayer import WHITE_LEVEL, halved, mean_colour
from omf.raw.camera import Camera
from omf.raw.isp import clip, decode_srgb
from omf.raw.white_balance import DIM_PHOTO, MAX_NEUTRAL_FACTOR, WHITE

KNOTS = 32  # of the tone curve
FIT_SAMPLES = 50_000  # pixels are enough for nine numbers and a curve
MIN_LIGHT = 0.002  # of a mean, below which a RAW is black
SATURATED = 0.5  # share of clipped samples that asks for as many overexposed pixels
GREYEST = 0.25  # of its brightest channel: by so much the channels of a nearly grey pixel differ at most
MIN_GREY_SHARE = 0.01  # share of nearly grey pixels that it takes to see a cast


def fit_to_photo(raw: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """RAW as a picture: the colours and the tones that come nearest to a photo's.

    The least-squares 3 x 3 matrix from RAW to the linear photo, over pixels that are not near white; then one
    tone curve for the three colours: the mean of the photo's sRGB over intervals of the rendered values, made to rise.

    Args:
        raw: demosaiced, float (h, w, 3) in [0, 1].
        photo: sRGB, float, of the same shape and range.

    Returns:
        sRGB, float64 (h, w, 3) in [0, 1].
    """
    raw, srgb = raw.reshape(-1, 3), photo.reshape(-1, 3)
    some = slice(None, None, max(len(raw) // FIT_SAMPLES, 1))
    usable = srgb[some].max(axis=-1) < WHITE
    if usable.sum() < 3:  # all white: any colours will do
        usable[:] = True
    matrix = np.linalg.lstsq(raw[some][usable], decode_srgb(srgb[some][usable]), rcond=None)[0]
    linear = clip(raw @ matrix)
    return fit_tone_curve(linear[some].ravel(), srgb[some].ravel())(linear).reshape(photo.shape)


def fit_tone_curve(linear: np.ndarray, srgb: np.ndarray):
    """The rising curve from rendered values to sRGB values of the same samples, as a function."""
    edges = np.unique(np.quantile(linear, np.linspace(0, 1, KNOTS + 1)))
    place = np.clip(np.searchsorted(edges, linear, side="right") - 1, 0, max(len(edges) - 2, 0))
    counts = np.bincount(place)
    held = counts > 0
    x, y = (np.bincount(place, values)[held] / counts[held] for values in (linear, srgb))
    return lambda values: np.interp(values, x, np.maximum.accumulate(y))


def again(picture: np.ndarray) -> np.ndarray:
    """Half the size once more, where that leaves something: at a quarter of the photo's size, the planes' shift no longer counts."""
    return halved(picture) if min(picture.shape[:2]) >= 2 else picture


def consistency(counts: np.ndarray, photo: np.ndarray, overexposed: float, camera: Camera) -> dict:
    """How well a reconstruction goes with its photo.

    Args:
        counts: packed RAW, uint16 (h, w, 4).
        photo: see `half_size_photo`.
        overexposed: share of the photo's pixels.
        camera: tells the lights under which its RAW is likely.

    Returns:
        consistency_psnr, dB, of the rendered RAW against the photo at a quarter of its size; clipped, the share of the
        RAW's samples at white; warnings, a list of texts.
    """
    packed, photo = again(counts.astype(np.float32)) / WHITE_LEVEL, again(photo)
    raw = np.stack((packed[..., 0], packed[..., 1:3].mean(axis=-1), packed[..., 3]), axis=-1)
    clipped = float((counts >= WHITE_LEVEL - 1).mean())
    return {
        "consistency_psnr": psnr(fit_to_photo(raw, photo), photo),
        "clipped": clipped,
        "warnings": consistency_warnings(packed, photo, clipped, overexposed, camera),
    }


def consistency_warnings(
    packed: np.ndarray, photo: np.ndarray, clipped: float, overexposed: float, camera: Camera
) -> list[str]:
    """What looks wrong about a RAW, in words; see `consistency`."""
    found = []
    linear = decode_srgb(photo)
    if packed.mean() < MIN_LIGHT and linear.mean() > DIM_PHOTO:
        found.append("all black")
    elif packed.max() == packed.min() and photo.std() > 0:
        found.append("all of one value")
    elif clipped > SATURATED and clipped > 2 * overexposed:
        found.append(
            f"saturated: {clipped:.0%} of its samples are white, {overexposed:.0%} of the photo overexposed"
        )
    else:
        brightest = linear.max(axis=-1)
        grey = (
            (photo.max(axis=-1) < WHITE)
            & (brightest > DIM_PHOTO)
            & (brightest - linear.min(axis=-1) < GREYEST * brightest)
        )
        if grey.mean() >= MIN_GREY_SHARE and (cast := colour_cast(packed[grey], linear[grey], camera)):
            found.append(cast)
    return found


def colour_cast(packed: np.ndarray, linear: np.ndarray, camera: Camera) -> str | None:
    """A colour cast beyond every light of the camera, in words: samples (n, 4) of what is nearly grey in the linear photo (n, 3)."""
    # the photo is balanced already, so that RAW divided by it tells the light
    red, green, blue = mean_colour(packed) / np.maximum(linear.mean(axis=0), 1e-6)
    for name, value, known in (("red", red, camera.neutrals[:, 0]), ("blue", blue, camera.neutrals[:, 1])):
        ratio, least, most = value / max(green, 1e-9), known.min(), known.max()
        if not least / MAX_NEUTRAL_FACTOR <= ratio <= most * MAX_NEUTRAL_FACTOR:
            return f"a cast: {name} is {ratio:.2f} of green for a neutral grey; this camera's lights give {least:.2f} to {most:.2f}"
    return None
