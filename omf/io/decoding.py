"""Pillow's images, opened whatever their size, samples of any depth, and errors of decoders."""

import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import tifffile
from PIL import Image

PILLOW_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "AVIF")  # in Pillow's names; JPEG includes MPO
# exceptions that Pillow, tifffile, imagecodecs and pillow-heif raise for damaged files
DECODING_ERRORS = (
    *(OSError, EOFError, SyntaxError, ValueError, RuntimeError, LookupError),
    *(struct.error, tifffile.TiffFileError),
    *(TypeError, AttributeError, ArithmeticError, AssertionError),  # raised for tags of an unexpected type
    *(Warning, Image.DecompressionBombError),  # in a process that makes errors of warnings, or sets a limit
)
# Their messages are about the decoder's own code
MEANINGLESS_ERRORS = (
    *(LookupError, struct.error, Image.UnidentifiedImageError, UnicodeError),
    *(TypeError, AttributeError, ArithmeticError, AssertionError),
)
MEANINGLESS_TEXT = r"\W*|.*(decoder|encoder|codec) error -?\d+.*"


def open_image(source: Path | BinaryIO, formats: Sequence[str] = PILLOW_FORMATS) -> Image.Image:
    """Open a file of some of `PILLOW_FORMATS`, as `PIL.Image.open` does without decoding it, but of any size.

    Pillow's limit, `Image.MAX_IMAGE_PIXELS`, holds for the whole process and belongs to the program that uses
    this library; Pillow's readers of WebP, and of TIFF with tiles, apply it even so.

    Raises PIL.UnidentifiedImageError for another format and a damaged header, `DECODING_ERRORS` for damage.
    """
    if isinstance(source, Path):
        with source.open("rb") as file:
            start = file.read(16)
    else:
        start = source.read(16)
    Image.init()
    for make, accept in (Image.OPEN[name] for name in formats):
        if accept(start) is not True:
            continue
        if not isinstance(source, Path):
            source.seek(0)
        try:
            return make(source, source if isinstance(source, Path) else "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            break
    raise Image.UnidentifiedImageError(f"{source}: none of {', '.join(formats)}")


def decoding_reason(error: Exception) -> str:
    """Return the first line of a decoder's message, or "damaged" if it means nothing to users."""
    text = str(error).partition("\n")[0]
    meaningless = isinstance(error, MEANINGLESS_ERRORS) or re.fullmatch(MEANINGLESS_TEXT, text)
    return "damaged" if meaningless else text


def scale_to_16_bits(pixels: np.ndarray, depth: int) -> np.ndarray:
    """Scale samples of 9 to 16 bits to the full range of uint16."""
    return (pixels.astype(np.uint32) * 65535 // (2**depth - 1)).astype(np.uint16)
