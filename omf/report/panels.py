"""Pictures of one reconstruction, for people: uint8 (h, w, 3), all of one size, at most `MAX_PANEL_SIDE` pixels a side."""

from pathlib import Path

import numpy as np
from matplotlib import colormaps

from omf.evaluation.consistency import fit_to_photo
from omf.evaluation.ground_truth import read_ground_truth
from omf.io.images import read_rgb
from omf.io.packed import read_packed
from omf.raw.bayer import from_challenge_counts, half_size_photo, half_size_rgb, halved
from omf.raw.isp import LUMA, encode_srgb, to_8_bit
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import InputError

MAX_PANEL_SIDE = 640
GAP = 4  # pixels between the panels of a strip
MARK = np.array([230, 159, 0])  # orange, which people with any colour vision tell from grey (Okabe and Ito)
ERROR_MAP = "cividis"  # the same to people with any colour vision
ERROR_AT_TOP = 0.2  # of white: the brightest colour of error maps


def panels(record: dict) -> dict[str, np.ndarray]:
    """What there is to see of an image, by caption, from the files that its record names.

    With ground truth: the photo, its overexposed pixels, the predicted RAW, the true RAW, the error. Without: the photo,
    its overexposed pixels, the predicted RAW, that RAW rendered to look like the photo, and how far it is from it. RAW is
    shown as it is, in the sensor's colours, through the sRGB curve. Where there is no photo, what needs it is left out.
    Raises InputError where a file is gone, or has changed its size.
    """
    packed = from_challenge_counts(read_packed(Path(record["raw"]), record["white_level"]))
    shown: dict[str, np.ndarray] = {}
    photo = rgb = None
    if "photo" in record:
        rgb = read_rgb(Path(record["photo"]))
        photo = of_size(half_size_photo(rgb), packed, record["photo"])
        share = halved(overexposure_mask(rgb)[..., None].astype(np.float32))
        grey = to_8_bit(np.repeat(photo @ LUMA, 3).reshape(photo.shape)) // 2
        shown |= {
            "sRGB photo": to_8_bit(photo),
            "overexposed": (grey + share * (MARK - grey)).astype(np.uint8),
        }
    shown["predicted RAW"] = preview(packed)
    if "truth" in record:
        truth = from_challenge_counts(
            read_ground_truth(Path(record["truth"]), packed.shape, rgb, record["white_level"])
        )
        of_size(truth, packed, record["truth"])
        shown |= {"true RAW": preview(truth), "error": error_map(np.abs(packed - truth).mean(axis=-1))}
    elif photo is not None:
        picture = fit_to_photo(half_size_rgb(packed), photo)
        shown |= {
            "rendered like the photo": to_8_bit(picture),
            "difference": error_map(np.abs(picture - photo).mean(axis=-1)),
        }
    return {caption: fitted(picture) for caption, picture in shown.items()}


def of_size(picture: np.ndarray, packed: np.ndarray, file: str) -> np.ndarray:
    """The picture itself, or InputError where the RAW has another size."""
    if picture.shape[:2] != packed.shape[:2]:
        raise InputError(f"{file}: its size has changed since it was scored; run again")
    return picture


def preview(packed: np.ndarray) -> np.ndarray:
    """Packed RAW (h, w, 4) in [0, 1], to be looked at: a pixel for each Bayer cell."""
    return to_8_bit(encode_srgb(half_size_rgb(packed)))


def error_map(error: np.ndarray) -> np.ndarray:
    """(h, w) from 0 to `ERROR_AT_TOP` and more, in colours."""
    return (colormaps[ERROR_MAP](np.minimum(error / ERROR_AT_TOP, 1))[..., :3] * 255).astype(np.uint8)


def fitted(picture: np.ndarray) -> np.ndarray:
    """Reduced until it fits."""
    while max(picture.shape[:2]) > MAX_PANEL_SIDE:
        picture = halved(picture.astype(np.float32)).astype(np.uint8)
    return picture


def strip(pictures: list[np.ndarray]) -> np.ndarray:
    """Panels of one size, side by side on white."""
    gap = np.full((pictures[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (gap, picture)][1:], axis=1)
