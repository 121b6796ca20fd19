"""Runs of the real commands in separate processes, to be interrupted by tests."""

import functools
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from conftest import PHOTOS, ROOT
from container.clones import copy_photos
from workflow_runs import finish

INJECTED, LAGGING = (str(Path(__file__).parent / name) for name in ("injected", "lagging"))  # PYTHONPATH
PREDICT = (sys.executable, "-m", "omf", "predict")
SNAKEMAKE = (Path(sys.executable).parent / "snakemake", "--snakefile", ROOT / "Snakefile")


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    return copy_photos(tmp_path_factory.mktemp("samples") / "photos", PHOTOS)


@dataclass
class Run:
    """A command started in a new session."""

    process: subprocess.Popen
    log: Path

    @classmethod
    def start(cls, log: Path, *command: object, **environment: str) -> "Run":
        with log.open("w") as file:
            pipes = {"stdout": file, "stderr": file, "env": os.environ | environment}
            parts = [str(part) for part in command]
            process = subprocess.Popen(parts, start_new_session=True, cwd=log.parent, **pipes)
        return cls(process, log)

    def wait(self) -> int:
        """Wait for the process to end and return its exit code."""
        return self.process.wait(timeout=300)

    def output(self) -> str:
        return self.log.read_text()

    def succeed(self) -> "Run":
        """Wait for the process, and assert that it succeeds."""
        assert self.wait() == 0, self.output()
        return self


def workflow(
    folder: Path,
    photos: Path,
    log: str = "run.log",
    model: object = "unprocess",
    size: int = 1,
    more: tuple = (),
    **environment: str,
) -> Run:
    """Start the workflow in FOLDER/work, by default one photo per shard and the method without PyTorch."""
    config = [f"{key}={value}" for key, value in settings(photos, model, size).items()]
    command = (*SNAKEMAKE, "--directory", folder / "work", "--cores", 2, *more, "--config")
    return Run.start(folder / log, *command, *config, **environment)


def settings(photos: Path, model: object, size: int) -> dict[str, object]:
    truth = {"ground_truth": ROOT / "test_raw"}
    return {"images": photos, "model": model, "shard_size": size, "device": "cpu"} | truth


def complete(folder: Path, photos: Path, model: object = "unprocess", size: int = 1) -> str:
    """Let the workflow in FOLDER/work end, and return its messages: as `workflow`, but sooner."""
    return finish(folder / "work", "--cores", 2, **settings(photos, model, size)).stderr


@pytest.fixture
def undisturbed() -> tuple[dict[str, bytes], float]:
    """Return the reproducible outputs of an uninterrupted run, and its duration in seconds."""
    return run_undisturbed()


@functools.cache
def run_undisturbed() -> tuple[dict[str, bytes], float]:
    """Return `undisturbed`; a fixture alone would run once for each file that imports it."""
    with tempfile.TemporaryDirectory() as folder:
        photos = copy_photos(Path(folder, "photos"), PHOTOS)
        began = time.monotonic()
        workflow(Path(folder), photos).succeed()
        outputs = result(Path(folder, "work"))
        assert len(outputs) == 2 * len(PHOTOS) + 3
        return outputs, time.monotonic() - began


def result(work: Path) -> dict[str, bytes]:
    """Return the RAW files, also those in the zip, and the scores."""
    submission = work / "submission"
    files = [*submission.glob("*.npy"), *submission.glob("scores.json"), *submission.glob("scores.csv")]
    outputs = {path.name: path.read_bytes() for path in files}
    for path in submission.glob("scores.txt"):
        outputs[path.name] = path.read_text().splitlines()[:2]  # the third line is the runtime
    if (submission / "submission.zip").is_file():
        with zipfile.ZipFile(submission / "submission.zip") as archive:
            assert archive.testzip() is None
            names = set(archive.namelist()) - {"readme.txt"}
            outputs |= {f"zip/{name}": archive.read(name) for name in names}
    return outputs


def raw_files(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the RAW files of a result, without those in the zip."""
    return {name: content for name, content in files.items() if name.endswith(".npy") and "/" not in name}


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("[!.]*")}


def jobs_of(run: Run) -> list[psutil.Process]:
    """Return the processes that run scripts of the workflow, oldest first."""
    try:
        children = psutil.Process(run.process.pid).children(recursive=True)
        return [child for child in children if any("scripts/" in part for part in child.cmdline())]
    except psutil.NoSuchProcess:
        return []
