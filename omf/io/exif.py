"""Read the EXIF of a photo for its RAW file: time, exposure, camera and lens, but not the photographer.

Serial numbers, owners' names, comments and maker notes are dropped, and so are GPS fields unless requested.
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import tifffile
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2
from PIL.TiffTags import ASCII, BYTE, RATIONAL, SHORT, SIGNED_RATIONAL, UNDEFINED

from omf.io.decoding import DECODING_ERRORS, open_image
from omf.io.heif import open_heif, stored_orientation
from omf.io.identify import identify
from omf.io.images import read_tags
from omf.io.local_files import on_local_file
from omf.io.tiff import find_main_page
from omf.utils.errors import InputError

ORIENTATION, MAKE, MODEL, DATE = 274, 271, 272, 306
ISO = 34855
EXIF_IFD, GPS_IFD = 34665, 34853
EXIF_VERSION = (36864, UNDEFINED, b"0230")  # ExifVersion, mandatory in an Exif IFD
CAPTURE_TAGS = {  # tag: TIFF type, number of values; Exif 2.3, tables 4 and 5
    33434: (RATIONAL, 1),  # ExposureTime, s
    33437: (RATIONAL, 1),  # FNumber
    ISO: (SHORT, 1),
    36867: (ASCII, 1),  # DateTimeOriginal
    36881: (ASCII, 1),  # OffsetTimeOriginal, from UTC
    37380: (SIGNED_RATIONAL, 1),  # ExposureBiasValue, EV
    37386: (RATIONAL, 1),  # FocalLength, mm
    37521: (ASCII, 1),  # SubSecTimeOriginal
    41989: (SHORT, 1),  # FocalLengthIn35mmFilm, mm
    42034: (RATIONAL, 4),  # LensSpecification
    42035: (ASCII, 1),  # LensMake
    42036: (ASCII, 1),  # LensModel
}
GPS_TAGS = {  # tag: TIFF type, number of values, in the GPS IFD; Exif 2.3, table 15
    0: (BYTE, 4),  # GPSVersionID
    1: (ASCII, 1),  # GPSLatitudeRef
    2: (RATIONAL, 3),  # GPSLatitude
    3: (ASCII, 1),  # GPSLongitudeRef
    4: (RATIONAL, 3),  # GPSLongitude
    5: (BYTE, 1),  # GPSAltitudeRef
    6: (RATIONAL, 1),  # GPSAltitude, m
    7: (RATIONAL, 3),  # GPSTimeStamp, UTC
    29: (ASCII, 1),  # GPSDateStamp
}


@dataclass(frozen=True)
class Exif:
    """EXIF fields kept of a photo; strings and dicts are empty if the photo lacks the fields."""

    orientation: int = 1  # 1 to 8, as in EXIF
    make: str = ""
    model: str = ""
    date: str = ""  # YYYY:MM:DD HH:MM:SS
    capture: dict = field(default_factory=dict)  # values by tag, tags of `CAPTURE_TAGS`
    gps: dict = field(default_factory=dict)  # values by tag, tags of `GPS_TAGS`


@on_local_file
def read_exif(path: Path, gps: bool = False) -> Exif:
    """Return the EXIF to keep of a photo, with `gps` the GPS fields too; empty for none and for damage."""
    try:
        kind = identify(path)
        if kind == "HEIC":
            image = open_heif(path)
            return select_fields(read_tags(image), gps, stored_orientation(image))
        if kind == "TIFF":  # Pillow cannot open every one, but reads the tags of each
            exif = Image.Exif()
            with path.open("rb") as file, tifffile.TiffFile(path) as tiff:
                page, _ = find_main_page(path, tiff)
                if not tiff.is_bigtiff:
                    exif.load_from_fp(file)
                return select_fields(exif, gps, page.tags.valueof(ORIENTATION))
        with open_image(path) as image:
            return select_fields(read_tags(image), gps)
    except (InputError, UnidentifiedImageError, MemoryError, *DECODING_ERRORS):
        return Exif()


def select_fields(exif: Image.Exif, gps: bool, orientation: int | None = None) -> Exif:
    """Select the fields to keep, replacing invalid values by defaults; `orientation` precedes that in it."""
    orientation = exif.get(ORIENTATION) if orientation is None else orientation
    make, model, date = (str(exif.get(tag, "")).strip("\0 ") for tag in (MAKE, MODEL, DATE))
    capture = select_valid(exif.get_ifd(EXIF_IFD), CAPTURE_TAGS)
    return Exif(
        orientation=int(orientation) if orientation in range(1, 9) else 1,
        make=make,
        model=model,
        date=date if re.fullmatch(r"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d", date, re.ASCII) else "",
        capture=capture,
        gps=select_valid(exif.get_ifd(GPS_IFD), GPS_TAGS) if gps else {},
    )


def select_valid(values: dict, known: dict) -> dict:
    """Select the tags of `known` with values that conform to EXIF."""
    return {
        tag: values[tag]
        for tag, (kind, count) in known.items()
        if tag in values and is_valid(values[tag], kind, count)
    }


def is_valid(value: object, kind: int, count: int) -> bool:
    """Return True if a value conforms to a TIFF type and its range, and has the given number of values."""
    if kind == ASCII:
        return isinstance(value, str) and value.strip("\0 ") != ""
    if kind == BYTE:
        return isinstance(value, bytes) and len(value) == count
    values = value if isinstance(value, tuple) else (value,)
    if kind == SHORT:
        return len(values) == count and all(isinstance(v, int) and 0 <= v < 2**16 for v in values)
    # EXIF writes an unknown value as n/0
    minimum = 0 if kind == RATIONAL else -math.inf
    return len(values) == count and all(
        isinstance(v, IFDRational) and math.isfinite(v) and v >= minimum for v in values
    )


def encode_ifd(values: dict, known: dict, offset: int) -> bytes:
    """Encode values by tag, of `CAPTURE_TAGS` or `GPS_TAGS`, as IFD at an offset of a little-endian TIFF."""
    ifd = ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    fields = [(tag, known[tag][0], value) for tag, value in values.items()]
    for tag, kind, value in [*fields, EXIF_VERSION] if known is CAPTURE_TAGS else fields:
        ifd.tagtype[tag] = kind
        ifd[tag] = value
    return ifd.tobytes(offset)
