"""Read HEIC and HEIF, the photo formats of many phones, with the optional package pillow-heif."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from omf.utils.errors import InputError

if TYPE_CHECKING:
    from pillow_heif import HeifImage

BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
# ITU-T H.273: primaries of BT.709, BT.601 or unspecified; transfer functions of sRGB or treated as sRGB
SRGB_PRIMARIES, SRGB_TRANSFERS = {1, 2, 5, 6}, {1, 2, 6, 13}


def is_heif(start: bytes) -> bool:
    """Return True if the first 12 bytes of a file are those of HEIF."""
    return start[4:8] == b"ftyp" and start[8:12] in BRANDS


def open_heif(path: Path) -> "HeifImage":
    """Open the primary image of a file without decoding it.

    Raises:
        InputError: pillow-heif is not installed, or the colours are not sRGB and lack an ICC profile.
        OSError, ValueError, SyntaxError, RuntimeError, EOFError: the file is damaged.
    """
    try:
        import pillow_heif
    except ImportError:
        raise InputError(
            f"{path}: HEIC needs pillow-heif; install it with: pip install 'overexposure-mask-fusion[heic]'"
        ) from None
    file = pillow_heif.open_heif(path, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    image = file[file.primary_index]
    nclx = image.info.get("nclx_profile") or {}
    primaries, transfer = nclx.get("color_primaries", 1), nclx.get("transfer_characteristics", 1)
    if not image.info.get("icc_profile") and (
        primaries not in SRGB_PRIMARIES or transfer not in SRGB_TRANSFERS
    ):
        raise InputError(
            f"{path}: colours of primaries {primaries}, transfer {transfer} (HDR) without an ICC profile;"
            " save it as sRGB"
        )
    return image


# transforms of stored pixels (h, w) for display, by EXIF orientation
DISPLAY_TRANSFORMS = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).T,
    8: np.rot90,
}


def stored_orientation(image: "HeifImage") -> int:
    """Return the EXIF orientation of the stored pixels, 1 to 8.

    It is derived from the transforms in the file's container; the orientation in its EXIF data is ignored.
    """
    stored = shown = np.arange(4).reshape(2, 2)
    for name, *values in image._c_image.transformations:
        if name == "irot":
            shown = np.rot90(shown, values[0] // 90)
        elif name == "imir":
            shown = np.flip(shown, values[0])
    return next(
        number for number, transform in DISPLAY_TRANSFORMS.items() if (transform(stored) == shown).all()
    )


def decode_stored(image: "HeifImage") -> np.ndarray:
    """Decode the stored pixels, before the file's rotation and mirroring for display.

    Returns:
        (H, W) or (H, W, C), uint8 for 8 bits, uint16 scaled to its full range for more.
    """
    pixels = np.asarray(image)
    # libheif has applied the transforms; the public interface does not report them
    for name, *values in reversed(image._c_image.transformations):
        if name == "irot":
            pixels = np.rot90(pixels, -values[0] // 90)
        elif name == "imir":
            pixels = np.flip(pixels, values[0])
    depth = image.info["bit_depth"]
    if depth > 8:
        pixels = (pixels.astype(np.uint32) * 65535 // (2**depth - 1)).astype(np.uint16)
    return pixels
