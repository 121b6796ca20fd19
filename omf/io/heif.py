"""HEIC and HEIF, the photos of many phones, read with the optional package pillow-heif."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from omf.utils.errors import InputError

if TYPE_CHECKING:
    from pillow_heif import HeifImage

BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
# ITU-T H.273: BT.709 or unspecified or BT.601 primaries; transfer of sRGB, or what is taken for it
SRGB_PRIMARIES, SRGB_TRANSFERS = {1, 2, 5, 6}, {1, 2, 6, 13}


def is_heif(start: bytes) -> bool:
    """Whether a file begins (12 bytes) as HEIF does."""
    return start[4:8] == b"ftyp" and start[8:12] in BRANDS


def open_heif(path: Path) -> "HeifImage":
    """Look at the main picture of a file; it is not decoded yet.

    Raises:
        InputError: pillow-heif is missing, or the colours are neither sRGB nor told by an ICC profile.
        OSError, ValueError, SyntaxError, RuntimeError, EOFError: pillow-heif's, of damaged files.
    """
    try:
        import pillow_heif
    except ImportError:
        raise InputError(
            f"{path}: HEIC needs pillow-heif; install it with: pip install 'overexposure-mask-fusion[heic]'"
        ) from None
    file = pillow_heif.open_heif(path, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    picture = file[file.primary_index]
    video = picture.info.get("nclx_profile") or {}
    primaries, transfer = video.get("color_primaries", 1), video.get("transfer_characteristics", 1)
    if not picture.info.get("icc_profile") and (
        primaries not in SRGB_PRIMARIES or transfer not in SRGB_TRANSFERS
    ):
        raise InputError(
            f"{path}: colours of primaries {primaries}, transfer {transfer} (HDR) without an ICC profile; save it as sRGB"
        )
    return picture


# how a viewer turns (h, w) pixels of each EXIF orientation
TURNS = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).T,
    8: np.rot90,
}


def orientation(picture: "HeifImage") -> int:
    """The EXIF orientation of the pixels as stored, 1 to 8, by the turns that the file asks for; what its EXIF says does not count."""
    stored = shown = np.arange(4).reshape(2, 2)
    for name, *values in picture._c_image.transformations:
        if name == "irot":
            shown = np.rot90(shown, values[0] // 90)
        elif name == "imir":
            shown = np.flip(shown, values[0])
    return next(number for number, turn in TURNS.items() if (turn(stored) == shown).all())


def as_stored(picture: "HeifImage") -> np.ndarray:
    """Decode: (H, W) or (H, W, C) as stored, before the turns that the file asks for; uint8, or uint16 of full range."""
    pixels = np.asarray(picture)
    for name, *values in reversed(picture._c_image.transformations):  # nothing public tells what libheif did
        if name == "irot":
            pixels = np.rot90(pixels, -values[0] // 90)
        elif name == "imir":
            pixels = np.flip(pixels, values[0])
    depth = picture.info["bit_depth"]
    if depth > 8:
        pixels = (pixels.astype(np.uint32) * 65535 // (2**depth - 1)).astype(np.uint16)
    return pixels
