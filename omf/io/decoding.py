"""Errors of decoders."""

import struct

import tifffile
from PIL import Image

# exceptions that Pillow, tifffile, imagecodecs and pillow-heif raise for damaged files
DECODING_ERRORS = (
    *(OSError, EOFError, SyntaxError, ValueError, RuntimeError, LookupError),
    *(struct.error, tifffile.TiffFileError),
    *(TypeError, AttributeError, ArithmeticError, AssertionError),  # raised for tags of an unexpected type
)


def decoding_reason(error: Exception) -> str:
    """Return the first line of a decoder's message, or "damaged" if it means nothing to users."""
    meaningless = isinstance(error, LookupError | struct.error | Image.UnidentifiedImageError)
    return "damaged" if meaningless else str(error).partition("\n")[0]
