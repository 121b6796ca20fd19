"""Files that appear under their name only when they are whole."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; rename to `path` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # a dot in front keeps it out of listings; process and host number keep two writers apart
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def save_npy(path: Path, array: np.ndarray) -> None:
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)


def save_text(path: Path, text: str) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(text)


def save_json(path: Path, value: object) -> None:
    save_text(path, json.dumps(value, indent=2) + "\n")


def sha256(path: Path) -> str:
    """The file's hash, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
