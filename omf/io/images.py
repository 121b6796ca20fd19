"""Read sRGB photos of all supported formats, 8 or 16 bits per sample; write PNG."""

import io
import math
import struct
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from omf.io import heif
from omf.io.camera_raw import CAMERA_RAW_SUFFIXES
from omf.io.colour import UnsupportedColoursError, profile_from_exif, profile_from_png, read_colour_chunks
from omf.io.decoding import DECODING_ERRORS, decoding_reason, open_image
from omf.io.gaps import check_heif, check_webp
from omf.io.icc import to_srgb
from omf.io.identify import identify
from omf.io.jpeg import JPEG_FORMATS, decode_jpeg, explain_jpeg
from omf.io.local_files import on_local_file
from omf.io.tiff import can_decode, check_parts, decode_page, find_main_page, without_orientation
from omf.utils.errors import InputError
from omf.utils.files import atomic_write, check_is_file

# Files with these suffixes count as photos without a look at their content
PHOTO_SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".tif", ".tiff"),
    *(".heic", ".heif", ".hif", ".avif", ".webp"),
}
PHOTO_FORMATS = "JPEG, PNG, TIFF, WebP, AVIF or HEIC"
READABLE = {"JPEG", "PNG", "TIFF", "WebP", "AVIF", "HEIC"}  # of `omf.io.identify`
max_pixels = ContextVar("max_pixels", default=2**29)  # of an image; larger ones count as decompression bombs
# a larger image in a small file is one too: the header is cheap, but decoding allocates memory for all pixels
BOMB_PIXELS, MAX_PIXELS_PER_BYTE = 2**24, 10_000  # a blank image has about 1000 pixels per byte
MIN_JPEG_BYTES_PER_PIXEL = 1 / 512  # a block of 8 x 8 pixels takes at least one bit


@on_local_file
def read_rgb(path: Path) -> np.ndarray:
    """Decode a photo to sRGB, (H, W, 3): uint8, or uint16 if the file has more than 8 bits per sample.

    Grey is expanded to three equal channels, palettes and CMYK are converted to RGB, and alpha is dropped
    (the colours stay as stored; if they were multiplied by it, they are divided). Colours other than sRGB are
    converted, whether an ICC profile describes them or the format's own fields (`omf.io.colour`). Pixels stay
    as stored: no orientation is applied, neither that of EXIF nor that of the container.

    Raises InputError if the file cannot be read, or its format is not supported.
    """
    try:
        check_is_file(path, f"a {PHOTO_FORMATS} file")
        return to_srgb_channels(*read_pixels(path))
    except UnsupportedColoursError as error:
        raise InputError(f"{path}: {error}; save it as sRGB") from None
    except MemoryError:
        raise InputError(
            f"{path}: too large for the available memory;"
            " split it into smaller photos, or use a machine with more memory"
        ) from None
    except Image.UnidentifiedImageError:
        if (kind := identify(path)) and kind not in READABLE:
            raise InputError(f"{path}: a {kind} file; convert it to {PHOTO_FORMATS}") from None
        if kind in ("", "JPEG") and (fault := explain_jpeg(path)):
            raise InputError(f"{path}: {fault}") from None
        raise InputError(f"{path}: not a picture that can be read; give a {PHOTO_FORMATS} file") from None
    except DECODING_ERRORS as error:
        if getattr(error, "errno", None):  # from the operating system, not from a decoder
            fault, remedy = f"can't be read ({error.strerror})", "a file that this user may read"
        else:
            fault, remedy = f"can't be decoded ({decoding_reason(error)})", f"an intact {PHOTO_FORMATS} file"
        raise InputError(f"{path}: {fault}; give {remedy}") from error


@on_local_file
def read_reduced(path: Path, side: int) -> np.ndarray:
    """Decode a photo for display: as `read_rgb`, but JPEG at 1/8 to 1/1 of its size.

    The longer side then has at least `side` pixels, if that of the photo has. Damage may show as grey parts.
    """
    with suppress(*DECODING_ERRORS), open_image(path, JPEG_FORMATS[:1]) as image:
        if image.mode != "CMYK" and max(image.size) > side:
            profile = described_profile(image)
            scale = side / max(image.size)
            image.draft(image.mode, (math.ceil(image.width * scale), math.ceil(image.height * scale)))
            return to_srgb_channels(np.asarray(image), profile)
    return read_rgb(path)


def read_pixels(path: Path) -> tuple[np.ndarray, bytes | None]:
    """Decode the stored pixels of a photo.

    Returns:
        Pixels, (H, W) or (H, W, C), grey or RGB, with or without alpha, and the ICC profile or None.

    Raises InputError for camera RAW and unsupported content, `DECODING_ERRORS` for damage.
    """
    # many camera RAW files are TIFF files whose first image is a small preview
    if path.suffix.lower() in CAMERA_RAW_SUFFIXES:
        raise camera_raw_error(path)
    match identify(path):
        case "TIFF":
            return read_tiff(path)
        case "PNG":
            return read_png(path)
        case "HEIC":
            image = heif.open_heif(path)
            check_size(path, *image.size)
            check_heif(path.read_bytes())
            profile = heif.embedded_profile(image) or profile_from_exif(read_tags(image))
            return heif.decode_stored(image), profile
        case "AVIF":
            data = path.read_bytes()
            with open_image(path, ["AVIF"]) as image:
                check_still(path, image)
                check_size(path, *image.size)
                check_heif(data)
                profile = image.info.get("icc_profile") or heif.avif_profile(data)
                return heif.decode_avif(data), profile or profile_from_exif(read_tags(image))
        case "CR3":
            raise camera_raw_error(path)
    return read_with_pillow(path)


