"""Recognise what a power failure or a broken disk left in coded photos without a checksum: bytes 00 or FF.

Decoders make pixels of them. Long runs of zeros are codes of even areas at most.
"""

import struct

from omf.io.isobmff import coded_images

RUN = 64  # bytes
EVEN_PIXELS = 8192  # pixels of an even area that lossy WebP codes by a byte of zeros, at least
ONES = b"\xff" * RUN
EMPTY_PART = "a part of it is empty"


def check_heif(data: bytes) -> None:
    """Raise ValueError if an image in a HEIC or AVIF file has a gap."""
    if any(bytes(RUN) in image or ONES in image for image in coded_images(data)):
        raise ValueError(EMPTY_PART)


def check_webp(data: bytes, pixels: int) -> None:
    """Raise ValueError if a WebP file of so many pixels has a gap."""
    position = 12  # behind the header
    while position + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, position)
        zeros = bytes(RUN + (pixels // EVEN_PIXELS if kind == b"VP8 " else 0))
        coded = data[position + 8 : position + 8 + size] if kind in (b"VP8 ", b"VP8L") else b""
        if zeros in coded or ONES in coded:
            raise ValueError(EMPTY_PART)
        position += 8 + size + size % 2
