"""Photos in tars and in object storage, as local files: decoders read files. No torch here."""

import functools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from omf.io.tars import read_in_tar, tar_of
from omf.utils.errors import InputError
from omf.utils.files import shorten_name
from omf.utils.remote import is_remote, remote_errors

Returned = TypeVar("Returned")
Arguments = ParamSpec("Arguments")


@contextmanager
def local_file(path: Path) -> Iterator[Path]:
    """Yield a file: itself, or while the block runs a copy of one in a tar or in object storage.

    Raises InputError if it can't be read; such an error in the block names the original too.
    """
    in_tar = tar_of(path) is not None
    if not in_tar and not is_remote(path):
        yield path
        return
    with remote_errors(path):
        # from a start that is named, s3fs asks for the object at once, and not for its size before
        content = read_in_tar(path) if in_tar else path.fs.cat_file(path.path, start=0)
    with tempfile.TemporaryDirectory(prefix="omf-") as folder:
        copy = Path(folder, shorten_name(path.name))
        copy.write_bytes(content)
        try:
            yield copy
        except InputError as error:
            raise InputError(str(error).replace(str(copy), str(path))) from error


def on_local_file(
    read: Callable[Concatenate[Path, Arguments], Returned],
) -> Callable[Concatenate[Path, Arguments], Returned]:
    """Make a function that reads a file read those in tars and in object storage too."""

    @functools.wraps(read)
    def read_locally(path: Path, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Returned:
        with local_file(path) as file:
            return read(file, *args, **kwargs)

    return read_locally
