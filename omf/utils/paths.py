"""Folders of the installed data, and removal of the home directory from results."""

import os
import pwd
import re
from contextlib import suppress
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def data_folder(name: str) -> Path:
    """Return `trained_models`, `cameras` or `scripts`, of the checkout or of the installed package."""
    in_package = PACKAGE / name
    return in_package if in_package.is_dir() else PACKAGE.parent / name


def redact_home(value: object) -> object:
    """Replace the home directory, which identifies the user, by `~` in strings, also in lists and dicts."""
    if isinstance(value, dict):
        return {key: redact_home(item) for key, item in value.items()}
    if isinstance(value, list):
        return [redact_home(item) for item in value]
    if not isinstance(value, str):
        return value
    for home in home_directories():
        value = re.sub(rf"(?<![^\s'\"=(]){re.escape(home)}(?=/|$)", "~", value)
    return value


def home_directories() -> set[str]:
    """Return $HOME and the home directory of the user database; in a workflow's jobs they may differ."""
    homes = {os.environ.get("HOME", "")}
    with suppress(KeyError):  # in a container the user may have no entry
        homes.add(pwd.getpwuid(os.getuid()).pw_dir)
    return {home.rstrip("/") for home in homes} - {""}