def camera_raw_error(path: Path) -> InputError:
    """Return the error for camera RAW given as a photo."""
    return InputError(f"{path}: camera RAW; give the photo that was developed from it")


def check_size(path: Path, width: int, height: int) -> None:
    """Raise InputError if an image is smaller than a Bayer cell, too large, or too large for its file."""
    if min(width, height) < 2:
        raise InputError(f"{path}: {width} x {height} pixels; a Bayer cell needs 2 x 2 or more")
    if width * height > max_pixels.get():
        raise InputError(f"{path}: {width} x {height} pixels; {max_pixels.get()} at most")
    size = path.stat().st_size
    if width * height > max(BOMB_PIXELS, MAX_PIXELS_PER_BYTE * size):
        raise InputError(
            f"{path}: {width} x {height} pixels in {size} bytes; give an intact {PHOTO_FORMATS} file"
        )


def check_still(path: Path, image: Image.Image) -> None:
    """Raise InputError for an animation."""
    if getattr(image, "n_frames", 1) > 1 and image.format in ("WEBP", "AVIF"):
        raise InputError(f"{path}: an animation of {image.n_frames} pictures; give one photo")


def read_png(path: Path) -> tuple[np.ndarray, bytes | None]:
    """Decode a PNG file; returns and raises the same as `read_pixels`."""
    chunks = read_colour_chunks(path)
    if chunks is None:
        raise InputError(f"{path}: can't be decoded (cut short); give an intact {PHOTO_FORMATS} file")
    with path.open("rb") as file:
        header = file.read(26)
    if header[24:25] == b"\x10":  # 16, the bit depth
        check_size(path, *struct.unpack(">II", header[16:24]))
        with open_image(path, ["PNG"]) as image:
            profile = described_profile(image)
        pixels = imagecodecs.png_decode(path.read_bytes())
    else:
        pixels, profile = read_with_pillow(path)
    if b"cICP" in chunks or not profile:
        profile = profile_from_png(chunks) or (None if b"cICP" in chunks else profile)
    return pixels, profile


def read_tiff(path: Path) -> tuple[np.ndarray, bytes | None]:
    """Decode a TIFF file; returns and raises the same as `read_pixels`."""
    with tifffile.TiffFile(path) as tiff:
        if "DNGVersion" in tiff.pages.first.tags:
            raise camera_raw_error(path)
        page, index = find_main_page(path, tiff)
        if can_decode(page):
            check_size(path, page.imagewidth, page.imagelength)
            return decode_page(path, page)
        if index is None:
            raise InputError(f"{path}: the photo is in a sub-directory of a preview; save it without one")
        check_parts(path, page)
        return read_with_pillow(path, index, without_orientation(path, page))


def read_with_pillow(
    path: Path, index: int = 0, file: io.BytesIO | None = None
) -> tuple[np.ndarray, bytes | None]:
    """Decode picture `index` of a file of `PILLOW_FORMATS`, or of `file` in its place, see `decode_8_bit`.

    Raises InputError for an animation, a wrong size, and a file that is too short for its pixels.
    """
    with open_image(file or path) as image:
        check_still(path, image)
        if index:
            image.seek(index)
        check_size(path, *image.size)
        size = path.stat().st_size
        if is_cut_short(image, size):
            raise InputError(
                f"{path}: {image.width} x {image.height} pixels in {size} bytes;"
                " copy it again from where it came"
            )
        if image.format == "WEBP":
            check_webp(path.read_bytes(), image.width * image.height)
        return decode_8_bit(image)


def is_cut_short(image: Image.Image, size: int) -> bool:
    """Return True if an image of `size` bytes is a JPEG whose decoder would fill missing data with grey."""
    return image.format in JPEG_FORMATS and size < image.width * image.height * MIN_JPEG_BYTES_PER_PIXEL


def decode_8_bit(image: Image.Image) -> tuple[np.ndarray, bytes | None]:
    """Decode an image that Pillow has opened. Raises `DECODING_ERRORS`.

    Returns:
        Pixels, uint8 (H, W), (H, W, 1), (H, W, 2) or (H, W, 3), and the ICC profile or None.
    """
    profile = described_profile(image)  # Pillow forgets a part of EXIF as it decodes TIFF
    if image.format in JPEG_FORMATS:
        pixels = decode_jpeg(image)
        if pixels is not None and image.mode != "CMYK":
            return pixels, profile
    image.load()
    if image.mode == "CMYK":  # without a profile, Pillow's simple formula applies
        converted = to_srgb(np.asarray(image), profile)
        return (np.array(image.convert("RGB")) if converted is None else converted), None
    return np.array(image if image.mode in ("L", "LA") else image.convert("RGB")), profile


def described_profile(image: Image.Image) -> bytes | None:
    """Return the ICC profile of an image that Pillow has opened: embedded, or by EXIF; None for sRGB."""
    return image.info.get("icc_profile") or profile_from_exif(read_tags(image))


def read_tags(image: "Image.Image | heif.HeifImage") -> Image.Exif:
    """Return the EXIF of an opened image, without decoding it, as Pillow does for PNG."""
    if getattr(image, "format", "PNG") != "PNG":
        return image.getexif()
    exif = Image.Exif()
    exif.load(image.info.get("exif") or b"")
    return exif


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
