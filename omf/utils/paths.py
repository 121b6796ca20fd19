"""Where the files that come with the program are; and the user's folder, which results don't name."""

import os
import pwd
import re
from contextlib import suppress
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def data_folder(name: str) -> Path:
    """The folder `trained_models` or `cameras`: of the checkout, or inside an installed package."""
    in_package = PACKAGE / name
    return in_package if in_package.is_dir() else PACKAGE.parent / name


def redact_home(value: object) -> object:
    """Texts, also in lists and dicts, with `~` in place of the user's own folder, whose name tells who that is."""
    if isinstance(value, dict):
        return {key: redact_home(one) for key, one in value.items()}
    if isinstance(value, list):
        return [redact_home(one) for one in value]
    if not isinstance(value, str):
        return value
    for home in home_directories():
        value = re.sub(rf"(?<![^\s'\"=(]){re.escape(home)}(?=/|$)", "~", value)
    return value


def home_directories() -> set[str]:
    """$HOME; and what the system knows, since a workflow's jobs may be told another."""
    found = {os.environ.get("HOME", "")}
    with suppress(KeyError):  # in containers, not all users are known
        found.add(pwd.getpwuid(os.getuid()).pw_dir)
    return {home.rstrip("/") for home in found} - {""}
