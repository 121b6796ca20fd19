"""Files in object storage, as paths of universal_pathlib, which have most methods of `Path`. No torch here.

Credentials and addresses of servers come from where the storage's own tools take them, never from settings.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omf.utils.errors import InputError, first_line

# fsspec's options by protocol. A server that is asked to slow down may take minutes.
OPTIONS = {"s3": {"config_kwargs": {"retries": {"mode": "standard", "max_attempts": 8}}}}
STORE_EXTRAS = {"s3": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure"}  # by protocol
TAGS = ("ETag", "etag", "blob_id")  # names that stores give to the version of a file's content


def to_path(text: str) -> Path:
    """Return a path; of an address such as s3://bucket/photos, one in object storage.

    Raises:
        InputError: the address holds credentials, or what reads such addresses is not installed.
    """
    protocol, mark, rest = text.partition("://")
    if not mark:
        return Path(text)
    if "@" in rest.partition("/")[0]:
        raise InputError(
            f"{protocol}://...: credentials in an address end up in logs;"
            " leave them out, and give them as for the storage's own tools: in the environment or its files"
        )
    try:
        from upath import UPath

        path = UPath(text, **OPTIONS.get(protocol, {}))
        path.fs  # noqa: B018 - loads what reads it
    except (ImportError, ValueError) as error:
        extra = STORE_EXTRAS.get(protocol)
        remedy = (
            f"install it with: pip install 'overexposure-mask-fusion[{extra}]'"
            if extra
            else f"give a folder, or an address of {', '.join(sorted(STORE_EXTRAS))}"
        )
        raise InputError(
            f"{text}: nothing is installed that reads it ({first_line(error)}); {remedy}"
        ) from None
    return path


def is_remote(path: Path) -> bool:
    """Return True for a path in object storage."""
    return not isinstance(path, Path)


def version_of(path: Path) -> tuple[int, int | str]:
    """Return what changes with the content of a file: its size in bytes and its time, or its ETag.

    Raises InputError for an object that can't be asked for, OSError for a file.
    """
    if not is_remote(path):
        status = path.stat()
        return status.st_size, status.st_mtime_ns
    with remote_errors(path):
        info = path.fs.info(path.path)
        tag = next((info[key] for key in TAGS if info.get(key)), None)
        return info["size"], str(tag).strip('"') if tag else path.fs.ukey(path.path)


def upload(file: Path, target: Path) -> str:
    """Write a file to object storage, at once or not at all, and return the version that it has there.

    Raises InputError if it can't be written.
    """
    with remote_errors(target, "written"):
        target.fs.put_file(str(file), target.path)
        target.fs.invalidate_cache(target.parent.path)
    return str(version_of(target)[1])


@contextmanager
def remote_errors(path: Path, doing: str = "read") -> Iterator[None]:
    """Raise InputError for what the libraries of a store raise, each its own errors."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if not is_remote(path):
            raise
        reason = "no such object" if isinstance(error, FileNotFoundError) else first_line(error)
        raise InputError(
            f"{path}: can't be {doing} ({reason or type(error).__name__});"
            " check the address, the credentials and the network"
        ) from error
