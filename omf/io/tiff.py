"""Read TIFF files: RGB and grey of 8 to 16 bits per sample, and YCbCr without compression, with tifffile."""

import io
import math
import struct
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from omf.io.colour import profile_from_tiff
from omf.io.decoding import scale_to_16_bits
from omf.io.gaps import EMPTY_PART
from omf.io.jpeg import ends_in_zeros
from omf.utils.errors import InputError

COLOUR_TAGS = ("WhitePoint", "PrimaryChromaticities", "TransferFunction")  # TIFF 6.0, section 20
MAX_CHUNK_SAMPLES = 2**24  # of a small image
RATIONAL_TYPES = (tifffile.DATATYPE.RATIONAL, tifffile.DATATYPE.SRATIONAL)
ASSOCIATED_ALPHA = 1  # of the tag ExtraSamples: colours are multiplied by it
CHANNELS_OF = {
    tifffile.PHOTOMETRIC.RGB: 3,
    tifffile.PHOTOMETRIC.MINISBLACK: 1,
    tifffile.PHOTOMETRIC.MINISWHITE: 1,
}


def find_main_page(path: Path, tiff: tifffile.TiffFile) -> tuple[tifffile.TiffPage, int | None]:
    """Return the first image that is no preview of another one, and its index; None in a sub-directory.

    Raises InputError if all images are previews.
    """
    for index, page in enumerate(tiff.pages):
        if not is_preview(page):
            return page, index
        for inner in page.pages or ():
            if not is_preview(inner):
                return inner, None
    raise InputError(f"{path}: contains only previews of a photo; give the photo")


def is_preview(page: tifffile.TiffPage | tifffile.TiffFrame) -> bool:
    """Return True for an image of reduced resolution, as its tag NewSubfileType or SubfileType says."""
    return bool(page.keyframe.is_reduced or page.keyframe.subfiletype & 1)


def can_decode(page: tifffile.TiffPage) -> bool:
    """Return True for the images of this module: grey and RGB, and all with more than 8 bits.

    Pillow reads the others, such as palettes, CMYK and compressed YCbCr.
    """
    bits = page.bitspersample
    if not isinstance(bits, int) or bits > 8 or (page.dtype is not None and page.dtype.kind in "ifc"):
        return True
    return bits == 8 and (page.photometric in CHANNELS_OF or is_plain_ycbcr(page))


def is_plain_ycbcr(page: tifffile.TiffPage) -> bool:
    """Return True for YCbCr in 8 bits without compression and subsampling, which Pillow reads from 13 on."""
    return (
        page.photometric == tifffile.PHOTOMETRIC.YCBCR
        and page.compression == tifffile.COMPRESSION.NONE
        and page.bitspersample == 8
        and page.subsampling == (1, 1)
    )


def decode_page(path: Path, page: tifffile.TiffPage) -> tuple[np.ndarray, bytes | None]:
    """Decode an image, without applying its tag Orientation.

    Returns:
        Pixels, (H, W, C): uint8, or uint16 scaled to its full range for more than 8 bits. The ICC profile, or
        None for sRGB.

    Raises InputError for samples, colours and layouts that are not supported, `DECODING_ERRORS` for damage.
    """
    channels = check_samples(path, page)
    check_layout(path, page)
    check_parts(path, page)
    pixels = page.asarray()
    if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, -1)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    bits = page.bitspersample
    if 8 < bits < 16:
        pixels = scale_to_16_bits(pixels, bits)
    if pixels.shape[2] > channels and tuple(page.extrasamples)[:1] == (ASSOCIATED_ALPHA,):
        pixels = divide_by_alpha(pixels[..., :channels], pixels[..., channels])
    pixels = pixels[..., :channels]
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        pixels = np.iinfo(pixels.dtype).max - pixels
    if is_plain_ycbcr(page):
        pixels = np.array(Image.fromarray(np.ascontiguousarray(pixels), "YCbCr").convert("RGB"))
    return pixels, page_profile(page)


def without_orientation(path: Path, page: tifffile.TiffPage) -> io.BytesIO | None:
    """Return the file with the tag Orientation, by which Pillow turns the image, set to 1; None if it is."""
    tag = page.tags.get("Orientation")
    if tag is None or tag.value == 1:
        return None
    file = io.BytesIO(path.read_bytes())
    file.seek(tag.valueoffset)
    kind = "I" if tag.dtype == tifffile.DATATYPE.LONG else "H"
    file.write(struct.pack(f"{page.parent.byteorder}{kind}", 1))
    file.seek(0)
    return file


