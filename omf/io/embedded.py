"""Read the photo that a camera embeds in its RAW file: its own rendering, mostly a JPEG.

Many cameras embed it in full size, next to smaller previews. LibRaw returns the largest.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from omf.io.camera_raw import import_rawpy, libraw_reason, open_camera_raw
from omf.io.decoding import DECODING_ERRORS, decoding_reason, open_image
from omf.io.images import decode_8_bit, is_cut_short, to_srgb_channels
from omf.io.jpeg import has_end
from omf.utils.errors import InputError

if TYPE_CHECKING:
    from rawpy import RawPy

# A photo of full size has one side, or both, within this share of the RAW's. Cameras crop a few pixels at the
# borders; a crop to another aspect ratio keeps one of the sides.
FULL_SIZE = 0.9
PHOTO = "the photo embedded in it"


def read_embedded_photo(path: Path) -> np.ndarray:
    """Decode the photo embedded in a camera RAW file to sRGB, uint8 (H, W, 3), as `omf.io.images.read_rgb`.

    Pixels stay as stored: neither the RAW's orientation nor that of the photo's EXIF is applied.

    Raises:
        InputError: rawpy is not installed, the file cannot be read, or it embeds no photo that can be decoded
            and has the RAW's full size.
    """
    with faults_in_words(path), open_embedded_photo(path) as image:
        return to_srgb_channels(*decode_8_bit(image))


def open_embedded_photo(path: Path) -> Image.Image:
    """Open the photo embedded in a camera RAW file and check its size; neither it nor the RAW is decoded.

    Raises InputError as `read_embedded_photo`, except for damage behind the photo's header.
    """
    with open_camera_raw(path) as raw:
        image = extract_photo(path, raw)
        size = (raw.sizes.width, raw.sizes.height)
    if not is_full_size(image.size, size):
        small, full = (f"{width} x {height}" for width, height in (image.size, size))
        raise unusable(path, f"{PHOTO} has {small} pixels, the RAW {full}")
    return image


def extract_photo(path: Path, raw: "RawPy") -> Image.Image:
    """Return the largest photo embedded in an open RAW file. Raises InputError if there is none."""
    with faults_in_words(path):
        embedded = raw.extract_thumb()
        if isinstance(embedded.data, np.ndarray):  # uncompressed: uint8 (H, W, 1 or 3)
            return Image.fromarray(embedded.data[..., 0] if embedded.data.shape[2] == 1 else embedded.data)
        image = open_image(io.BytesIO(embedded.data), ["JPEG"])
    if is_cut_short(image, len(embedded.data)) or not has_end(embedded.data):
        raise unusable(path, f"{PHOTO} is cut short")
    return image


@contextmanager
def faults_in_words(path: Path) -> Iterator[None]:
    """Raise InputError for what LibRaw and decoders raise within the block."""
    rawpy = import_rawpy()
    try:
        yield
    except MemoryError:
        raise InputError(
            f"{path}: too large for the available memory; use a machine with more memory"
        ) from None
    except rawpy.LibRawNoThumbnailError:
        raise unusable(path, "no photo is embedded in it") from None
    # rawpy raises NotImplementedError for types of photos that LibRaw knows and rawpy doesn't
    except (rawpy.LibRawUnsupportedThumbnailError, NotImplementedError):
        raise unusable(path, f"{PHOTO} is damaged, or not in a format that can be read") from None
    except rawpy.LibRawError as error:
        raise unusable(path, f"{PHOTO} can't be read ({libraw_reason(error)})") from error
    except DECODING_ERRORS as error:
        raise unusable(path, f"{PHOTO} can't be decoded ({decoding_reason(error)})") from error


def is_full_size(photo: tuple[int, int], raw: tuple[int, int]) -> bool:
    """Return True if a photo nearly has the size of its RAW, in any orientation, along one side or both."""
    largest = max(a / b for a, b in zip(sorted(photo), sorted(raw)))
    return FULL_SIZE <= largest <= 1 / FULL_SIZE


def unusable(path: Path, fault: str) -> InputError:
    """Return the error for camera RAW without a usable embedded photo."""
    return InputError(f"{path}: {fault}; put the camera's JPEG beside it, {path.stem}.jpg")
