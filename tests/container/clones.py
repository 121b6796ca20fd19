"""Working folders for containers."""

import functools
import os
import shutil
import tempfile
from pathlib import Path

from container.engine import ROOT
from warm_snakemake import run_warm

PHOTOS = ("chart.png", "coffee.jpg")
FOLDERS = ["omf", "scripts", "tools", "workflow", "profiles", "cameras", "containers", "trained_models"]
FILES = [
    *("Snakefile", "config.yaml", "pyproject.toml", "requirements.txt", "requirements-torch.txt"),
    *("LICENSE", "README.md", "test", ".dockerignore"),
]


def make_clone(folder: Path) -> Path:
    """Copy the program with two of its samples and its default model."""
    ignored = shutil.ignore_patterns("__pycache__", "*.sif", "*.pt")
    for part in FOLDERS:
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    for part in FILES:
        shutil.copy(ROOT / part, folder)
    for name in ("test_rgb", "test_raw"):
        (folder / name).mkdir()
    for photo in PHOTOS:
        shutil.copy(ROOT / "test_rgb" / photo, folder / "test_rgb")
        shutil.copy(ROOT / "test_raw" / f"{Path(photo).stem}.npy", folder / "test_raw")
    return folder


def change_owner(folder: Path, user: int) -> Path:
    """Make `user` the owner of a folder and everything in it, and return the folder."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)
    return folder


def owners(folder: Path) -> set[tuple[int, int]]:
    """Return (user, group) of all owners of a folder and its content."""
    return {(path.lstat().st_uid, path.lstat().st_gid) for path in (folder, *folder.rglob("*"))}


def npy(folder: Path) -> dict[str, bytes]:
    """Return the RAW files of a run."""
    return {path.name: path.read_bytes() for path in sorted((folder / "submission").glob("*.npy"))}


@functools.cache
def entry_outside() -> dict[str, bytes]:
    """Return the RAW files of a clone that runs in the environment of the tests."""
    with tempfile.TemporaryDirectory() as folder:
        clone = make_clone(Path(folder, "clone"))
        done = run_warm(cwd=clone, PYTHONPATH=str(clone))
        assert done.returncode == 0, done.stderr
        return npy(clone)
