"""Develop RAW files to sRGB pictures: the way back, by a simple ISP."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from omf.io.camera_raw import (
    CAMERA_RAW_SUFFIXES,
    CameraRaw,
    RawColours,
    demosaic_raw,
    read_camera_raw,
    read_colours,
)
from omf.io.packed import PACKED, PACKED_SUFFIXES, read_counts, read_levels
from omf.raw.bayer import CFA_ORIGINS, WHITE_LEVEL, crop_to_cells, unpack
from omf.raw.camera import Camera
from omf.raw.develop import develop, grey_world
from omf.raw.isp import to_8_bit
from omf.utils.console import log
from omf.utils.errors import InputError
from omf.utils.files import atomic_write, check_is_file, unique_files
from omf.utils.written import check_replaceable


@dataclass(frozen=True)
class Known:
    """Values given by the user; None: those of the file, else estimated."""

    neutral: np.ndarray | None = None  # RAW of a neutral grey, (3,), green at 1
    exposure: float | None = None  # factor of brightness
    white_level: int | None = None  # counts, of .npy and .npz files
    black_level: int | None = None  # counts, of the same
    challenge_level: int = WHITE_LEVEL  # counts, white level of packed .npy files
    tone: bool = True  # with the tone curve of the file's profile


def list_raw(paths: Iterable[Path]) -> list[Path]:
    """Replace folders by the RAW files in them. Raises InputError for a folder without any."""
    files = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        visible = [file for file in sorted(path.iterdir()) if not file.name.startswith(".")]
        inside = [file for file in visible if file.suffix.lower() in PACKED_SUFFIXES | CAMERA_RAW_SUFFIXES]
        if not inside:
            raise InputError(f"{path}: no RAW in it; give .npy, .npz or camera RAW such as DNG")
        files += inside
    return unique_files(files)


def render(path: Path, out: Path, camera: Camera, known: Known, suffix: str = ".png") -> None:
    """Develop a RAW file and write `out`/NAME.png or NAME.jpg, with the RAW's orientation as a tag.

    Args:
        path: .npy or .npz (packed or mosaic) or camera RAW.
        out: folder of the picture.
        camera: camera of RAW that tells no colours, as .npy and .npz.
        known: values given by the user.
        suffix: .png or .jpg.

    Raises InputError if the file can't be read, its white level is unknown, or the picture would overwrite a
    file.
    """
    check_is_file(path, "a RAW file")
    target = out / f"{path.stem}{suffix}"
    check_replaceable(target)
    if path.suffix.lower() in PACKED_SUFFIXES:
        read, colours = read_array(path, known), RawColours(None, camera.mean_colour_matrix, None, 1)
    else:
        read, colours = read_camera_raw(path), read_colours(path)
    matrix, neutral, exposure = colours.matrix, known.neutral, known.exposure
    if matrix is None:
        log.warning(f"{path}: no usable colour matrix in it; its colours are a guess, those of {camera.name}")
        matrix = camera.mean_colour_matrix
    if neutral is None:
        neutral = grey_world(demosaic_raw(read), camera) if colours.neutral is None else colours.neutral
    raw = demosaic_raw(read, neutral)
    if exposure is None and colours.baseline_exposure is not None:
        exposure = 2**colours.baseline_exposure
    tone_curve = colours.tone_curve if known.tone else None
    image = Image.fromarray(to_8_bit(develop(raw, neutral, matrix, exposure, tone_curve)))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = colours.orientation
    kind = "JPEG" if suffix == ".jpg" else "PNG"
    with atomic_write(target) as temporary:  # PNG ignores the options of JPEG
        image.save(temporary, kind, exif=exif.tobytes(), quality=95, subsampling=0)


def read_array(path: Path, known: Known) -> CameraRaw:
    """Read a .npy or .npz file of RAW.

    The levels are those that the user gives, else the file's own, else of packed .npy those of the challenge.
    Raises InputError if it can't be read, has another shape or type, or its levels are unknown or wrong.
    """
    counts = read_counts(path)
    white, black, cfa = parse_levels(path, read_levels(path))
    if counts.dtype != np.uint16 or counts.ndim not in (2, 3) or (counts.ndim == 3 and counts.shape[2] != 4):
        raise InputError(f"{path}: {counts.dtype} {counts.shape}; give {PACKED}, or (H, W)")
    if path.suffix.lower() == ".npy" and counts.ndim == 3:
        white = known.challenge_level
    white = white if known.white_level is None else known.white_level
    black = black if known.black_level is None else known.black_level
    if white is None:
        raise InputError(f"{path}: its levels are unknown; give --white-level (and --black-level) COUNTS")
    if not 0 <= black < white:
        raise InputError(f"{path}: black level {black}, white level {white}; black must be the lower one")
    if counts.max(initial=0) > white:
        raise InputError(
            f"{path}: counts up to {counts.max()}, but the white level is {white};"
            " give --white-level COUNTS, or the --challenge of the file"
        )
    bayer = unpack(counts) if counts.ndim == 3 else crop_to_cells(counts)
    if not bayer.size:
        raise InputError(f"{path}: {counts.shape}; a Bayer cell needs 2 x 2 pixels")
    scaled = np.maximum((bayer.astype(np.float32) - black) / (white - black), 0)
    return CameraRaw(scaled, cfa, black, white)


def parse_levels(path: Path, stored: Mapping[str, np.ndarray]) -> tuple[int | None, int, str]:
    """Return white level, None if unknown, black level and CFA order; raises InputError if invalid."""
    levels = {}
    for name in stored.keys() - {"cfa"}:
        value = stored[name]
        if value.shape or value.dtype.kind not in "iuf" or not 0 <= value <= 65535 or value != int(value):
            raise InputError(f"{path}: {name} is {value}; give a whole number from 0 to 65535")
        levels[name] = int(value)
    cfa = str(stored.get("cfa", "RGGB"))
    if cfa not in CFA_ORIGINS:
        raise InputError(f"{path}: the CFA is {cfa}; give one of {', '.join(CFA_ORIGINS)}")
    return levels.get("white_level", levels.get("max_val")), levels.get("black_level", 0), cfa


def render_all(
    paths: Iterable[Path], out: Path, camera: Camera, known: Known, suffix: str
) -> Iterator[str | None]:
    """Develop RAW files; yield None for each that is done, and a line for each that can't be used."""
    written: dict[str, Path] = {}
    for path in paths:
        if path.stem in written:
            other = written[path.stem]
            yield f"{path}: would become {path.stem}{suffix}, as {other.name} did; rename one"
            continue
        try:
            render(path, out, camera, known, suffix)
        except InputError as error:
            yield str(error)
        else:
            written[path.stem] = path
            yield None
