"""Folders that a container works in."""

import os
import shutil
from pathlib import Path

from conftest import ROOT

PHOTOS = ("chart.png", "hills.jpg")


def make_clone(folder: Path) -> Path:
    """A copy of the program with two of its samples and its default model."""
    for part in ("omf", "scripts", "workflow", "profiles", "cameras", "containers", "trained_models"):
        shutil.copytree(
            ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.sif", "*.pt")
        )
    files = (
        "Snakefile",
        "config.yaml",
        "pyproject.toml",
        "requirements.txt",
        "requirements-torch.txt",
        "LICENSE",
        "README.md",
        "test",
    )
    for part in (*files, ".dockerignore"):
        shutil.copy(ROOT / part, folder)
    for name in ("test_rgb", "test_raw"):
        (folder / name).mkdir()
    for photo in PHOTOS:
        shutil.copy(ROOT / "test_rgb" / photo, folder / "test_rgb")
        shutil.copy(ROOT / "test_raw" / f"{Path(photo).stem}.npy", folder / "test_raw")
    return folder


def give(folder: Path, user: int) -> Path:
    """Make `user` the owner of all that is there."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)
    return folder


def owners(folder: Path) -> set[tuple[int, int]]:
    """The users and groups that own something there."""
    return {(path.lstat().st_uid, path.lstat().st_gid) for path in (folder, *folder.rglob("*"))}
