"""Read sRGB pictures: JPEG, PNG, TIFF and HEIC, 8 or 16 bit; write PNG."""

import logging
import math
import struct
import warnings
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from omf.io.camera_raw import CAMERA_RAW_SUFFIXES
from omf.io.heif import as_stored, is_heif, open_heif
from omf.io.icc import to_srgb
from omf.utils.errors import InputError
from omf.utils.files import atomic_write, check_is_file

PILLOW_FORMATS = (
    "JPEG",
    "MPO",
    "PNG",
    "TIFF",
)  # MPO: what some phones write under .jpg, a JPEG with a second picture
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".heic", ".heif"}
PHOTO_FORMATS = "JPEG, PNG, TIFF or HEIC"
TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PNG_MARK = b"\x89PNG\r\n\x1a\n"
# what Pillow, tifffile, imagecodecs and pillow-heif raise on damaged files
DECODING_ERRORS = (
    *(
        OSError,
        EOFError,
        SyntaxError,
        ValueError,
        RuntimeError,
        LookupError,
        struct.error,
        tifffile.TiffFileError,
    ),
    *(
        TypeError,
        AttributeError,
        ArithmeticError,
        AssertionError,
    ),  # where a tag is of another type than it should be
)
DNG_VERSION = 50706  # a tag that tells DNG from other TIFF files
MAX_PIXELS = 2**29  # pixels; more is taken for a decompression bomb
# so is more than this in a file of few bytes: a header that says so costs nothing, but memory for the pixels does
BOMB_PIXELS, MAX_PIXELS_PER_BYTE = 2**24, 10_000  # pixels; a blank picture has about 1000 a byte
MIN_JPEG_BYTES_PER_PIXEL = 1 / 512  # bytes a pixel: each block of 8 x 8 takes a bit at least

Image.MAX_IMAGE_PIXELS = None  # `read_rgb` has its own limit
# what they say of a file does not name it; what matters is raised too
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def read_rgb(path: Path) -> np.ndarray:
    """Decode a picture to sRGB.

    Grey becomes three equal channels, palettes and CMYK become RGB, alpha is dropped (the colours stay
    as stored), an embedded ICC profile other than sRGB is converted. Pixels stay in the sensor's
    orientation: the EXIF orientation is not applied, and the turns that a HEIC file asks for are undone.

    Returns:
        (H, W, 3), uint8, or uint16 where the file has more than 8 bits a sample.

    Raises:
        InputError: the file can't be read, or is not a picture of a kind that is taken.
    """
    try:
        check_is_file(path, f"a {PHOTO_FORMATS} file")
        return three_channels(*read_pixels(path))
    except InputError:
        raise
    except MemoryError:
        raise InputError(
            f"{path}: too large for the memory that there is; cut it up, or take a machine with more"
        ) from None
    except Image.UnidentifiedImageError:
        raise InputError(f"{path}: not a picture that can be read; give a {PHOTO_FORMATS} file") from None
    except DECODING_ERRORS as error:
        if getattr(error, "errno", None):  # the system's, not the decoder's
            raise InputError(
                f"{path}: can't be read ({error.strerror}); give a file that this user may read"
            ) from error
        # of the others, what they say is for programmers
        reason = "damaged" if isinstance(error, LookupError | struct.error) else str(error).partition("\n")[0]
        raise InputError(f"{path}: can't be decoded ({reason}); give a whole {PHOTO_FORMATS} file") from error


def read_pixels(path: Path) -> tuple[np.ndarray, bytes | None]:
    """Pixels as stored, (H, W) or (H, W, C), grey or RGB, with alpha or without; and the ICC profile. Raises `DECODING_ERRORS`."""
    if (
        path.suffix.lower() in CAMERA_RAW_SUFFIXES
    ):  # many are TIFF files, whose first picture is a small preview
        raise camera_raw(path)
    with path.open("rb") as file:
        start = file.read(26)
    if start[:4] in TIFF_MARKS:
        return read_16_bit_tiff(path) or read_8_bit(path)
    if start[:8] == PNG_MARK:
        check_chunks(path)
    if start[:8] == PNG_MARK and start[24:25] == b"\x10":  # 16, the bit depth in the header
        check_size(path, *struct.unpack(">II", start[16:24]))
        with Image.open(path) as picture:  # reads the file's head only
            profile = picture.info.get("icc_profile")
        return imagecodecs.png_decode(path.read_bytes()), profile
    if is_heif(start):
        picture = open_heif(path)
        check_size(path, *picture.size)
        return as_stored(picture), picture.info.get("icc_profile")
    return read_8_bit(path)


