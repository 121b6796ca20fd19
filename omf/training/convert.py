"""Turn a folder of photos with camera RAW into pairs of crops to train on."""

import json
from pathlib import Path

import numpy as np

from omf.evaluation.registration import register
from omf.io.camera_raw import import_rawpy, read_camera_raw
from omf.io.images import read_rgb, save_png
from omf.raw.bayer import pack
from omf.training.datasets import DESCRIPTION, find_pairs
from omf.utils.console import progress
from omf.utils.errors import InputError
from omf.utils.files import save_json, save_npy

CONVERTED_WHITE_LEVEL = 65535  # all of uint16: nothing of a 14-bit RAW is lost


def convert_dataset(folder: Path, out: Path, crop: int = 504) -> list[str]:
    """Cut photos and their camera RAW into crops: NAME_ROW_COL.png and NAME_ROW_COL.npy, with dataset.json.

    The photo is turned to the sensor's orientation and its pixels are kept as decoded; the RAW is uint16
    packed RGGB, 65535 = white. What is over at the right and at the bottom is left out; a side shorter
    than `crop` is taken whole. A photo whose crops are all there is left alone, so that a call goes on
    where an earlier one stopped.

    Args:
        folder: NAME.jpg with NAME.dng, or another camera's RAW.
        out: another folder, made if need be.
        crop: pixels a side, even.

    Returns:
        Problems, a line each; their pairs are left out.

    Raises:
        InputError: nothing can be converted at all, or `out` holds crops of another size.
    """
    if crop < 2 or crop % 2:
        raise InputError(f"crop {crop}: give an even number, so that crops hold whole Bayer cells")
    dataset = find_pairs(folder)
    if dataset.layout != "dng":
        raise InputError(f"{folder}: its RAW is packed already; train on it as it is")
    import_rawpy()
    made = made_before(folder, out, crop)
    out.mkdir(parents=True, exist_ok=True)
    problems = list(dataset.problems)
    for photo, raw in progress(dataset.camera_pairs, "convert", unit="pair"):
        name = photo.stem
        if all_there(out, name, made["photos"].get(name)):
            continue
        save_json(out / DESCRIPTION, made)  # before the first crop: without it their white level is not known
        try:
            made["photos"][name] = convert_pair(photo, raw, out, crop)
        except InputError as error:
            problems.append(str(error))
        else:
            save_json(out / DESCRIPTION, made)
    return problems


def conversion_table(out: Path) -> str:
    """What was converted into `out`, a line a photo: how it was turned, and how well it lies on its RAW."""
    lines = ["photo                 crops  turned  correlation  largest shift [pixels]"]
    for name, photo in json.loads((out / DESCRIPTION).read_text())["photos"].items():
        turned = f"{90 * photo['turns']}" + (" m" if photo["mirrored"] else "")
        crops = photo["rows"] * photo["columns"]
        lines.append(
            f"{name:<20}  {crops:5d}  {turned:>6}  {photo['correlation']:11.3f}  {photo['largest_shift']:13.2f}"
        )
    return "\n".join(lines)


def made_before(folder: Path, out: Path, crop: int) -> dict:
    """What dataset.json in `out` tells of an earlier call, or the beginning of it. Raises InputError."""
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
        made = json.loads(path.read_text())
        white_level, size, photos = made["white_level"], made["crop"], made["photos"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: not from an earlier conversion ({error}); give an empty folder") from error
    if (white_level, size) != (CONVERTED_WHITE_LEVEL, crop) or not isinstance(photos, dict):
        raise InputError(
            f"{path}: crops of {size} pixels, white level {white_level}; give another folder, or the same crop"
        )
    return made


def all_there(out: Path, name: str, made: dict | None) -> bool:
    return made is not None and all(
        path.is_file() for path in crop_files(out, name, made["rows"], made["columns"])
    )


def crop_files(out: Path, name: str, rows: int, columns: int) -> list[Path]:
    """The files that a photo's crops are in."""
    stems = [f"{name}_{row}_{column}" for row in range(rows) for column in range(columns)]
    return [out / f"{stem}{suffix}" for stem in stems for suffix in (".png", ".npy")]


def convert_pair(photo: Path, raw: Path, out: Path, crop: int) -> dict:
    """Convert one pair; what dataset.json tells of it. Raises InputError."""
    rgb, bayer = read_rgb(photo), read_camera_raw(raw).bayer
    try:
        registration = register(rgb, bayer)
    except InputError as error:
        raise InputError(f"{photo}, {raw.name}: {error}") from error
    rgb, bayer = registration.apply(rgb, bayer)
    counts = pack((bayer * np.float32(CONVERTED_WHITE_LEVEL)).round().astype(np.uint16))
    height, width = (min(crop, side) for side in bayer.shape)
    rows, columns = bayer.shape[0] // height, bayer.shape[1] // width
    for row in range(rows):
        for column in range(columns):
            top, left = row * height, column * width
            stem = f"{photo.stem}_{row}_{column}"
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
