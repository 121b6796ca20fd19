"""Read sRGB photos: JPEG, PNG, TIFF and HEIC, 8 or 16 bits per sample; write PNG."""

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
from omf.io.heif import decode_stored, is_heif, open_heif
from omf.io.icc import to_srgb
from omf.utils.errors import InputError
from omf.utils.files import atomic_write, check_is_file

JPEG_FORMATS = ("JPEG", "MPO")  # MPO is a JPEG with a second image, which some phones write as .jpg
PILLOW_FORMATS = (*JPEG_FORMATS, "PNG", "TIFF")
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".heic", ".heif"}
PHOTO_FORMATS = "JPEG, PNG, TIFF or HEIC"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# exceptions that Pillow, tifffile, imagecodecs and pillow-heif raise for damaged files
DECODING_ERRORS = (
    *(OSError, EOFError, SyntaxError, ValueError, RuntimeError, LookupError),
    *(struct.error, tifffile.TiffFileError),
    *(TypeError, AttributeError, ArithmeticError, AssertionError),  # raised for tags of an unexpected type
)
DNG_VERSION = 50706  # tag that distinguishes DNG from other TIFF files
MAX_PIXELS = 2**29  # larger images count as decompression bombs
# a larger image in a small file is one too: the header is cheap, but decoding allocates memory for all pixels
BOMB_PIXELS, MAX_PIXELS_PER_BYTE = 2**24, 10_000  # a blank image has about 1000 pixels per byte
MIN_JPEG_BYTES_PER_PIXEL = 1 / 512  # a block of 8 x 8 pixels takes at least one bit

Image.MAX_IMAGE_PIXELS = None  # `read_rgb` has its own limit
# their warnings do not name the file, and serious problems raise an exception too
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def read_rgb(path: Path) -> np.ndarray:
    """Decode a photo to sRGB.

    Grey is expanded to three equal channels, palettes and CMYK are converted to RGB, and alpha is dropped
    (the colours stay as stored). Colours with an embedded ICC profile other than sRGB are converted. Pixels
    stay in the sensor's orientation: the EXIF orientation is not applied, and the rotation and mirroring of a
    HEIC file are undone.

    Args:
        path: photo file.

    Returns:
        (H, W, 3), uint8, or uint16 if the file has more than 8 bits per sample.

    Raises:
        InputError: the file cannot be read, or its format is not supported.
    """
    try:
        check_is_file(path, f"a {PHOTO_FORMATS} file")
        return to_srgb_channels(*read_pixels(path))
    except InputError:
        raise
    except MemoryError:
        raise InputError(
            f"{path}: too large for the available memory;"
            " split it into smaller photos, or use a machine with more memory"
        ) from None
    except Image.UnidentifiedImageError:
        raise InputError(f"{path}: not a picture that can be read; give a {PHOTO_FORMATS} file") from None
    except DECODING_ERRORS as error:
        if getattr(error, "errno", None):  # from the operating system, not from a decoder
            raise InputError(
                f"{path}: can't be read ({error.strerror}); give a file that this user may read"
            ) from error
        raise InputError(
            f"{path}: can't be decoded ({decoding_reason(error)}); give an intact {PHOTO_FORMATS} file"
        ) from error


def decoding_reason(error: Exception) -> str:
    """Return the first line of a decoder's message, or "damaged" if it means nothing to users."""
    meaningless = isinstance(error, LookupError | struct.error | Image.UnidentifiedImageError)
    return "damaged" if meaningless else str(error).partition("\n")[0]


def read_pixels(path: Path) -> tuple[np.ndarray, bytes | None]:
    """Decode the stored pixels of a photo.

    Returns:
        Pixels, (H, W) or (H, W, C), grey or RGB, with or without alpha, and the ICC profile or None.

    Raises:
        InputError: the file is camera RAW, or its content is not supported.
        DECODING_ERRORS: the file cannot be decoded.
    """
    # many camera RAW files are TIFF files whose first image is a small preview
    if path.suffix.lower() in CAMERA_RAW_SUFFIXES:
        raise camera_raw_error(path)
    with path.open("rb") as file:
        start = file.read(26)
    if start[:4] in TIFF_SIGNATURES:
        return read_16_bit_tiff(path) or read_8_bit(path)
    if start[:8] == PNG_SIGNATURE:
        check_chunks(path)
    if start[:8] == PNG_SIGNATURE and start[24:25] == b"\x10":  # 16, the bit depth in the header
        check_size(path, *struct.unpack(">II", start[16:24]))
        with Image.open(path) as image:  # reads only the header
            profile = image.info.get("icc_profile")
        return imagecodecs.png_decode(path.read_bytes()), profile
    if is_heif(start):
        image = open_heif(path)
        check_size(path, *image.size)
        return decode_stored(image), image.info.get("icc_profile")
    return read_8_bit(path)


def camera_raw_error(path: Path) -> InputError:
    """Return the error for camera RAW given as a photo."""
    return InputError(f"{path}: camera RAW; give the photo that was developed from it")


def check_size(path: Path, width: int, height: int) -> None:
    """Raise InputError if an image is smaller than a Bayer cell, too large, or too large for its file."""
    if min(width, height) < 2:
        raise InputError(f"{path}: {width} x {height} pixels; a Bayer cell needs 2 x 2 or more")
    if width * height > MAX_PIXELS:
        raise InputError(f"{path}: {width} x {height} pixels; {MAX_PIXELS} at most")
    size = path.stat().st_size
    if width * height > max(BOMB_PIXELS, MAX_PIXELS_PER_BYTE * size):
        raise InputError(
            f"{path}: {width} x {height} pixels in {size} bytes; give an intact {PHOTO_FORMATS} file"
        )


