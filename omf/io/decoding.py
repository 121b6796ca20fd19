"""Errors of decoders."""

import re
import struct

import tifffile
from PIL import Image

# exceptions that Pillow, tifffile, imagecodecs and pillow-heif raise for damaged files
DECODING_ERRORS = (
    *(OSError, EOFError, SyntaxError, ValueError, RuntimeError, LookupError),
    *(struct.error, tifffile.TiffFileError),
    *(TypeError, AttributeError, ArithmeticError, AssertionError),  # raised for tags of an unexpected type
)
# Their messages are about the decoder's own code
MEANINGLESS_ERRORS = (
    *(LookupError, struct.error, Image.UnidentifiedImageError, UnicodeError),
    *(TypeError, AttributeError, ArithmeticError, AssertionError),
)
MEANINGLESS_TEXT = r"\W*|.*(decoder|encoder|codec) error -?\d+.*"


def decoding_reason(error: Exception) -> str:
    """Return the first line of a decoder's message, or "damaged" if it means nothing to users."""
    text = str(error).partition("\n")[0]
    meaningless = isinstance(error, MEANINGLESS_ERRORS) or re.fullmatch(MEANINGLESS_TEXT, text)
    return "damaged" if meaningless else text
