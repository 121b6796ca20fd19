"""Files that libraries cannot write directly, and what holds when a file is refused."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import imagecodecs
import numpy as np
import pytest

from omf.utils.errors import InputError

# Primaries as stored in ICC profiles: XYZ of red, green and blue, adapted to D50. Display P3 as in Apple's
# profile.
SRGB_COLORANTS = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
P3_COLORANTS = (0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def bytes_of(write: Callable[[BinaryIO], object]) -> bytes:
    """Return what a function writes to a file."""
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def icc_profile(colorants: tuple = SRGB_COLORANTS, curve: tuple = (1.0,)) -> bytes:
    """Return a matrix/TRC ICC profile (ICC.1:2010): three primaries and a tone curve; no primaries: grey."""

    def fixed(*values):
        return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))

    def xyz(*values):
        return b"XYZ " + bytes(4) + fixed(*values)

    # type of the parametric curve, by number of parameters: a power, or a power with a linear part
    kinds = {1: 0, 5: 3}
    tone = b"para" + bytes(4) + struct.pack(">HH", kinds[len(curve)], 0) + fixed(*curve)
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78 + 1),
        b"wtpt": xyz(0.9642, 1, 0.8249),
    }
    tags |= {letter + b"XYZ": xyz(*values) for letter, values in zip((b"r", b"g", b"b"), colorants)}
    tags |= {letter + b"TRC": tone for letter in ((b"r", b"g", b"b") if colorants else (b"k",))}
    table, data, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += name + struct.pack(">II", offset + len(data), len(value))
        data += value
    body = struct.pack(">I", len(tags)) + table + data
    space = b"RGB " if colorants else b"GRAY"
    header = struct.pack(
        ">I4sI4s4s4s", 128 + len(body), b"lcms", 0x02400000, b"mntr", space, b"XYZ "
    ) + bytes(12)
    header += b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
    return header + bytes(128 - len(header)) + body


P3 = icc_profile(P3_COLORANTS, SRGB_CURVE)


def save_heic(path, rgb, mode="RGB", **info):
    """Write a lossless HEIC file."""
    pillow_heif = pytest.importorskip("pillow_heif")
    image = pillow_heif.from_bytes(mode, (rgb.shape[1], rgb.shape[0]), np.ascontiguousarray(rgb).tobytes())
    image.info.update(info)
    image.save(path, quality=-1, chroma=444, matrix_coefficients=0)


def png_chunk(kind, content):
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_chunks(pixels, *chunks):
    """Return a PNG file of uint8 or uint16 with chunks, (kind, content), behind its header."""
    png = imagecodecs.png_encode(np.ascontiguousarray(pixels))
    return png[:33] + b"".join(png_chunk(*chunk) for chunk in chunks) + png[33:]


def save_png_16(path, pixels, profile):
    """Write a 16-bit PNG with an ICC profile."""
    path.write_bytes(with_chunks(pixels, (b"iCCP", b"a\0\0" + zlib.compress(profile))))


def assert_refused(words: str, read: Callable, path: Path) -> None:
    """Assert that a file is refused in one line, which begins with its path and matches a pattern."""
    with pytest.raises(InputError, match=words) as caught:
        read(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    assert "object at" not in line  # a Python object as Pillow quotes it
