"""First pipeline step: decode a shard of photos and mark their overexposed pixels. No torch here."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from omf.inference.base import Picture
from omf.io.images import read_rgb
from omf.io.photos import map_by_name
from omf.pipeline.manifest import write_folder_manifest
from omf.pipeline.stream import as_input_error
from omf.raw.overexposure import overexposure_mask
from omf.utils.console import progress
from omf.utils.errors import InputError
from omf.utils.files import atomic_write, sha256


def decode(photo: Path) -> Picture:
    """Read a photo and mark its overexposed pixels.

    Raises InputError if it cannot be read or does not fit in memory.
    """
    rgb = read_rgb(photo)
    try:
        return Picture(rgb, overexposure_mask(rgb), photo.stem)
    except MemoryError as error:
        raise as_input_error(photo, error) from None


def preprocess(photos: Iterable[Path], out: Path) -> dict:
    """Decode the photos of a shard to `out`/NAME.npz with `rgb` and `mask`.

    Returns:
        {"sha256": {file name: hash of the photo file}, "problems": one line for each photo that is skipped}.
    """
    named, problems = map_by_name(photos)
    hashes = {}
    out.mkdir(parents=True, exist_ok=True)
    for name, photo in progress(named.items(), "decoding", unit="image"):
        try:
            picture = decode(photo)
            hashes[photo.name] = hash_photo(photo)
        except InputError as error:
            problems.append(str(error))
            continue
        with atomic_write(out / f"{name}.npz", synced=False) as temporary, temporary.open("wb") as file:
            np.savez(file, rgb=picture.rgb, mask=picture.mask)
    write_folder_manifest(out)
    return {"sha256": hashes, "problems": problems}


def hash_photo(photo: Path) -> str:
    """Return the SHA-256 of a photo file. Raises InputError if it can no longer be read."""
    try:
        return sha256(photo)
    except OSError as error:
        raise InputError(
            f"{photo}: removed while it was being processed ({error.strerror}); put it back, and run again"
        ) from error
