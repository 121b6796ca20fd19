"""Boxes of HEIF and AVIF files: ISO base media file format, ISO 14496-12 and 23008-12."""

import struct
from collections.abc import Iterator

FULL_BOX = 4  # bytes of version and flags
CODED_IMAGES = {b"hvc1", b"av01"}  # types of items


def meta_boxes(data: bytes) -> dict[bytes, bytes]:
    """Return the boxes that describe the images of a file."""
    return dict(boxes(dict(boxes(data)).get(b"meta", b"")[FULL_BOX:]))


def primary_properties(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return type and content of the properties of the primary image.

    Raises struct.error or IndexError if the file is damaged.
    """
    inside = meta_boxes(data)
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
    index, mask = ("H", 0x7FFF) if wide_index else ("B", 0x7F)  # without the bit for essential properties
    for _ in range(count):
        number, length = struct.unpack_from(">IB" if wide_item else ">HB", ipma, position)
        position += 5 if wide_item else 3
        if number == item:
            return [field & mask for field in struct.unpack_from(f">{length}{index}", ipma, position)]
        position += struct.calcsize(f">{length}{index}")
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


def coded_images(data: bytes) -> list[bytes]:
    """Return the coded data of all images, such as the tiles of a photo; what can't be read is left out."""
    inside = meta_boxes(data)
    entries = inside.get(b"iinf", bytes(6))
    images = set()
    for _, entry in boxes(entries[FULL_BOX + (4 if entries[0] else 2) :]):
        size = 4 if entry[:1] > b"\2" else 2
        if entry[FULL_BOX + size + 2 :][:4] in CODED_IMAGES:  # behind the number and the protection
            images.add(int.from_bytes(entry[FULL_BOX : FULL_BOX + size], "big"))
    return [
        data[start : start + length]
        for item, start, length in extents(inside.get(b"iloc", b""))
        if item in images
    ]


def extents(iloc: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield item, position in the file and length of each extent in an iloc box."""
    position = FULL_BOX

    def number(size: int) -> int:
        nonlocal position
        position += size
        return int.from_bytes(iloc[position - size : position], "big")

    version, sizes = iloc[:1], number(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if version > b"\1" else 2
    number(wide)  # of items
    while position < len(iloc):
        item = number(wide)
        method = number(2) if version > b"\0" else 0  # 0: in the file
        number(2)
        base = number(base_size)
        for _ in range(number(2)):
            if version > b"\0":
                number(index_size)
            start, length = number(offset_size), number(length_size)
            if method & 15 == 0:
                yield item, base + start, length
