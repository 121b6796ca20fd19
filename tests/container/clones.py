"""Working folders for containers."""

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from container.engine import ROOT
from warm_snakemake import run_warm

from omf import __version__

PHOTOS = ("chart.png", "coffee.jpg")
SUBMITTED = ["chart.npy", "coffee.npy"]
VERSIONS = "import sys, torch, numpy; print(*sys.version_info[:2], torch.__version__, numpy.__version__)"
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
    copy_photos(folder / "test_rgb")
    (folder / "test_raw").mkdir()
    for photo in PHOTOS:
        shutil.copy(ROOT / "test_raw" / f"{Path(photo).stem}.npy", folder / "test_raw")
    return folder


def copy_photos(folder: Path, photos: Iterable[str] = PHOTOS) -> Path:
    """Make a folder of samples, and return it."""
    folder.mkdir(parents=True)
    for photo in photos:
        shutil.copy(ROOT / "test_rgb" / photo, folder)
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


def check_entry(folder: Path, user: int) -> dict:
    """Assert that a run in the image wrote a whole entry of `user`; return its environment."""
    assert list(npy(folder)) == SUBMITTED
    assert (folder / "submission" / "submission.zip").is_file()
    assert owners(folder) == {(user, user)}
    (made_by,) = json.loads((folder / "submission" / "provenance.json").read_text())["environments"]
    assert made_by["image"] == f"overexposure-mask-fusion {__version__}"
    return made_by


def compare_with_outside(clone: Path, run_inside: Callable[..., str]) -> None:
    """Assert that the RAW files are those of a run outside of the image, if that has the same packages."""
    inside = run_inside("python", "-c", VERSIONS)
    if inside != subprocess.run([sys.executable, "-c", VERSIONS], capture_output=True, text=True).stdout:
        pytest.skip(f"comparing bytes needs the versions of the image: {inside}")
    assert npy(clone) == entry_outside()


@functools.cache
def entry_outside() -> dict[str, bytes]:
    """Return the RAW files of a clone that runs in the environment of the tests."""
    with tempfile.TemporaryDirectory() as folder:
        clone = make_clone(Path(folder, "clone"))
        done = run_warm(cwd=clone, PYTHONPATH=str(clone))
        assert done.returncode == 0, done.stderr
        return npy(clone)
