"""Thumbnails of the images, for the grid of the page.

They are embedded in the page as JPEG of about 4 kB each, as its other pictures are: it stays a single file,
which can be moved and mailed. Hence the limit, 500. They are made of the photos when the page is written, and
not when the images are scored: only then is it known which 500 of perhaps a million are shown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from omf.io.images import read_reduced
from omf.io.packed import read_packed
from omf.raw.bayer import from_challenge_counts
from omf.report.panels import jpeg_bytes, preview
from omf.utils.console import progress
from omf.utils.errors import InputError
from omf.utils.remote import to_path

MAX_THUMBNAILS = 500
THUMBNAIL_SIDE = 128  # pixels, of the longer side
THUMBNAIL_QUALITY = 75


@dataclass(frozen=True)
class Thumbnail:
    """A small picture of an image."""

    jpeg: bytes = b""  # empty if there is a problem
    problem: str = ""  # a line


def make_thumbnails(records: Mapping[str, dict], names: Iterable[str]) -> dict[str, Thumbnail]:
    """Make the thumbnails of the first `MAX_THUMBNAILS` names.

    Args:
        records: by name, see `omf.evaluation.scores.score_image`.
        names: of images, in the order of the grid.
    """
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
