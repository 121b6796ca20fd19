"""Convert a folder of camera RAW and its photos to training pairs."""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

from omf.io.camera_raw import import_rawpy
from omf.io.images import save_png
from omf.raw.bayer import pack
from omf.training.datasets import DESCRIPTION, CameraPair, find_pairs
from omf.utils.console import progress
from omf.utils.errors import InputError
from omf.utils.files import save_json, save_npy

CONVERTED_WHITE_LEVEL = 65535  # full uint16 range, so that a 14-bit RAW loses no precision


def convert_dataset(folder: Path, out: Path, crop: int = 504) -> list[str]:
    """Cut photos and their camera RAW into crops: NAME_ROW_COL.png and NAME_ROW_COL.npy, with dataset.json.

    Photos are rotated to the sensor's orientation without resampling; the RAW is written as packed RGGB,
    uint16, white level 65535. Remainders at the right and bottom edges are dropped; a side shorter than
    `crop` is kept in full. Photos whose crops all exist are skipped, so that a repeated call resumes an
    interrupted one.

    Args:
        folder: folder with NAME.dng, or other camera RAW, each with NAME.jpg or with an embedded photo.
        out: output folder, created if needed.
        crop: height and width of a crop in pixels, even.

    Returns:
        Problems, one line each; their pairs are skipped.

    Raises:
        InputError: nothing can be converted, `out` is `folder`, or `out` contains crops of another size.
    """
    if crop < 2 or crop % 2:
        raise InputError(f"crop {crop}: give an even number, so that crops hold whole Bayer cells")
    dataset = find_pairs(folder)
    if dataset.layout != "dng":
        raise InputError(f"{folder}: its RAW is packed already; train on it as it is")
    import_rawpy()
    conversion = read_previous_conversion(folder, out, crop)
    out.mkdir(parents=True, exist_ok=True)
    problems = list(dataset.problems)
    for pair in progress(dataset.pairs, "convert", unit="pair"):
        record = conversion["photos"].get(pair.name)
        if record and all(
            (out / f"{stem}{suffix}").is_file()
            for stem, _, _ in crops_of(pair.name, record["rows"], record["columns"])
            for suffix in (".png", ".npy")
        ):
            continue
        # before the first crop, since it defines the white level; it holds all of the earlier one
        save_json(out / DESCRIPTION, conversion, own=True)
        try:
            conversion["photos"][pair.name] = convert_pair(pair, out, crop)
        except InputError as error:
            problems.append(str(error))
        else:
            save_json(out / DESCRIPTION, conversion, own=True)
    return problems


def conversion_table(out: Path) -> str:
    """Return a table of the photos converted into `out`: crops, orientation and registration quality."""
    lines = ["photo                 crops  turned  correlation  largest shift [pixels]"]
    for name, photo in json.loads((out / DESCRIPTION).read_text())["photos"].items():
        if not is_record(photo):
            continue
        turned = f"{90 * photo['turns']}" + (" m" if photo["mirrored"] else "")
        crops = photo["rows"] * photo["columns"]
        lines.append(
            f"{name:<20}  {crops:5d}  {turned:>6}"
            f"  {photo['correlation']:11.3f}  {photo['largest_shift']:13.2f}"
        )
    return "\n".join(lines)


def read_previous_conversion(folder: Path, out: Path, crop: int) -> dict:
    """Read the dataset.json of an earlier conversion into `out`, or return a new one without photos.

    Raises InputError if `out` is `folder`, or was not made by a conversion with the same `crop`.
    """
    path = out / DESCRIPTION
    if out.exists() and out.resolve() == folder.resolve():
        raise InputError(f"{out}: holds the photos; give another folder for the crops")
    if not path.is_file():
        source = folder.resolve().name
        return {"white_level": CONVERTED_WHITE_LEVEL, "crop": crop, "source": source, "photos": {}}
    try:
        conversion = json.loads(path.read_text())
        white_level, size, photos = conversion["white_level"], conversion["crop"], conversion["photos"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: not from an earlier conversion ({error}); give an empty folder") from error
    if (white_level, size) != (CONVERTED_WHITE_LEVEL, crop) or not isinstance(photos, dict):
        raise InputError(
            f"{path}: crops of {size} pixels, white level {white_level};"
            " give another folder, or the same crop"
        )
    return conversion | {"photos": {name: record for name, record in photos.items() if is_record(record)}}


def is_record(record: object) -> bool:
    """Return True for a record of `convert_pair`."""
    return (
        isinstance(record, dict)
        and all(isinstance(record.get(key), int) for key in ("rows", "columns", "turns", "mirrored"))
        and all(abs(record.get(key, np.inf)) <= 1e3 for key in ("correlation", "largest_shift"))
    )


def crops_of(name: str, rows: int, columns: int) -> Iterator[tuple[str, int, int]]:
    """Yield the file name, without suffix, row and column of all crops of a photo."""
    for row, column in product(range(rows), range(columns)):
        yield f"{name}_{row}_{column}", row, column


def convert_pair(pair: CameraPair, out: Path, crop: int) -> dict:
    """Write the crops of one pair and return its record for dataset.json.

    Raises InputError if a file cannot be read or the photo cannot be registered to its RAW.
    """
    rgb, bayer, registration, _ = pair.load()
    counts = pack((bayer * np.float32(CONVERTED_WHITE_LEVEL)).round().astype(np.uint16))
    height, width = (min(crop, side) for side in bayer.shape)
    rows, columns = bayer.shape[0] // height, bayer.shape[1] // width
    for stem, row, column in crops_of(pair.name, rows, columns):
        top, left = row * height, column * width
        packed = counts[top // 2 : (top + height) // 2, left // 2 : (left + width) // 2]
        save_npy(out / f"{stem}.npy", packed)
        save_png(out / f"{stem}.png", rgb[top : top + height, left : left + width])
    return {
        "rows": rows,
        "columns": columns,
        "turns": registration.turns,
        "mirrored": registration.mirrored,
        "correlation": round(registration.correlation, 3),
        "largest_shift": round(registration.largest_shift, 2),
    }
