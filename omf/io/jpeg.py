"""Decode JPEG, and refuse files for which the decoder would have to invent pixels. No torch here.

libjpeg fills in what is missing or damaged and warns. Pillow hides the warnings; simplejpeg raises them.
Damage that keeps the number of coded pixels escapes both.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image

from omf.io.gaps import EMPTY_PART

JPEG_FORMATS = ("JPEG", "MPO")  # MPO is a JPEG with a second image, which some phones write as .jpg
COLOUR_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}  # of simplejpeg, by Pillow's mode
START_OF_SCAN, HUFFMAN_TABLES = 0xDA, 0xC4
BASELINE = (0xC0, 0xC1)
FRAMES = {*range(0xC0, 0xD0)} - {HUFFMAN_TABLES, 0xC8, 0xCC}
END_OF_IMAGE = b"\xff\xd9"
END_OF_BLOCK = 0  # symbol of AC coefficients
ZERO_RUN = bytes(64)  # of a damaged file: most tables code zeros as noise
MAX_LAST_ZEROS = 2  # bytes of data
MIN_ZEROS = 16  # bytes at the end of damaged data
MAX_HEADER = 2**18  # bytes, of a JPEG or in front of it


@dataclass
class Header:
    """Segments of a JPEG in front of its coded data."""

    frame: int = 0  # marker of the frame: baseline, progressive, ...
    bits: int = 8  # per sample
    height: int = 1
    shortest_codes: set[int] = field(default_factory=set)  # symbols with the code 0... of AC coefficients
    end: int = 2  # position of the coded data


def read_header(data: bytes) -> Header:
    """Return the header of a JPEG; incomplete if the data end early."""
    header = Header()
    while header.end + 4 <= len(data):
        if data[header.end + 1] == 0xFF:  # any number of them may precede a marker
            header.end += 1
            continue
        if data[header.end] != 0xFF:
            header.end = len(data)
            break
        marker, start = data[header.end + 1], header.end + 4
        header.end += 2 + int.from_bytes(data[start - 2 : start], "big")
        if marker == START_OF_SCAN:
            break
        note_segment(header, marker, data[start : header.end])
    return header


def note_segment(header: Header, marker: int, content: bytes) -> None:
    """Add to a header what a segment tells of the frame and its tables."""
    if marker in FRAMES and len(content) >= 5:
        header.frame, header.bits, header.height = marker, content[0], int.from_bytes(content[1:3], "big")
    while marker == HUFFMAN_TABLES and len(content) > 17:
        header.shortest_codes |= {content[17]} if content[0] >= 16 else set()
        content = content[17 + sum(content[1:17]) :]


def has_end(data: bytes) -> bool:
    """Return True if a JPEG has an end marker behind the beginning of its coded data.

    LibRaw returns arbitrary bytes for those missing at the end of the file, and decoders may accept them.
    """
    return data.find(END_OF_IMAGE, read_header(data).end) >= 0


def decode_jpeg(image: Image.Image) -> np.ndarray | None:
    """Decode a JPEG that Pillow has opened, in L, RGB or CMYK, to the same pixels as Pillow.

    Bytes behind the end marker, and FF or zeros in front of it, are no damage; zeros only where the tables
    don't make pixels of them. Raises ValueError if data are missing or damaged.

    Returns:
        uint8 (H, W, 1), (H, W, 3) or, as stored, (H, W, 4); None for unusual chroma subsampling, which only
        Pillow decodes.
    """
    image.fp.seek(0)
    data = image.fp.read()
    header = read_header(data)
    end = data.find(END_OF_IMAGE, header.end)
    if end < 0:
        raise ValueError("its end is missing")
    contents = [data]
    if header.frame in BASELINE and header.shortest_codes != {END_OF_BLOCK}:  # which codes an even area
        coded = data[header.end : end].rstrip(b"\xff")
        kept = coded.rstrip(b"\0")
        if ZERO_RUN in kept:
            raise ValueError(EMPTY_PART)
        if len(coded) - len(kept) > MAX_LAST_ZEROS:
            zeros = range(MAX_LAST_ZEROS + 1)
            contents = [data[: header.end] + kept + bytes(count) + END_OF_IMAGE for count in zeros]
    return decode_first(contents, COLOUR_SPACES[image.mode])


def decode_first(contents: list[bytes], colour_space: str) -> np.ndarray | None:
    """Decode the first of several JPEG that is intact; None: unknown subsampling. Raises ValueError."""
    for content in contents:
        try:
            return simplejpeg.decode_jpeg(content, colour_space, fastdct=False, fastupsample=False)
        except ValueError as error:
            if "subsampling" in str(error):
                return None
            fault = error
    raise fault


def ends_in_zeros(data: bytes) -> bool:
    """Return True if zeros take the place of the end of a JPEG, such as a tile of a TIFF; some may follow."""
    rest = data.rstrip(b"\0")
    return len(data) - len(rest) >= MIN_ZEROS and not rest.endswith(END_OF_IMAGE)


def explain_jpeg(path: Path) -> str:
    """Return what is unusual about a JPEG that Pillow does not take for one, and the remedy; or ""."""
    with path.open("rb") as file:
        data = file.read(MAX_HEADER)
    start = data.find(b"\xff\xd8\xff")
    if start > 0:
        return f"a JPEG behind {start} bytes that do not belong to it; remove them"
    header = read_header(data) if start == 0 else Header()
    if header.bits != 8:
        return f"a JPEG of {header.bits} bits a sample; save it with 8"
    if header.height == 0:
        return "a JPEG whose header gives no height (it follows the data, as DNL); save it again"
    return ""