def camera_raw(path: Path) -> InputError:
    return InputError(f"{path}: camera RAW; give the photo that was developed from it")


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse what is too small for a Bayer cell, or too large to be a photo."""
    if min(width, height) < 2:
        raise InputError(f"{path}: {width} x {height} pixels; a Bayer cell needs 2 x 2 or more")
    if width * height > MAX_PIXELS:
        raise InputError(f"{path}: {width} x {height} pixels; {MAX_PIXELS} at most")
    size = path.stat().st_size
    if width * height > max(BOMB_PIXELS, MAX_PIXELS_PER_BYTE * size):
        raise InputError(
            f"{path}: {width} x {height} pixels in {size} bytes; give a whole {PHOTO_FORMATS} file"
        )


def check_chunks(path: Path) -> None:
    """Refuse a PNG file that ends before its last chunk does: decoders take memory for what a chunk says that it holds."""
    size, at, kind = path.stat().st_size, len(PNG_MARK), b""
    with path.open("rb") as file:
        while kind != b"IEND":
            file.seek(at)
            head = file.read(8)
            length, kind = struct.unpack(">I4s", head) if len(head) == 8 else (size, b"")
            at += 12 + length
            if at > size:
                raise InputError(f"{path}: can't be decoded (cut short); give a whole {PHOTO_FORMATS} file")


def read_16_bit_tiff(path: Path) -> tuple[np.ndarray, bytes | None] | None:
    """uint16 (H, W) or (H, W, C) of a 16-bit TIFF, and its profile; None for 8 bits and less, which Pillow reads."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        if DNG_VERSION in page.tags:
            raise camera_raw(path)
        if page.dtype is not None and page.dtype.itemsize == 1:
            return None
        if page.dtype != np.uint16:
            raise InputError(f"{path}: {page.dtype} samples; save it with 8 or 16 bits a sample")
        if page.photometric not in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.MINISBLACK):
            colours = getattr(page.photometric, "name", page.photometric)
            raise InputError(f"{path}: {colours} colours in 16 bits; save it as RGB or grey")
        if page.samplesperpixel > 2 and page.photometric == tifffile.PHOTOMETRIC.MINISBLACK:
            raise InputError(f"{path}: {page.samplesperpixel} channels; save it as RGB or grey")
        check_size(path, page.imagewidth, page.imagelength)
        check_parts(path, page)
        pixels = page.asarray()
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        return pixels, page.tags.valueof("InterColorProfile")


def check_parts(path: Path, page: tifffile.TiffPage) -> None:
    """Refuse a picture that is more than rows and columns of up to 5 samples, or whose parts are too large or not in the file."""
    rows, columns = page.imagelength, page.imagewidth
    planes = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and len(page.shape) == 3
    if (page.shape[-2:] if planes else page.shape[:2]) != (rows, columns) or page.size > 5 * rows * columns:
        raise InputError(f"{path}: {' x '.join(map(str, page.shape))} samples; save it as RGB or grey")
    size, part = path.stat().st_size, math.prod(page.chunks)
    if part > max(page.size, BOMB_PIXELS):
        raise InputError(
            f"{path}: tiles or strips of {part} samples, more than the picture has; save it anew"
        )
    if any(not 0 < count <= size - offset for offset, count in zip(page.dataoffsets, page.databytecounts)):
        raise InputError(
            f"{path}: parts of the picture are not in the file; give a whole {PHOTO_FORMATS} file"
        )


def read_8_bit(path: Path) -> tuple[np.ndarray, bytes | None]:
    """uint8 (H, W), (H, W, 2) or (H, W, 3) of whatever Pillow reads, of the formats that are taken, and its profile."""
    with Image.open(path) as picture:
        if picture.format not in PILLOW_FORMATS:
            raise InputError(f"{path}: a {picture.format} file; convert it to {PHOTO_FORMATS}")
        check_size(path, *picture.size)
        size, pixels = path.stat().st_size, picture.width * picture.height
        if (
            picture.format in ("JPEG", "MPO") and size < pixels * MIN_JPEG_BYTES_PER_PIXEL
        ):  # else grey would be made of what is missing
            raise InputError(
                f"{path}: {picture.width} x {picture.height} pixels in {size} bytes; copy it again from where it came"
            )
        picture.load()
        profile = picture.info.get("icc_profile")
        if picture.mode == "CMYK":  # without a profile, by Pillow's plain formula
            converted = to_srgb(np.asarray(picture), profile)
            return (np.array(picture.convert("RGB")) if converted is None else converted), None
        return np.array(picture if picture.mode in ("L", "LA") else picture.convert("RGB")), profile


def three_channels(pixels: np.ndarray, profile: bytes | None) -> np.ndarray:
    """(H, W), grey with or without alpha, or RGB with or without -> sRGB (H, W, 3)."""
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    colours = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., :1]
    converted = to_srgb(colours, profile)
    return np.ascontiguousarray(
        np.broadcast_to(colours, (*colours.shape[:2], 3)) if converted is None else converted
    )


def save_png(path: Path, rgb: np.ndarray) -> None:
    """Write uint8 or uint16 (H, W, 3), whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(rgb), level=6))
