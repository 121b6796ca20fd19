"""The steps of the way of an image, on one image and on a shard of them. No torch here."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from omf.errors import InputError, printable
from omf.files import save_npy, sha256, written_whole
from omf.formats import Writer
from omf.images import group_by_stem, read_rgb
from omf.overexposure import overexposure_mask
from omf.seals import seal_folder, sealed_files
from omf.stream import OF_A_PICTURE, Method, Picture, stream, told_of
from omf.terminal import progress


def by_name(photos: Iterable[Path]) -> tuple[dict[str, Path], list[str]]:
    """Photos by the name that their RAW gets, and a line for each that shares its name with another."""
    grouped = group_by_stem(photos)
    problems = [same_name(photo, same) for same in grouped.values() if len(same) > 1 for photo in same]
    return {name: same[0] for name, same in grouped.items() if len(same) == 1}, problems


def same_name(photo: Path, same: list[Path]) -> str:
    """A line about a photo whose RAW would overwrite that of others."""
    others = ", ".join(other.name if other.parent == photo.parent else str(other) for other in same if other != photo)
    return printable(f"{photo}: would become {photo.stem}.npy, and so would another picture ({others}); rename one")


def decode(photo: Path) -> Picture:
    """sRGB, uint8 or uint16 (H, W, 3), and its overexposure mask, bool (H, W). Raises InputError."""
    rgb = read_rgb(photo)
    try:
        return rgb, overexposure_mask(rgb)
    except MemoryError as error:
        raise told_of(photo, error) from None


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
            rgb, mask = decode(photo)
            hashes[photo.name] = hash_of(photo)
        except InputError as error:
            problems.append(str(error))
            continue
        with written_whole(out / f"{name}.npz", synced=False) as temporary, temporary.open("wb") as file:
            np.savez(file, rgb=rgb, mask=mask)
    seal_folder(out)
    return {"sha256": hashes, "problems": problems}


def hash_of(photo: Path) -> str:
    """sha256 of a file that was there a moment ago. Raises InputError."""
    try:
        return sha256(photo)
    except OSError as error:
        raise InputError(f"{photo}: gone while it was worked on ({error.strerror}); put it back, and run again") from error


def infer(decoded: Path, out: Path, method: Method) -> dict:
    """Reconstruct a shard: NAME.npz -> NAME.npy, demosaiced RAW.

    Returns:
        What was measured: images, seconds (start and weights not counted), megapixels; and under `problems` a
        line for each picture that the method could not take.
    """
    out.mkdir(parents=True, exist_ok=True)
    names = [path.stem for path in sealed_files(decoded)]
    done: dict[str, int] = {}  # pixels
    problems = []

    def read(name: str) -> Picture:
        with np.load(decoded / f"{name}.npz") as arrays:
            return arrays["rgb"], arrays["mask"]

    def write(name: str, raw: np.ndarray) -> None:
        save_npy(out / f"{name}.npy", raw, synced=False)
        done[name] = raw.shape[0] * raw.shape[1]

    began = time.perf_counter()
    steps = stream(names, read, method.demosaiced, write, method.capacity)
    for _, problem in progress(steps, "reconstructing", total=len(names), unit="image"):
        if problem:
            problems.append(str(problem))
    seconds = round(time.perf_counter() - began, 4)
    seal_folder(out)
    return {"images": len(done), "seconds": seconds, "megapixels": round(sum(done.values()) / 1e6, 4), "problems": problems}


def mosaic(demosaiced: Path, writers: Sequence[Writer]) -> list[str]:
    """Write a shard, NAME.npy float32 (H, W, 3), in one or more formats.

    Returns:
        A line for each picture that could not be written in a format.
    """
    problems = []
    for writer in writers:
        writer.folder.mkdir(parents=True, exist_ok=True)
    for path in progress(sealed_files(demosaiced), "mosaic", unit="image"):
        raw = np.load(path)
        for write in writers:
            try:
                write(path.stem, raw)
            except OF_A_PICTURE as error:
                problems.append(str(told_of(path.stem, error)))
    for writer in writers:
        seal_folder(writer.folder)
    return problems