def check_chunks(path: Path) -> None:
    """Raise InputError if a PNG file ends within a chunk: decoders allocate the declared length."""
    size, position, kind = path.stat().st_size, len(PNG_SIGNATURE), b""
    with path.open("rb") as file:
        while kind != b"IEND":
            file.seek(position)
            header = file.read(8)
            length, kind = struct.unpack(">I4s", header) if len(header) == 8 else (size, b"")
            position += 12 + length
            if position > size:
                raise InputError(f"{path}: can't be decoded (cut short); give an intact {PHOTO_FORMATS} file")


def read_16_bit_tiff(path: Path) -> tuple[np.ndarray, bytes | None] | None:
    """Decode a 16-bit TIFF file.

    Returns:
        Pixels, uint16 (H, W) or (H, W, C), and the ICC profile or None. None in place of both for files of 8
        bits per sample or less, which Pillow reads.

    Raises:
        InputError: the file is DNG, or its samples, colours or layout are not supported.
    """
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        if DNG_VERSION in page.tags:
            raise camera_raw_error(path)
        if page.dtype is not None and page.dtype.itemsize == 1:
            return None
        if page.dtype != np.uint16:
            raise InputError(f"{path}: {page.dtype} samples; save it with 8 or 16 bits per sample")
        if page.photometric not in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.MINISBLACK):
            colours = getattr(page.photometric, "name", page.photometric)
            raise InputError(f"{path}: {colours} colours in 16 bits; save it as RGB or grey")
        if page.samplesperpixel > 2 and page.photometric == tifffile.PHOTOMETRIC.MINISBLACK:
            raise InputError(f"{path}: {page.samplesperpixel} channels; save it as RGB or grey")
        check_size(path, page.imagewidth, page.imagelength)
        check_tiff_layout(path, page)
        pixels = page.asarray()
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        return pixels, page.tags.valueof("InterColorProfile")


def check_tiff_layout(path: Path, page: tifffile.TiffPage) -> None:
    """Check the layout that the tags of a TIFF image declare.

    Raises:
        InputError: the image is not two-dimensional, has more than 5 samples per pixel, or has tiles or
            strips that are larger than the image or not in the file.
    """
    rows, columns = page.imagelength, page.imagewidth
    planes = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and len(page.shape) == 3
    if (page.shape[-2:] if planes else page.shape[:2]) != (rows, columns) or page.size > 5 * rows * columns:
        raise InputError(f"{path}: {' x '.join(map(str, page.shape))} samples; save it as RGB or grey")
    size, chunk_samples = path.stat().st_size, math.prod(page.chunks)
    if chunk_samples > max(page.size, BOMB_PIXELS):
        raise InputError(
            f"{path}: tiles or strips of {chunk_samples} samples, more than the image has; save it again"
        )
    if any(not 0 < count <= size - offset for offset, count in zip(page.dataoffsets, page.databytecounts)):
        raise InputError(
            f"{path}: parts of the image are not in the file; give an intact {PHOTO_FORMATS} file"
        )


def read_8_bit(path: Path) -> tuple[np.ndarray, bytes | None]:
    """Decode a file of `PILLOW_FORMATS` with Pillow.

    Returns:
        Pixels, uint8 (H, W), (H, W, 2) or (H, W, 3), and the ICC profile or None.

    Raises:
        InputError: the format is not supported, or the file is too short for its pixels.
    """
    with Image.open(path) as image:
        if image.format not in PILLOW_FORMATS:
            raise InputError(f"{path}: a {image.format} file; convert it to {PHOTO_FORMATS}")
        check_size(path, *image.size)
        size = path.stat().st_size
        if is_cut_short(image, size):
            raise InputError(
                f"{path}: {image.width} x {image.height} pixels in {size} bytes;"
                " copy it again from where it came"
            )
        return decode_8_bit(image)


def is_cut_short(image: Image.Image, size: int) -> bool:
    """Return True if an image of `size` bytes is a JPEG whose decoder would fill missing data with grey."""
    return image.format in JPEG_FORMATS and size < image.width * image.height * MIN_JPEG_BYTES_PER_PIXEL


def decode_8_bit(image: Image.Image) -> tuple[np.ndarray, bytes | None]:
    """Decode an image that Pillow has opened.

    Returns:
        Pixels, uint8 (H, W), (H, W, 2) or (H, W, 3), and the ICC profile or None.

    Raises:
        DECODING_ERRORS: the image cannot be decoded.
    """
    image.load()
    profile = image.info.get("icc_profile")
    if image.mode == "CMYK":  # without a profile, Pillow's simple formula applies
        converted = to_srgb(np.asarray(image), profile)
        return (np.array(image.convert("RGB")) if converted is None else converted), None
    return np.array(image if image.mode in ("L", "LA") else image.convert("RGB")), profile


def to_srgb_channels(pixels: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Convert grey (H, W) or (H, W, 1 or 2), or RGB (H, W, 3 or 4), to sRGB (H, W, 3); alpha is dropped."""
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    colours = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., :1]
    converted = to_srgb(colours, profile)
    return np.ascontiguousarray(
        np.broadcast_to(colours, (*colours.shape[:2], 3)) if converted is None else converted
    )


def save_png(path: Path, rgb: np.ndarray) -> None:
    """Write an image, uint8 or uint16 (H, W, 3), as PNG, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(rgb), level=6))
