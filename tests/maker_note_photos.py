"""Photos with the maker notes of cameras."""

from pathlib import Path

import exiv2
from conftest import random_rgb
from PIL import Image


def write_photo(path: Path, maker: str, model: str, notes: dict[str, str]) -> Path:
    """Write a JPEG with maker notes."""
    Image.fromarray(random_rgb(40, 50)).save(path, quality=95)
    image = exiv2.ImageFactory.open(str(path))
    image.readMetadata()
    exif = image.exifData()
    for key, value in {"Exif.Image.Make": maker, "Exif.Image.Model": model, **notes}.items():
        exif[key] = value
    image.writeMetadata()
    return path
