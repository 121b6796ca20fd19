"""Pictures of reconstructions for the page: panels, those of the slider, and thumbnails.

Panels are uint8 (h, w, 3) of the same size, at most `MAX_PANEL_SIDE` pixels on a side. Thumbnails are
embedded JPEG of about 4 kB each, so that the page stays a single file; hence their limit.
"""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from PIL import Image

from omf.evaluation.consistency import fit_to_photo
from omf.evaluation.ground_truth import read_ground_truth
from omf.io.images import read_reduced, read_rgb
from omf.io.packed import read_packed
from omf.raw.bayer import (
    crop_to_cells,
    demosaic,
    from_challenge_counts,
    half_size_photo,
    half_size_rgb,
    halved,
    unpack,
)
from omf.raw.isp import LUMA, clip, encode_srgb, to_8_bit
from omf.raw.overexposure import overexposure_mask
from omf.utils.console import progress
from omf.utils.errors import InputError
from omf.utils.remote import to_path

MAX_PANEL_SIDE = 640
MAX_COMPARED_SIDE = 1280
GAP = 4  # pixels between the panels of a strip
MASK_COLOUR = np.array([230, 159, 0])  # orange, distinct from grey for any colour vision (Okabe and Ito)
ERROR_COLOURMAP = "cividis"  # looks the same for any colour vision
MAX_SHOWN_ERROR = 0.2  # relative to white; the brightest colour of the error maps
MAX_THUMBNAILS = 500
THUMBNAIL_SIDE = 128  # pixels, of the longer side
THUMBNAIL_QUALITY = 75


def make_panels(record: dict) -> dict[str, np.ndarray]:
    """Render the panels of an image, by caption, from the files that its record names.

    With ground truth: the photo, its overexposed pixels, the predicted RAW, the true RAW, the error.
    Without: the photo, its overexposed pixels, the predicted RAW, that RAW rendered to match the photo, the
    difference. RAW is shown in the sensor's colours, through the sRGB curve. Panels that need the photo are
    omitted if it is missing.

    Raises:
        InputError: a file no longer exists, or has another size.
    """
    packed = from_challenge_counts(read_packed(to_path(record["raw"]), record["white_level"]))
    shown: dict[str, np.ndarray] = {}
    photo = rgb = None
    if "photo" in record:
        rgb = read_rgb(to_path(record["photo"]))
        photo = check_same_size(half_size_photo(rgb), packed, record["photo"])
        share = halved(overexposure_mask(rgb)[..., None].astype(np.float32))
        grey = to_8_bit(np.repeat(photo @ LUMA, 3).reshape(photo.shape)) // 2
        shown |= {
            "sRGB photo": to_8_bit(photo),
            "overexposed": (grey + share * (MASK_COLOUR - grey)).astype(np.uint8),
        }
    shown["predicted RAW"] = preview(packed)
    if "truth" in record:
        counts = read_ground_truth(to_path(record["truth"]), packed.shape, rgb, record["white_level"])
        truth = check_same_size(from_challenge_counts(counts), packed, record["truth"])
        shown |= {"true RAW": preview(truth), "error": error_map(np.abs(packed - truth).mean(axis=-1))}
    elif photo is not None:
        rendered = fit_to_photo(half_size_rgb(packed), photo)
        shown |= {
            "rendered to match the photo": to_8_bit(rendered),
            "difference": error_map(np.abs(rendered - photo).mean(axis=-1)),
        }
    return {caption: shrink_to_fit(panel) for caption, panel in shown.items()}


def make_comparison(record: dict) -> dict[str, np.ndarray]:
    """Render photo and RAW for the slider between them, by label; empty without a photo.

    The RAW is rendered to match the photo. Both are uint8 (h, w, 3), at most `MAX_COMPARED_SIDE` pixels on a
    side; photos of that size keep their full resolution.

    Raises:
        InputError: a file no longer exists, or has another size.
    """
    if "photo" not in record:
        return {}
    packed = from_challenge_counts(read_packed(to_path(record["raw"]), record["white_level"]))
    rgb = crop_to_cells(read_rgb(to_path(record["photo"])))
    check_same_size(rgb[::2, ::2], packed, record["photo"])
    if max(rgb.shape) <= MAX_COMPARED_SIDE:
        raw, photo = clip(demosaic(unpack(packed))), rgb / np.float32(np.iinfo(rgb.dtype).max)
    else:
        raw, photo = half_size_rgb(packed), half_size_photo(rgb)
    shown = {"photo": photo, "RAW, rendered": fit_to_photo(raw, photo)}
    return {label: shrink_to_fit(to_8_bit(picture), MAX_COMPARED_SIDE) for label, picture in shown.items()}


def check_same_size(image: np.ndarray, packed: np.ndarray, path: str) -> np.ndarray:
    """Return the image, or raise InputError if the RAW has another size."""
    if image.shape[:2] != packed.shape[:2]:
        raise InputError(f"{path}: its size has changed since it was scored; run again")
    return image


def preview(packed: np.ndarray) -> np.ndarray:
    """Render packed RAW (h, w, 4) in [0, 1] for display, one pixel per Bayer cell."""
    return to_8_bit(encode_srgb(half_size_rgb(packed)))


def error_map(error: np.ndarray) -> np.ndarray:
    """Colour-code an error (h, w); `MAX_SHOWN_ERROR` and above have the brightest colour."""
    colours = colormaps[ERROR_COLOURMAP](np.minimum(error / MAX_SHOWN_ERROR, 1))[..., :3]
    return (colours * 255).astype(np.uint8)


def shrink_to_fit(panel: np.ndarray, max_side: int = MAX_PANEL_SIDE) -> np.ndarray:
    """Halve a panel until neither side exceeds `max_side`."""
    while max(panel.shape[:2]) > max_side:
        panel = halved(panel.astype(np.float32)).astype(np.uint8)
    return panel


def strip(panels: list[np.ndarray]) -> np.ndarray:
    """Join panels of one size side by side, with white gaps."""
    gap = np.full((panels[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([part for panel in panels for part in (gap, panel)][1:], axis=1)


def jpeg_bytes(image: np.ndarray, quality: int = 85) -> bytes:
    """Encode an image, uint8 (H, W, 3), as JPEG."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "jpeg", quality=quality)
    return content.getvalue()


@dataclass(frozen=True)
class Thumbnail:
    """A small picture of an image."""

    jpeg: bytes = b""  # empty if there is a problem
    problem: str = ""  # a line


def make_thumbnails(records: Mapping[str, dict], names: Iterable[str]) -> dict[str, Thumbnail]:
    """Make the thumbnails of the first `MAX_THUMBNAILS` names; for records see `score_image`."""
    shown = list(names)[:MAX_THUMBNAILS]
    return {name: make_thumbnail(records[name]) for name in progress(shown, "thumbnails", unit="image")}


def make_thumbnail(record: dict) -> Thumbnail:
    """Shrink the photo of an image, or its RAW if there is no photo."""
    try:
        if "photo" in record:
            pixels = read_reduced(to_path(record["photo"]), 2 * THUMBNAIL_SIDE)
            pixels = (pixels >> 8 * (pixels.itemsize - 1)).astype(np.uint8)
        else:
            packed = read_packed(to_path(record["raw"]), record["white_level"])
            step = max(max(packed.shape) // (2 * THUMBNAIL_SIDE), 1)
            pixels = preview(from_challenge_counts(packed[::step, ::step]))
    except InputError as error:
        return Thumbnail(problem=str(error))
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), reducing_gap=3)
    return Thumbnail(jpeg_bytes(np.asarray(image), THUMBNAIL_QUALITY))
