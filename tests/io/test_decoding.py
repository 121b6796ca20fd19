"""Words of decoding errors."""

import struct

import pytest

from omf.io.decoding import DECODING_ERRORS, decoding_reason


@pytest.mark.parametrize(
    "error",
    [
        TypeError("'<' not supported between instances of 'bytes' and 'int'"),
        AttributeError("'NoneType' object has no attribute 'items'"),
        OSError("decoder error -2"),
        OSError("encoder error -2 when writing image file"),
        OSError("broken data stream: codec error -9"),
        KeyError(256),
        struct.error("unpack requires a buffer of 8 bytes"),
        UnicodeDecodeError("utf-8", b"\xf0", 0, 1, "invalid continuation byte"),
        ValueError(""),
        OSError("..."),
    ],
)
def test_messages_about_the_code_of_a_decoder_are_not_repeated(error):
    assert isinstance(error, DECODING_ERRORS)
    assert decoding_reason(error) == "damaged"


def test_messages_about_the_file_are():
    assert decoding_reason(OSError("image file is truncated (5 bytes not processed)\nmore")) == (
        "image file is truncated (5 bytes not processed)"
    )
