"""What of a photo's EXIF a RAW file carries: how and when it was taken and with what, never by whom.

Serial numbers, owners' names, comments and maker notes are left behind; so is the place, unless it is asked for.
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2
from PIL.TiffTags import ASCII, BYTE, RATIONAL, SHORT, SIGNED_RATIONAL, UNDEFINED

from omf.io.heif import is_heif, open_heif, orientation
from omf.io.images import DECODING_ERRORS, TIFF_MARKS

ORIENTATION, MAKE, MODEL, DATE = 274, 271, 272, 306
EXIF_IFD, GPS_IFD = 34665, 34853
DATE_FORM = r"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d"
EXIF_VERSION = (36864, UNDEFINED, b"0230")  # ExifVersion, which an Exif IFD must have
TAKEN = {  # tag: TIFF type, number of values; Exif 2.3, table 4 and 5
    33434: (RATIONAL, 1),  # ExposureTime, s
    33437: (RATIONAL, 1),  # FNumber
    34855: (SHORT, 1),  # ISO
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
PLACE = {  # the same of the GPS IFD; Exif 2.3, table 15
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
    """What is kept of a photo's EXIF; empty texts and dicts where it says nothing."""

    orientation: int = 1  # 1 to 8, as EXIF numbers them
    make: str = ""
    model: str = ""
    date: str = ""  # YYYY:MM:DD HH:MM:SS
    taken: dict = field(default_factory=dict)  # of `TAKEN`: tag: value
    place: dict = field(default_factory=dict)  # of `PLACE`


def read_exif(path: Path, gps: bool = False) -> Exif:
    """The EXIF of a JPEG, PNG, TIFF or HEIC file, as far as it is kept; none where there is none or it can't be read.

    Args:
        path: of the photo.
        gps: whether to keep the place.
    """
    try:
        with path.open("rb") as file:
            start = file.read(12)
            if is_heif(start):
                picture, found = open_heif(path), Image.Exif()
                found.load(picture.info.get("exif") or b"")
                found[ORIENTATION] = orientation(picture)
                return kept(found, gps)
            if start[:4] in TIFF_MARKS[:2]:  # Pillow doesn't open them all, but reads the tags of each
                file.seek(0)
                found = Image.Exif()
                found.load_from_fp(file)
                return kept(found, gps)
        with Image.open(path) as picture:
            return kept(picture.getexif(), gps)
    except (UnidentifiedImageError, MemoryError, *DECODING_ERRORS):
        return Exif()


def kept(found: Image.Exif, gps: bool) -> Exif:
    turn = found.get(ORIENTATION)
    make, model, date = (str(found.get(tag, "")).strip("\0 ") for tag in (MAKE, MODEL, DATE))
    taken = valid(found.get_ifd(EXIF_IFD), TAKEN)
    return Exif(
        orientation=turn if turn in range(1, 9) else 1,
        make=make,
        model=model,
        date=date if re.fullmatch(DATE_FORM, date, re.ASCII) else "",
        taken=taken,
        place=valid(found.get_ifd(GPS_IFD), PLACE) if gps else {},
    )


def valid(values: dict, known: dict) -> dict:
    """The known tags that have values as EXIF wants them."""
    return {
        tag: values[tag]
        for tag, (kind, count) in known.items()
        if tag in values and is_valid(values[tag], kind, count)
    }


def is_valid(value: object, kind: int, count: int) -> bool:
    if kind == ASCII:
        return isinstance(value, str) and value.strip("\0 ") != ""
    if kind == BYTE:
        return isinstance(value, bytes) and len(value) == count
    values = value if isinstance(value, tuple) else (value,)
    if kind == SHORT:
        return len(values) == count and all(isinstance(v, int) and 0 <= v < 2**16 for v in values)
    # a rational of n/0 says that the value is not known
    least = 0 if kind == RATIONAL else -math.inf
    return len(values) == count and all(
        isinstance(v, IFDRational) and math.isfinite(v) and v >= least for v in values
    )


def directory(values: dict, known: dict, offset: int) -> bytes:
    """An image file directory (IFD) as it stands in a little-endian TIFF file at `offset`."""
    ifd = ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    kinds = {tag: kind for tag, (kind, _) in known.items()}
    if known is TAKEN:
        tag, kind, version = EXIF_VERSION
        values, kinds = values | {tag: version}, kinds | {tag: kind}
    for tag, value in values.items():
        ifd.tagtype[tag] = kinds[tag]
        ifd[tag] = value
    return ifd.tobytes(offset)
