"""Read HEIC and HEIF, with the optional package pillow-heif, and AVIF, the photo formats of many phones.

Pillow alone would reduce AVIF of 10 and 12 bits to 8 bits and ignore its colours.
"""

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np

from omf.io.colour import profile_from_cicp
from omf.io.decoding import scale_to_16_bits
from omf.io.isobmff import FULL_BOX, primary_properties
from omf.utils.errors import InputError

if TYPE_CHECKING:
    from pillow_heif import HeifImage

# Stored pixels of an image that is displayed as 0 1 / 2 3, by EXIF orientation, 1 to 8
STORED = ("0123", "1032", "3210", "2301", "0213", "1302", "3120", "2031")


def open_heif(path: Path) -> "HeifImage":
    """Open the primary image of a file without decoding it.

    Raises InputError if pillow-heif is not installed, `DECODING_ERRORS` if the file is damaged.
    """
    try:
        import pillow_heif
    except ImportError:
        raise InputError(
            f"{path}: HEIC needs pillow-heif; install it with: pip install 'overexposure-mask-fusion[heic]'"
        ) from None
    file = pillow_heif.open_heif(path, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    return file[file.primary_index]


def embedded_profile(image: "HeifImage") -> bytes | None:
    """Return the ICC profile of an image, embedded or by its colour code points; None for sRGB.

    Raises UnsupportedColoursError for HDR and unknown code points without an ICC profile.
    """
    if profile := image.info.get("icc_profile"):
        return profile
    nclx = image.info.get("nclx_profile") or {}
    return profile_from_cicp(nclx.get("color_primaries", 1), nclx.get("transfer_characteristics", 1))


def stored_orientation(image: "HeifImage") -> int:
    """Return the EXIF orientation of the stored pixels, 1 to 8.

    It is derived from the transforms in the file's container; the orientation in its EXIF data is ignored.
    """
    stored = undo_transforms(image, np.arange(4).reshape(2, 2))
    return STORED.index("".join(map(str, stored.ravel()))) + 1


def decode_stored(image: "HeifImage") -> np.ndarray:
    """Decode the stored pixels, before the file's rotation and mirroring for display, which libheif applies.

    Returns:
        (H, W) or (H, W, C), uint8 for 8 bits, uint16 scaled to its full range for more.
    """
    pixels = undo_transforms(image, np.asarray(image))
    depth = image.info["bit_depth"]
    return scale_to_16_bits(pixels, depth) if depth > 8 else pixels


def undo_transforms(image: "HeifImage", pixels: np.ndarray) -> np.ndarray:
    """Undo the rotation and mirroring for display, which the public interface does not report."""
    for name, *values in reversed(image._c_image.transformations):
        if name == "irot":
            pixels = np.rot90(pixels, -values[0] // 90)
        elif name == "imir":
            pixels = np.flip(pixels, values[0])
    return pixels


def decode_avif(data: bytes) -> np.ndarray:
    """Decode the stored pixels of an AVIF file; returns the same as `decode_stored`."""
    pixels = imagecodecs.avif_decode(data, index=0)
    return pixels if pixels.dtype == np.uint8 else scale_to_16_bits(pixels, read_bit_depth(data))


def avif_profile(data: bytes) -> bytes | None:
    """Return the ICC profile of the colour code points of an AVIF file; None for sRGB.

    Raises UnsupportedColoursError for HDR and unknown code points.
    """
    for kind, content in primary_properties(data):
        if kind == b"colr" and content[:4] == b"nclx":
            # YCbCr of the narrow range is decoded to RGB of the full range
            return profile_from_cicp(*struct.unpack(">HH", content[4:8]))
    return None


def read_bit_depth(data: bytes) -> int:
    """Return the bits per sample of the primary image."""
    properties = dict(reversed(primary_properties(data)))  # the first of each type
    if code := properties.get(b"av1C"):  # AV1 Codec ISO Media File Format Binding: high_bitdepth, twelve_bit
        return 12 if code[2] & 0x20 else 10 if code[2] & 0x40 else 8
    tiles = properties.get(b"pixi")  # of an image that consists of several
    return tiles[FULL_BOX + 1] if tiles else 8
