"""Chunks of PNG files."""

import struct
from pathlib import Path

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_CHUNKS = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32}  # sizes in bytes


def read_colour_chunks(path: Path) -> dict[bytes, bytes] | None:
    """Return the chunks that describe colours, except ICC profiles; None if the file ends within a chunk.

    Decoders allocate the declared length of a chunk, so that a damaged one takes gigabytes.
    """
    size, position, kind = path.stat().st_size, len(PNG_SIGNATURE), b""
    chunks: dict[bytes, bytes] = {}
    with path.open("rb") as file:
        while kind != b"IEND":
            file.seek(position)
            header = file.read(8)
            length, kind = struct.unpack(">I4s", header) if len(header) == 8 else (size, b"")
            position += 12 + length
            if position > size:
                return None
            if length == COLOUR_CHUNKS.get(kind):
                chunks.setdefault(kind, file.read(length))
    return chunks
