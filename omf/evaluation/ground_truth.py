"""Ground truth: packed RAW files, or the camera RAW that the photos were developed from. No torch here."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from omf.io.camera_raw import CAMERA_RAW_SUFFIXES, CameraRaw, demosaic_raw, import_rawpy, read_camera_raw
from omf.io.packed import list_packed, read_packed
from omf.io.photos import match_shots
from omf.io.tars import is_in_tar, tar_of
from omf.raw.bayer import CFA_ORIGINS, WHITE_LEVEL, to_challenge_format
from omf.utils.console import count_of
from omf.utils.errors import InputError


def list_ground_truth(folder: Path, photos: Iterable[str] = ()) -> dict[str, Path]:
    """Map the names in a folder to ground-truth files: NAME.npy, else the first camera RAW of that name.

    RAW of the same shot as a photo gets the name of that photo, see `omf.io.photos.match_shots`.

    Raises InputError if the folder does not exist, or if it holds camera RAW and rawpy is not installed.
    """
    packed = list_packed(folder)
    camera = {
        path.stem: path
        for path in sorted(folder.iterdir(), reverse=True)
        if path.suffix.lower() in CAMERA_RAW_SUFFIXES and not path.name.startswith(".")
    }
    if camera.keys() - packed:
        import_rawpy()
    return match_shots(photos, camera | packed)


def ground_truth_in_tars(photos: Mapping[str, Path]) -> dict[str, Path]:
    """Map the names of photos in tars to the ground truth beside them, NAME.npy, where there is any."""
    beside = {name: photo.with_suffix(".npy") for name, photo in photos.items() if tar_of(photo)}
    return {name: path for name, path in beside.items() if is_in_tar(path)}


def is_simulated(folder: Path) -> bool:
    """Return True if the `dataset.json` of a folder of ground truth says that a simulator made it."""
    try:
        return json.loads((folder / "dataset.json").read_text("utf-8"))["simulated"] is True
    except (OSError, ValueError, LookupError, TypeError):
        return False


def read_ground_truth(
    path: Path, shape: tuple[int, ...], rgb: np.ndarray | None, white_level: int = WHITE_LEVEL
) -> np.ndarray:
    """Read the ground truth of a reconstruction.

    Camera RAW of the reconstruction's size is assumed to match the photo pixel for pixel, unless the photo
    fits it better turned or mirrored; that and any other camera RAW is registered to the photo. A
    reconstruction has red at the photo's first pixel. If the sensor measured red there too, the values are
    the measured ones; otherwise they come from the demosaiced RAW.

    Args:
        path: NAME.npy in the challenge's format, or camera RAW.
        shape: shape of the reconstruction, (H/2, W/2, 4).
        rgb: photo that the reconstruction was made from, (H, W, 3), uint8 or uint16; None if unknown.
        white_level: white level of .npy files.

    Returns:
        (H/2, W/2, 4), 1024 = white, see `omf.io.packed.read_packed`. A .npy file may have another shape.

    Raises:
        InputError: the file can't be read, or can't be registered to the photo.
    """
    if path.suffix.lower() not in CAMERA_RAW_SUFFIXES:
        return read_packed(path, white_level)
    from omf.evaluation.alignment import is_turned  # SciPy takes long to load

    raw = read_camera_raw(path)
    height, width = raw.mosaic.shape
    if (height // 2, width // 2) == shape[:2] and (rgb is None or not is_turned(rgb, raw.mosaic)):
        return to_challenge_format(demosaic_raw(raw))
    if rgb is None:
        raise InputError(
            f"{path}: {width} x {height} pixels, but the reconstruction is {2 * shape[1]} x {2 * shape[0]};"
            " give the photo too, to register the RAW to it"
        )
    return to_challenge_format(crop_to_photo(path, raw, rgb))


def crop_to_photo(path: Path, raw: CameraRaw, rgb: np.ndarray) -> np.ndarray:
    """Demosaic RAW, crop it to a photo (H, W, 3) and turn it likewise: float32 (H, W, 3).

    Raises InputError if registration fails, or the photo extends beyond the RAW.
    """
    from omf.evaluation.alignment import register, to_sensor_orientation

    try:
        position = register(rgb, raw.bayer)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    top, left = (start + origin for start, origin in zip((position.top, position.left), CFA_ORIGINS[raw.cfa]))
    height, width = to_sensor_orientation(rgb, position.mirrored, position.turns).shape[:2]
    beyond = max(-top, -left, top + height - raw.mosaic.shape[0], left + width - raw.mosaic.shape[1])
    if beyond > 0:
        raise InputError(
            f"{path}: its photo extends {count_of(beyond, 'pixel')} beyond it;"
            " give a photo that lies within its RAW"
        )
    cropped = demosaic_raw(raw)[top : top + height, left : left + width]
    turned = np.rot90(cropped, -position.turns)
    return turned[:, ::-1] if position.mirrored else turned
