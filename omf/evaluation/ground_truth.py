"""Ground truth: packed RAW files, or the camera RAW that photos were developed from. No torch here."""

from pathlib import Path

import numpy as np

from omf.evaluation.registration import register, to_sensor_orientation
from omf.io.camera_raw import CAMERA_RAW_SUFFIXES, CameraRaw, import_rawpy, read_camera_raw
from omf.io.packed import list_packed, read_packed
from omf.raw.bayer import CFA_ORIGINS, WHITE_LEVEL, demosaic, to_challenge_format
from omf.utils.errors import InputError


def list_ground_truth(folder: Path) -> dict[str, Path]:
    """The ground truth in a folder by name: NAME.npy, else the first camera RAW of that name.

    Raises InputError where there is no such folder, or camera RAW and no rawpy to read it.
    """
    packed = list_packed(folder)
    raws = [
        path for path in sorted(folder.iterdir(), reverse=True) if path.suffix.lower() in CAMERA_RAW_SUFFIXES
    ]
    camera = {path.stem: path for path in raws if not path.name.startswith(".")}
    if camera.keys() - packed:
        import_rawpy()
    return camera | packed


def read_ground_truth(
    path: Path, shape: tuple[int, ...], rgb: np.ndarray | None, white_level: int = WHITE_LEVEL
) -> np.ndarray:
    """Read the ground truth of a reconstruction.

    Camera RAW of the reconstruction's size is taken to be what the photo shows, pixel for pixel; other camera RAW is
    registered to the photo. A reconstruction has red at the photo's first pixel. Where the sensor measured red there too, the
    values are those that it measured; where it did not, they are those of the demosaiced RAW.

    Args:
        path: NAME.npy in the challenge's format, or camera RAW.
        shape: of the reconstruction, (H/2, W/2, 4).
        rgb: the photo that it was made from, (H, W, 3), uint8 or uint16; None: not known.
        white_level: of .npy files.

    Returns:
        Counts of which 1024 are white, (H/2, W/2, 4), see `omf.io.packed.read_packed`. That of a .npy file may have another shape.

    Raises:
        InputError: it can't be read, or the photo's place on it can't be found.
    """
    if path.suffix.lower() not in CAMERA_RAW_SUFFIXES:
        return read_packed(path, white_level)
    raw = read_camera_raw(path)
    height, width = raw.mosaic.shape
    if (height // 2, width // 2) == shape[:2]:
        return to_challenge_format(demosaiced(raw))
    if rgb is None:
        raise InputError(
            f"{path}: {width} x {height} pixels, but the reconstruction is of {2 * shape[1]} x {2 * shape[0]};"
            " give the photo too, to find its place"
        )
    return to_challenge_format(under_photo(path, raw, rgb))


def demosaiced(raw: CameraRaw) -> np.ndarray:
    """float32 (H, W, 3)."""
    height, width = raw.mosaic.shape
    # the last odd row or column gets the one that mirroring gives: the colours of the mosaic go on
    return demosaic(np.pad(raw.mosaic, ((0, height % 2), (0, width % 2)), mode="reflect"), raw.cfa)[
        :height, :width
    ]


def under_photo(path: Path, raw: CameraRaw, rgb: np.ndarray) -> np.ndarray:
    """Demosaiced RAW at the pixels of a photo (H, W, 3), turned as it is: float32 (H, W, 3). Raises InputError."""
    try:
        found = register(rgb, raw.bayer)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    top, left = (start + origin for start, origin in zip((found.top, found.left), CFA_ORIGINS[raw.cfa]))
    height, width = to_sensor_orientation(rgb, found.mirrored, found.turns).shape[:2]
    beyond = max(-top, -left, top + height - raw.mosaic.shape[0], left + width - raw.mosaic.shape[1])
    if beyond > 0:
        raise InputError(
            f"{path}: its photo reaches {beyond} pixels beyond it; give a photo that lies within its RAW"
        )
    seen = to_sensor_orientation(
        demosaiced(raw)[top : top + height, left : left + width], False, -found.turns
    )
    return to_sensor_orientation(seen, found.mirrored, 0)
