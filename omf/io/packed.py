"""Read packed RAW files. Does not import torch."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.lib.npyio import NpzFile

from omf.io.tar_shards import read_raw_in_tar
from omf.io.tars import tar_of
from omf.raw.bayer import WHITE_LEVEL
from omf.utils.errors import InputError
from omf.utils.files import check_is_file

PACKED_SUFFIXES = {".npy", ".npz"}
PACKED = "uint16 (H/2, W/2, 4), planes R, Gr, Gb, B"
NPY_FILE = "a .npy file of uint16 (H/2, W/2, 4)"
NPZ_FILE = "a .npz file with such an array as raw"
LEVELS = ("white_level", "max_val", "black_level", "cfa")  # of .npz files; max_val is a white level
# exceptions that NumPy raises for .npy and .npz files that are damaged or have other content
NPY_ERRORS = (
    *(OSError, ValueError, EOFError, LookupError, TypeError, RuntimeError),
    *(OverflowError, SyntaxError, TokenError, zipfile.BadZipFile),
)


def list_packed(folder: Path) -> dict[str, Path]:
    """Map names to the NAME.npy files of a folder. Raises InputError if the folder does not exist."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that holds NAME.npy files")
    return {path.stem: path for path in sorted(folder.glob("*.npy")) if not path.name.startswith(".")}


def read_packed(path: Path, white_level: int = WHITE_LEVEL) -> np.ndarray:
    """Read packed RGGB: a .npy array of uint16 (H/2, W/2, 4), or RAW in a tar, see `omf.io.tar_shards`.

    Returns:
        Counts with a white level of 1024, (H/2, W/2, 4): uint16 as stored, or float64 if they were rescaled.

    Raises InputError if the file cannot be read, has another shape or dtype, or counts above the white level.
    """
    in_tar = tar_of(path) is not None
    if not in_tar:
        check_is_file(path, NPY_FILE)
    try:
        # memory mapping allocates nothing for a header that declares more than the file contains
        counts = read_raw_in_tar(path) if in_tar else np.load(path, mmap_mode="r", allow_pickle=False)
    except NPY_ERRORS as error:
        raise unreadable(path, error, NPY_FILE) from error
    if in_tar and path.suffix == ".dng":
        return counts
    if not isinstance(counts, np.ndarray):
        raise InputError(f"{path}: an archive; give {PACKED}")
    if counts.ndim != 3 or counts.shape[-1] != 4 or counts.dtype != np.uint16:
        raise InputError(f"{path}: {counts.dtype} {counts.shape}; give {PACKED}")
    if counts.max(initial=0) > white_level:
        raise InputError(
            f"{path}: counts up to {counts.max()}; the white level is {white_level}:"
            " rescale the counts, or set the challenge of the file"
        )
    if white_level == WHITE_LEVEL:
        return np.array(counts)
    return np.asarray(counts) * float(WHITE_LEVEL) / white_level


def read_counts(path: Path) -> np.ndarray:
    """Read the array of a .npy file, or `raw` of a .npz file. Raises InputError if it cannot be read."""
    with opened(path) as loaded:
        return loaded if isinstance(loaded, np.ndarray) else loaded["raw"]


def read_levels(path: Path) -> dict[str, np.ndarray]:
    """Read those of `LEVELS` that a .npz file contains, by name, and not its RAW; none of a .npy file."""
    if path.suffix.lower() == ".npy":
        return {}
    with opened(path) as archive:
        return {name: archive[name] for name in LEVELS if name in archive}


@contextmanager
def opened(path: Path) -> Iterator[np.ndarray | NpzFile]:
    """Open a .npy or .npz file; raise InputError if it cannot be read."""
    check_is_file(path, "a .npy or .npz file")
    try:
        loaded = np.load(path, allow_pickle=False)
        with nullcontext(loaded) if isinstance(loaded, np.ndarray) else loaded:
            yield loaded
    except NPY_ERRORS as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception, wanted: str = f"{NPY_FILE}, or {NPZ_FILE}") -> InputError:
    """Return the error for a RAW file that raised one of `NPY_ERRORS`; `wanted` is in its place."""
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0].strip("'\"")
    if "pickle" in reason:  # NumPy suggests allow_pickle=True, which may execute code in the file
        reason = "not an array of numbers"
    return InputError(f"{path}: can't be read ({reason}); give {wanted}")
