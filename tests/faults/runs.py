"""Runs as users start them, in processes of their own, to be disturbed."""

import os
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from conftest import ROOT

NAMES = ("hills.jpg", "chart.png", "leaves_odd.jpg", "night_tall.tif")


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in NAMES:
        shutil.copy(ROOT / "test_rgb" / name, folder)
    return folder


@dataclass
class Run:
    """A command, started in a session of its own."""

    process: subprocess.Popen
    log: Path

    @classmethod
    def start(cls, log: Path, *command: object, **environment: str) -> "Run":
        with log.open("w") as file:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdout=file,
                stderr=file,
                start_new_session=True,
                cwd=log.parent,
                env=os.environ | environment,
            )
        return cls(process, log)

    def ended(self) -> int:
        """The exit code, once there is one."""
        return self.process.wait(timeout=300)

    def said(self) -> str:
        return self.log.read_text()


def workflow(
    folder: Path,
    photos: Path,
    log: str = "run.log",
    model: object = "unprocess",
    size: int = 1,
    more: tuple = (),
    **environment: str,
) -> Run:
    """The workflow in FOLDER/work, a photo a shard, with the method that needs no PyTorch."""
    settings = {
        "images": photos,
        "model": model,
        "device": "cpu",
        "shard_size": size,
        "ground_truth": ROOT / "test_raw",
    }
    config = [f"{key}={value}" for key, value in settings.items()]
    snakemake = Path(sys.executable).parent / "snakemake"
    return Run.start(
        folder / log,
        *(
            snakemake,
            "--snakefile",
            ROOT / "Snakefile",
            "--directory",
            folder / "work",
            "--cores",
            2,
            *more,
            "--config",
            *config,
        ),
        **environment,
    )


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, photos) -> tuple[dict[str, bytes], float]:
    """What an undisturbed run leaves that is the same each time, and its seconds."""
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    run = workflow(folder, photos)
    assert run.ended() == 0, run.log.read_text()
    left = result(folder / "work")
    assert len(left) == 2 * len(NAMES) + 3
    return left, time.monotonic() - began


def result(work: Path) -> dict[str, bytes]:
    """The RAW files, as they lie there and as they are zipped, and the scores."""
    submission = work / "submission"
    left = {
        path.name: path.read_bytes() for path in (*submission.glob("*.npy"), *submission.glob("scores.json"))
    }
    left |= {path.name: path.read_bytes() for path in submission.glob("scores.csv")}
    left |= {
        path.name: path.read_text().splitlines()[:2] for path in submission.glob("scores.txt")
    }  # then comes the time
    if (submission / "submission.zip").is_file():
        with zipfile.ZipFile(submission / "submission.zip") as archive:
            assert archive.testzip() is None
            left |= {f"zip/{name}": archive.read(name) for name in archive.namelist() if name != "readme.txt"}
    return left


def jobs_of(run: Run) -> list[psutil.Process]:
    """The processes that run our scripts, oldest first."""
    try:
        children = psutil.Process(run.process.pid).children(recursive=True)
        return [child for child in children if any("scripts/" in part for part in child.cmdline())]
    except psutil.NoSuchProcess:
        return []
