"""Folders of the shipped data and of the user's, and removal of the home directory from results."""

import os
import pwd
import re
import tempfile
from contextlib import suppress
from pathlib import Path

from platformdirs import user_data_path

from omf.utils.errors import InputError

PACKAGE = Path(__file__).parents[1]
MODELS, CAMERAS = "trained_models", "cameras"
HOME = "OMF_HOME"  # environment variable: folder for models and camera profiles of the user's


def data_folder(name: str) -> Path:
    """Return a shipped folder, such as `cameras`, of the checkout or of the installed package.

    Commands only read them; `user_folder` returns the folders that they write to.
    """
    in_package = PACKAGE / name
    return in_package if in_package.is_dir() else PACKAGE.parent / name


def user_folder(name: str) -> Path:
    """Return `trained_models` or `cameras` of the user's: of $OMF_HOME, else of the checkout.

    For an installed package, which an upgrade replaces, they are in the user's data folder. They may be
    missing.

    Raises:
        InputError: $OMF_HOME is a relative path.
    """
    home = os.environ.get(HOME)
    if home and not os.path.isabs(home):  # noqa: PTH117
        raise InputError(f"{HOME} is {home}; give an absolute path, the same for all working folders")
    if home:
        return Path(home, name)
    return (user_data_path("omf") if (PACKAGE / name).is_dir() else PACKAGE.parent) / name


def check_writable(folder: Path) -> None:
    """Make a folder of the user's. Raises InputError unless files can be written to it."""
    try:
        if not folder.is_absolute():
            raise OSError(None, "you have no home directory")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{folder}: can't be written to ({error.strerror}), and is to hold models and profiles of yours;"
            f" set {HOME} to a folder where you may write"
        ) from error


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
