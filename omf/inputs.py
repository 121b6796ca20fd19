"""What is looked at before a file is opened."""

import stat
from pathlib import Path

from omf.errors import InputError

OTHERS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_is_file(path: Path, wanted: str) -> None:
    """Refuse what is not there, is empty, or would be waited for: a pipe, a device.

    Args:
        path: of the input.
        wanted: what to give instead.

    Raises:
        InputError: it is no file with something in it, or can't be looked at.
    """
    try:
        known = path.stat()
    except FileNotFoundError:
        gone = "a link to a file that is not there" if path.is_symlink() else "no such file"
        raise InputError(f"{path}: {gone}; give {wanted}") from None
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror}); give {wanted}") from error
    if not stat.S_ISREG(known.st_mode):
        raise InputError(f"{path}: {OTHERS.get(stat.S_IFMT(known.st_mode), 'something else')}, not a file; give {wanted}")
    if known.st_size == 0:
        raise InputError(f"{path}: an empty file; copy it again from where it came")
