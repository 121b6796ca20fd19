"""Convert a folder of camera RAW and its photos to training pairs."""

import json
from pathlib import Path

import numpy as np

from omf.evaluation.alignment import Registration, register
from omf.io.camera_raw import CameraRaw, import_rawpy, read_camera_raw
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
        out: output folder, other than `folder`; created if needed.
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
    for pair in progress(dataset.camera_pairs, "convert", unit="pair"):
        if is_converted(out, pair.name, conversion["photos"].get(pair.name)):
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
    photos = json.loads((out / DESCRIPTION).read_text())["photos"]
    for name, photo in ((name, photo) for name, photo in photos.items() if is_record(photo)):
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
        return {
            "white_level": CONVERTED_WHITE_LEVEL,
            "crop": crop,
            "source": folder.resolve().name,
            "photos": {},
        }
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
    photos = {name: record for name, record in photos.items() if is_record(record)}
    return conversion | {"photos": photos}


def is_record(record: object) -> bool:
    """Return True for a record of `convert_pair`."""
    return (
        isinstance(record, dict)
        and all(isinstance(record.get(key), int) for key in ("rows", "columns", "turns", "mirrored"))
        and all(abs(record.get(key, np.inf)) <= 1e3 for key in ("correlation", "largest_shift"))
    )


def is_converted(out: Path, name: str, record: dict | None) -> bool:
    """Return True if all crops that the record of a photo lists exist."""
    return record is not None and all(
        path.is_file() for path in crop_files(out, name, record["rows"], record["columns"])
    )


def crop_files(out: Path, name: str, rows: int, columns: int) -> list[Path]:
    """Return the paths of all crops of a photo."""
    stems = [f"{name}_{row}_{column}" for row in range(rows) for column in range(columns)]
    return [out / f"{stem}{suffix}" for stem in stems for suffix in (".png", ".npy")]


def register_pair(pair: CameraPair, rgb: np.ndarray, camera_raw: CameraRaw) -> Registration:
    """Register a photo, `rgb`, to its RAW. Raises InputError that names the files if they do not match."""
    try:
        return register(rgb, camera_raw.bayer)
    except InputError as error:
        raise InputError(f"{pair.source}: {error}") from error


def convert_pair(pair: CameraPair, out: Path, crop: int) -> dict:
    """Write the crops of one pair and return its record for dataset.json.

    Raises InputError if a file cannot be read or the photo cannot be registered to its RAW.
    """
    rgb, camera_raw = pair.read_photo(), read_camera_raw(pair.raw)
    registration = register_pair(pair, rgb, camera_raw)
    rgb, bayer = registration.apply(rgb, camera_raw.bayer)
    counts = pack((bayer * np.float32(CONVERTED_WHITE_LEVEL)).round().astype(np.uint16))
    height, width = (min(crop, side) for side in bayer.shape)
    rows, columns = bayer.shape[0] // height, bayer.shape[1] // width
    for row in range(rows):
        for column in range(columns):
            top, left = row * height, column * width
            stem = f"{pair.name}_{row}_{column}"
            save_npy(
                out / f"{stem}.npy", counts[top // 2 : (top + height) // 2, left // 2 : (left + width) // 2]
            )
            save_png(out / f"{stem}.png", rgb[top : top + height, left : left + width])
    return {
        "rows": rows,
        "columns": columns,
        "turns": registration.turns,
        "mirrored": registration.mirrored,
        "correlation": round(registration.correlation, 3),
        "largest_shift": round(registration.largest_shift, 2),
    }
