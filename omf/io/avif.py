"""Read AVIF photos, 8 to 12 bits; Pillow alone would reduce all to 8 bits and ignore their colours."""

import struct
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from omf.io.colour import profile_from_cicp
from omf.io.decoding import open_image
from omf.io.samples import scale_to_16_bits

FULL_BOX = 4  # bytes of version and flags


def open_avif(path: Path) -> tuple[Image.Image, bytes | None]:
    """Open an AVIF file without decoding it.

    Returns:
        Pillow's image, which knows size and EXIF, and the ICC profile or None for sRGB.

    Raises:
        UnsupportedColoursError: HDR, or unknown colours, without an ICC profile.
        OSError, ValueError, SyntaxError, RuntimeError: the file is damaged.
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

    Raises:
        imagecodecs.AvifError, struct.error: the file is damaged.
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
    for kind, content in primary_properties(data):
        if kind == b"av1C":  # AV1 Codec ISO Media File Format Binding: high_bitdepth, twelve_bit
            return 12 if content[2] & 0x20 else 10 if content[2] & 0x40 else 8
    for kind, content in primary_properties(data):
        if kind == b"pixi":  # of an image that consists of several
            return content[FULL_BOX + 1]
    return 8


def primary_properties(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the properties of the primary image: (type, content) of each, ISO 14496-12 and 23008-12.

    Raises:
        struct.error, IndexError: the file is damaged.
    """
    meta = dict(boxes(data)).get(b"meta", b"")[FULL_BOX:]
    inside = dict(boxes(meta))
    item = inside.get(b"pitm", bytes(6))
    primary = int.from_bytes(item[FULL_BOX : FULL_BOX + (4 if item[0] else 2)], "big")
    groups = dict(boxes(inside.get(b"iprp", b"")))
    properties = list(boxes(groups.get(b"ipco", b"")))
    return [
        properties[index - 1]
        for index in associated(groups.get(b"ipma", b""), primary)
        if 0 < index <= len(properties)
    ]


def associated(ipma: bytes, item: int) -> list[int]:
    """Return the indices, from 1 on, of an item's properties in an ipma box."""
    if len(ipma) < FULL_BOX + 4:
        return []
    wide_item, wide_index = ipma[0] > 0, ipma[3] & 1
    (count,) = struct.unpack_from(">I", ipma, FULL_BOX)
    position = FULL_BOX + 4
    for _ in range(count):
        (number,) = struct.unpack_from(">I" if wide_item else ">H", ipma, position)
        position += 4 if wide_item else 2
        length = ipma[position]
        size = 2 if wide_index else 1
        if number == item:
            mask = 0x7FFF if wide_index else 0x7F  # without the bit for essential properties
            fields = struct.unpack_from(f">{length}{'H' if wide_index else 'B'}", ipma, position + 1)
            return [field & mask for field in fields]
        position += 1 + length * size
    return []


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of ISO base media boxes; stops at one that is larger than its container."""
    position = 0
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        header = 8
        if size == 1 and position + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, position + 8)
            header = 16
        elif size == 0:
            size = len(data) - position
        if size < header or position + size > len(data):
            return
        yield kind, data[position + header : position + size]
        position += size
