"""Find and read sRGB pictures: JPEG, PNG and TIFF, 8 or 16 bit; write PNG."""

import io
import struct
from collections.abc import Iterable
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageCms

from omf.errors import InputError
from omf.files import written_whole

FORMATS = ("JPEG", "MPO", "PNG", "TIFF")  # MPO: what some phones write under .jpg, a JPEG with a second picture
SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}
# Pictures that a user may expect to be taken; they are listed too, so that they are refused by name.
OTHER_SUFFIXES = {".avif", ".bmp", ".gif", ".heic", ".heif", ".jp2", ".jxl", ".webp"}
OTHER_SUFFIXES |= {".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"}
TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PNG_MARK = b"\x89PNG\r\n\x1a\n"
# what Pillow, tifffile and imagecodecs raise on damaged files
DECODING_ERRORS = (OSError, SyntaxError, ValueError, RuntimeError, IndexError, KeyError, struct.error, tifffile.TiffFileError)
LARGEST = 2**29  # pixels; more is taken for a decompression bomb

Image.MAX_IMAGE_PIXELS = None  # `read_rgb` has its own limit


def list_images(folder: Path) -> list[Path]:
    """The pictures directly in a folder, by name. Raises InputError where there are none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that holds JPEG, PNG or TIFF files")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES | OTHER_SUFFIXES and not path.name.startswith("."))
    if not found:
        raise InputError(f"{folder}: no pictures in it; put JPEG, PNG or TIFF files there")
    return found


def gather(paths: Iterable[Path]) -> list[Path]:
    """Folders replaced by the pictures in them. Raises InputError for a folder without pictures."""
    return [photo for path in paths for photo in (list_images(path) if path.is_dir() else [path])]


def matching(photos: list[Path], patterns: Path) -> list[Path]:
    """The photos whose names match one of the globs in a file; lines with # are comments."""
    try:
        lines = [line.strip() for line in patterns.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{patterns}: can't be read ({error}); give a text file with a file name or glob in each line") from error
    globs = [line for line in lines if line and not line.startswith("#")]
    return [photo for photo in photos if any(photo.match(glob) for glob in globs)]


def group_by_stem(photos: Iterable[Path]) -> dict[str, list[Path]]:
    """Pictures by the name that their RAW gets: the file's name without its suffix."""
    grouped: dict[str, list[Path]] = {}
    for photo in photos:
        grouped.setdefault(photo.stem, []).append(photo)
    return grouped


def read_rgb(path: Path) -> np.ndarray:
    """Decode a picture to sRGB.

    Grey becomes three equal channels, palettes and CMYK become RGB, alpha is dropped (the colours stay
    as stored), an embedded ICC profile other than sRGB is converted (8-bit pictures). The EXIF
    orientation is not applied: pixels stay in the sensor's orientation.

    Returns:
        (H, W, 3), uint8, or uint16 where the file has 16 bits a sample.

    Raises:
        InputError: the file can't be read, or is not a picture of a kind that is taken.
    """
    try:
        with path.open("rb") as file:
            start = file.read(26)
        if start[:4] in TIFF_MARKS:
            pixels = read_16_bit_tiff(path)
        elif start[:8] == PNG_MARK and start[24:25] == b"\x10":  # 16, the bit depth in the header
            check_size(path, *struct.unpack(">II", start[16:24]))
            pixels = imagecodecs.png_decode(path.read_bytes())
        else:
            pixels = None
        return three_channels(pixels) if pixels is not None else read_8_bit(path)
    except InputError:
        raise
    except Image.UnidentifiedImageError:
        raise InputError(f"{path}: not a picture that can be read; give a JPEG, PNG or TIFF file") from None
    except DECODING_ERRORS as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise InputError(f"{path}: can't be decoded ({reason}); give a whole JPEG, PNG or TIFF file") from error


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse what is too small for a Bayer cell, or too large to be a photo."""
    if min(width, height) < 2:
        raise InputError(f"{path}: {width} x {height} pixels; a Bayer cell needs 2 x 2 or more")
    if width * height > LARGEST:
        raise InputError(f"{path}: {width} x {height} pixels; {LARGEST} at most")


def read_16_bit_tiff(path: Path) -> np.ndarray | None:
    """uint16 (H, W) or (H, W, C) of a 16-bit TIFF; None for 8 bits and less, which Pillow reads."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        if page.dtype is not None and page.dtype.itemsize == 1:
            return None
        if page.dtype != np.uint16:
            raise InputError(f"{path}: {page.dtype} samples; save it with 8 or 16 bits a sample")
        if page.photometric not in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.MINISBLACK):
            raise InputError(f"{path}: {page.photometric.name} colours in 16 bits; save it as RGB or grey")
        check_size(path, page.imagewidth, page.imagelength)
        pixels = page.asarray()
        return np.moveaxis(pixels, 0, -1) if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE else pixels


def three_channels(pixels: np.ndarray) -> np.ndarray:
    """(H, W), grey with or without alpha, or RGB with or without -> (H, W, 3)."""
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    colour = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., :1]
    return np.ascontiguousarray(np.broadcast_to(colour, (*colour.shape[:2], 3)))


def read_8_bit(path: Path) -> np.ndarray:
    """uint8 (H, W, 3) of whatever Pillow reads, of the formats that are taken."""
    with Image.open(path) as picture:
        if picture.format not in FORMATS:
            raise InputError(f"{path}: a {picture.format} file; convert it to JPEG, PNG or TIFF")
        check_size(path, *picture.size)
        picture.load()
        return np.array(to_srgb(picture).convert("RGB"))


def to_srgb(picture: Image.Image) -> Image.Image:
    """Convert by the embedded ICC profile, where there is one that says something other than sRGB."""
    icc = picture.info.get("icc_profile")
    if not icc or picture.mode not in ("RGB", "L", "CMYK"):
        return picture
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if "sRGB" in ImageCms.getProfileDescription(profile):
            return picture
        return ImageCms.profileToProfile(picture, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (OSError, ImageCms.PyCMSError):
        return picture  # a broken profile says nothing about the colours; viewers take them for sRGB too


def save_png(path: Path, rgb: np.ndarray) -> None:
    """Write uint8 or uint16 (H, W, 3), whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(rgb), level=6))
