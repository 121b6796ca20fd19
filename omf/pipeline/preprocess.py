"""The first step: decode a shard of photos and mark their overexposed pixels. No torch here."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from omf.inference.base import Picture
from omf.io.images import read_rgb
from omf.io.photos import by_name
from omf.pipeline.manifest import write_folder_manifest
from omf.pipeline.stream import as_input_error
from omf.raw.overexposure import overexposure_mask
from omf.utils.console import progress
from omf.utils.errors import InputError
from omf.utils.files import atomic_write, sha256


def decode(photo: Path) -> Picture:
    """Read a photo and mark its overexposed pixels. Raises InputError."""
    rgb = read_rgb(photo)
    try:
        return Picture(rgb, overexposure_mask(rgb), photo.stem)
    except MemoryError as error:
        raise as_input_error(photo, error) from None


def preprocess(photos: Iterable[Path], out: Path) -> dict:
    """Decode a shard: NAME.npz with `rgb` and `mask`.

    Returns:
        `sha256` of each photo's file, by its name; and `problems`, a line for each photo that can't be used.
    """
    named, problems = by_name(photos)
    hashes = {}
    out.mkdir(parents=True, exist_ok=True)
    for name, photo in progress(named.items(), "decoding", unit="image"):
        try:
            picture = decode(photo)
            hashes[photo.name] = hash_of(photo)
        except InputError as error:
            problems.append(str(error))
            continue
        with atomic_write(out / f"{name}.npz", synced=False) as temporary, temporary.open("wb") as file:
            np.savez(file, rgb=picture.rgb, mask=picture.mask)
    write_folder_manifest(out)
    return {"sha256": hashes, "problems": problems}


def hash_of(photo: Path) -> str:
    """sha256 of a file that was there a moment ago. Raises InputError."""
    try:
        return sha256(photo)
    except OSError as error:
        raise InputError(
            f"{photo}: gone while it was worked on ({error.strerror}); put it back, and run again"
        ) from error
