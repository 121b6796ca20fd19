"""Read packed RAW files. No torch here."""

import zipfile
from pathlib import Path
from tokenize import TokenError

import numpy as np

from omf.raw.bayer import WHITE_LEVEL
from omf.utils.errors import InputError
from omf.utils.files import check_is_file

# what NumPy raises on what is no header of .npy, or looks like an archive
HEADER_ERRORS = (
    TypeError,
    LookupError,
    TokenError,
    SyntaxError,
    RuntimeError,
    OverflowError,
    zipfile.BadZipFile,
)
PACKED_SUFFIXES = {".npy", ".npz"}
# what NumPy raises on files that are damaged or hold something else
READING_ERRORS = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile)


def list_packed(folder: Path) -> dict[str, Path]:
    """The .npy files of a folder by name. Raises InputError where there is no such folder."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that holds NAME.npy files")
    return {path.stem: path for path in sorted(folder.glob("*.npy")) if not path.name.startswith(".")}


def read_packed(path: Path, white_level: int = WHITE_LEVEL) -> np.ndarray:
    """Read a packed Bayer file: uint16 (H/2, W/2, 4), counts up to its white level.

    Returns:
        Counts of which 1024 are white: as stored, or of another white level float64.

    Raises:
        InputError: the file is not one.
    """
    check_is_file(path, "a .npy file of uint16 (H/2, W/2, 4)")
    try:
        counts = np.load(
            path, mmap_mode="r", allow_pickle=False
        )  # a header that claims more than the file holds takes no memory
    except (OSError, ValueError, EOFError, *HEADER_ERRORS) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        if "pickle" in reason:  # numpy's advice is to load it nevertheless, which may run what it holds
            reason = "not an array of numbers"
        raise InputError(
            f"{path}: can't be read ({reason}); give a .npy file of uint16 (H/2, W/2, 4)"
        ) from error
    if (
        not isinstance(counts, np.ndarray)
        or counts.ndim != 3
        or counts.shape[-1] != 4
        or counts.dtype != np.uint16
    ):
        found = f"{counts.dtype} {counts.shape}" if isinstance(counts, np.ndarray) else "an archive"
        raise InputError(f"{path}: {found}; give uint16 (H/2, W/2, 4), planes R, Gr, Gb, B")
    if counts.max(initial=0) > white_level:
        raise InputError(
            f"{path}: counts up to {counts.max()}; the white level is {white_level}: scale it to that, or name its challenge"
        )
    return (
        np.array(counts)
        if white_level == WHITE_LEVEL
        else np.asarray(counts) * float(WHITE_LEVEL) / white_level
    )


def read_counts(path: Path) -> np.ndarray:
    """The array in a .npy file, or `raw` in a .npz file. Raises InputError."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return loaded["raw"]
    except READING_ERRORS as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0].strip("'\"")
    return InputError(
        f"{path}: can't be read ({reason}); give a .npy file of uint16 (H/2, W/2, 4), or a .npz file with that as raw"
    )
