"""Words of decoding errors."""

import struct

import pytest

from omf.io.decoding import DECODING_ERRORS, decoding_reason

CUT = "image file is truncated (5 bytes not processed)"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        # about the code of a decoder
        (TypeError("'<' not supported between instances of 'bytes' and 'int'"), "damaged"),
        (AttributeError("'NoneType' object has no attribute 'items'"), "damaged"),
        (OSError("decoder error -2"), "damaged"),
        (OSError("encoder error -2 when writing image file"), "damaged"),
        (OSError("broken data stream: codec error -9"), "damaged"),
        (KeyError(256), "damaged"),
        (struct.error("unpack requires a buffer of 8 bytes"), "damaged"),
        (UnicodeDecodeError("utf-8", b"\xf0", 0, 1, "invalid continuation byte"), "damaged"),
        (ValueError(""), "damaged"),
        (OSError("..."), "damaged"),
        # about the file
        (OSError(f"{CUT}\nmore"), CUT),
    ],
)
def test_only_messages_about_the_file_are_repeated(error, words):
    assert isinstance(error, DECODING_ERRORS)
    assert decoding_reason(error) == words
