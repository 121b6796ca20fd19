"""Read AVIF photos, 8 to 12 bits; Pillow alone would reduce all to 8 bits and ignore their colours."""

import struct
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from omf.io.colour import profile_from_cicp
from omf.io.decoding import open_image, scale_to_16_bits
from omf.io.isobmff import FULL_BOX, primary_properties


def open_avif(path: Path) -> tuple[Image.Image, bytes | None]:
    """Open an AVIF file without decoding it.

    Returns:
        Pillow's image, which knows size and EXIF, and the ICC profile or None for sRGB.

    Raises:
        UnsupportedColoursError: HDR, or unknown colours, without an ICC profile.
        DECODING_ERRORS: the file is damaged.
    """
    image = open_image(path, ["AVIF"])
    if profile := image.info.get("icc_profile"):
        return image, profile
    code = read_colour_code(path.read_bytes())
    # YCbCr of the narrow range is decoded to RGB of the full range
    return image, profile_from_cicp(*code) if code else None


def decode_avif(path: Path) -> np.ndarray:
    """Decode the stored pixels, before the rotation and mirroring for display.

    Returns:
        (H, W) or (H, W, C): uint8, or uint16 scaled to its full range for more than 8 bits.
    """
    data = path.read_bytes()
    pixels = imagecodecs.avif_decode(data, index=0)
    if pixels.dtype == np.uint8:
        return pixels
    return scale_to_16_bits(pixels, read_bit_depth(data))


def read_colour_code(data: bytes) -> tuple[int, int] | None:
    """Return primaries and transfer of ITU-T H.273 of the primary image, or None if they are absent."""
    for kind, content in primary_properties(data):
        if kind == b"colr" and content[:4] == b"nclx":
            return struct.unpack(">HH", content[4:8])
    return None


def read_bit_depth(data: bytes) -> int:
    """Return the bits per sample of the primary image."""
    properties = dict(reversed(primary_properties(data)))  # the first of each type
    if code := properties.get(b"av1C"):  # AV1 Codec ISO Media File Format Binding: high_bitdepth, twelve_bit
        return 12 if code[2] & 0x20 else 10 if code[2] & 0x40 else 8
    tiles = properties.get(b"pixi")  # of an image that consists of several
    return tiles[FULL_BOX + 1] if tiles else 8
