"""Develop RAW files to sRGB pictures: the way back, by a simple ISP."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from omf.evaluation.ground_truth import demosaic_raw
from omf.io.camera_raw import CAMERA_RAW_SUFFIXES, RawColours, read_camera_raw, read_colours
from omf.io.packed import PACKED_SUFFIXES, read_counts, unreadable
from omf.raw.bayer import demosaic, unpack
from omf.raw.camera import Camera
from omf.raw.develop import develop, grey_world
from omf.raw.isp import to_8_bit
from omf.utils.errors import InputError
from omf.utils.files import atomic_write, check_is_file, unique_files
from omf.utils.written import check_replaceable

JPEG_QUALITY = 95


@dataclass(frozen=True)
class Known:
    """Values given by the user; None: those of the file, else estimated."""

    neutral: np.ndarray | None = None  # RAW of a neutral grey, (3,), green at 1
    exposure: float | None = None  # factor of brightness
    white_level: int | None = None  # counts, of .npy files


def list_raw(paths: Iterable[Path]) -> list[Path]:
    """Replace folders by the RAW files in them. Raises InputError for a folder without any."""
    files = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = [
            file
            for file in sorted(path.iterdir())
            if file.suffix.lower() in PACKED_SUFFIXES | CAMERA_RAW_SUFFIXES and not file.name.startswith(".")
        ]
        if not inside:
            raise InputError(f"{path}: no RAW in it; give .npy, .npz or camera RAW such as DNG")
        files += inside
    return unique_files(files)


def render(path: Path, out: Path, camera: Camera, known: Known, suffix: str = ".png") -> None:
    """Develop a RAW file and write `out`/NAME.png or NAME.jpg, with the RAW's orientation as a tag.

    Args:
        path: .npy or .npz (packed or mosaic) or camera RAW.
        out: folder of the picture.
        camera: camera of RAW that tells no colours: of .npy and .npz.
        known: values given by the user.
        suffix: .png or .jpg.

    Raises:
        InputError: the file can't be read, its white level is unknown, or the picture would overwrite a file.
    """
    check_is_file(path, "a RAW file")
    target = out / f"{path.stem}{suffix}"
    check_replaceable(target)
    colours: RawColours | None = None
    if path.suffix.lower() in PACKED_SUFFIXES:
        raw = demosaic(read_array(path, known.white_level))
    else:
        raw, colours = demosaic_raw(read_camera_raw(path)), read_colours(path)
    matrix, exposure = camera.mean_colour_matrix, known.exposure
    neutral, orientation = known.neutral, 1
    if colours:
        orientation = colours.orientation
        matrix = colours.matrix if colours.matrix is not None else matrix
        neutral = colours.neutral if neutral is None else neutral
        if exposure is None and colours.baseline_exposure is not None:
            exposure = 2**colours.baseline_exposure
    if neutral is None:
        neutral = grey_world(raw, camera)
    image = Image.fromarray(to_8_bit(develop(raw, neutral, matrix, exposure)))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"quality": JPEG_QUALITY, "subsampling": 0} if suffix == ".jpg" else {}
    kind = "JPEG" if suffix == ".jpg" else "PNG"
    with atomic_write(target) as temporary:
        image.save(temporary, kind, exif=exif.tobytes(), **options)


def read_array(path: Path, white_level: int | None) -> np.ndarray:
    """Read a .npy or .npz file of RAW as an RGGB mosaic, float32 (H, W), black at 0, white at 1.

    Raises:
        InputError: it can't be read, has another shape or type, or its white level is unknown.
    """
    counts, black, cfa = read_counts(path), 0, "RGGB"
    if path.suffix.lower() == ".npz":
        try:
            with np.load(path, allow_pickle=False) as archive:
                white_level = white_level or int(archive["white_level"])
                black, cfa = int(archive["black_level"]), str(archive["cfa"])
        except (OSError, ValueError, LookupError) as error:
            raise unreadable(path, error) from error
    if counts.dtype != np.uint16 or counts.ndim not in (2, 3) or (counts.ndim == 3 and counts.shape[2] != 4):
        raise InputError(
            f"{path}: {counts.dtype} {counts.shape};"
            " give uint16 (H/2, W/2, 4), planes R, Gr, Gb, B, or (H, W)"
        )
    if cfa != "RGGB":
        raise InputError(f"{path}: the CFA is {cfa}; give RAW whose CFA is RGGB")
    if white_level is None:
        raise InputError(f"{path}: its white level is unknown; give it: --white-level COUNTS")
    bayer = unpack(counts) if counts.ndim == 3 else counts[: len(counts) // 2 * 2, : counts.shape[1] // 2 * 2]
    return np.clip((bayer.astype(np.float32) - black) / (white_level - black), 0, 1)


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