def page_profile(page: tifffile.TiffPage) -> bytes | None:
    """Return the ICC profile of an image, embedded or by its colorimetric tags; None for sRGB."""
    if embedded := page.tags.valueof("InterColorProfile"):
        return bytes(embedded)
    return profile_from_tiff(*(tag_numbers(page, tag) for tag in COLOUR_TAGS))


def tag_numbers(page: tifffile.TiffPage, name: str) -> list[float]:
    """Return the numbers of a tag; empty if it is absent. A quotient by zero is NaN."""
    if (tag := page.tags.get(name)) is None:
        return []
    values = list(tag.value) if isinstance(tag.value, tuple | bytes | list | np.ndarray) else [tag.value]
    if tag.dtype in RATIONAL_TYPES:
        return [top / bottom if bottom else math.nan for top, bottom in zip(values[::2], values[1::2])]
    return values


def check_samples(path: Path, page: tifffile.TiffPage) -> int:
    """Return the number of colours, 1 or 3. Raises InputError unless grey or RGB of 8 to 16 bits."""
    remedy = "save it with 8 or 16 bits per sample"
    if page.dtype is None or page.dtype not in (np.uint8, np.uint16):
        kind = page.dtype or f"{page.bitspersample}-bit"
        raise InputError(f"{path}: {kind} samples; {remedy}")
    if not isinstance(page.bitspersample, int) or not 8 <= page.bitspersample <= 16:
        raise InputError(f"{path}: samples of {page.bitspersample} bits; {remedy}")
    colours = 3 if is_plain_ycbcr(page) else CHANNELS_OF.get(page.photometric)
    if colours is None:
        name = getattr(page.photometric, "name", page.photometric)
        raise InputError(f"{path}: {name} colours in {page.bitspersample} bits; save it as RGB or grey")
    if page.samplesperpixel < colours or (colours == 1 and page.samplesperpixel > 2):
        raise InputError(f"{path}: {page.samplesperpixel} channels; save it as RGB or grey")
    return colours


def divide_by_alpha(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Undo the multiplication of colours, (H, W, C), by alpha, (H, W); black where alpha is 0."""
    largest, alpha = np.iinfo(colours.dtype).max, alpha[..., None].astype(np.uint64)
    divided = (colours * np.uint64(largest) + alpha // 2) // np.maximum(alpha, 1)
    return np.minimum(divided, largest).astype(colours.dtype)


def check_parts(path: Path, page: tifffile.TiffPage) -> None:
    """Check that the tiles or strips of an image are in the file, as long as they should be.

    Raises InputError if a part lies outside of the file, ValueError if zeros take the place of its end.
    """
    size = path.stat().st_size
    if any(not 0 < count <= size - offset for offset, count in zip(page.dataoffsets, page.databytecounts)):
        raise InputError(f"{path}: parts of the image are not in the file; give an intact one")
    if has_empty_end(page):
        raise ValueError(EMPTY_PART)


def has_empty_end(page: tifffile.TiffPage) -> bool:
    """Return True if zeros take the place of the end of a tile or strip in JPEG."""
    return page.compression == tifffile.COMPRESSION.JPEG and any(
        data is not None and ends_in_zeros(data)
        for data, _ in page.parent.filehandle.read_segments(page.dataoffsets, page.databytecounts)
    )


def check_layout(path: Path, page: tifffile.TiffPage) -> None:
    """Raise InputError unless an image is flat, of up to 5 samples a pixel, with parts no larger than it."""
    rows, columns = page.imagelength, page.imagewidth
    planes = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and len(page.shape) == 3
    if (page.shape[-2:] if planes else page.shape[:2]) != (rows, columns) or page.size > 5 * rows * columns:
        raise InputError(f"{path}: {' x '.join(map(str, page.shape))} samples; save it as RGB or grey")
    chunk_samples = math.prod(page.chunks)
    if chunk_samples > max(page.size, MAX_CHUNK_SAMPLES):
        raise InputError(
            f"{path}: tiles or strips of {chunk_samples} samples, more than the image has; save it again"
        )
