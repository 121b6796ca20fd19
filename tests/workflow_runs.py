"""Runs of the workflow in folders of tests, and the files that they leave."""

import base64
import csv
import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from conftest import ROOT, snakemake, wait_for


def finish(folder: Path, *arguments: object, code: int = 0, **config: object) -> subprocess.CompletedProcess:
    """Run the workflow to its end, and assert that it has this exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    result = snakemake(folder, *arguments, **config)
    assert result.returncode == code, result.stdout + result.stderr
    return result


def refusal(folder: Path, *arguments: object, **config: object) -> str:
    """Run the workflow, which must stop with messages of its own, and return these."""
    result = finish(folder, *arguments, code=1, **config)
    messages = result.stdout + result.stderr
    assert "Traceback" not in messages
    return messages


def planned(folder: Path, *arguments: object, **config: object) -> dict[str, int]:
    """Return how many jobs of each rule a dry run plans."""
    table = finish(folder, "-n", "--quiet", "rules", *arguments, **config).stdout
    return {rule: int(jobs) for rule, jobs in re.findall(r"^(?!total)(\w+) +(\d+)$", table, re.MULTILINE)}


def kill_once(condition: Callable[[], object], folder: Path, cores: int, **config: object) -> None:
    """Start the workflow and kill all its processes once a condition is met."""
    words = [f"{key}={value}" for key, value in config.items()]
    snake = [Path(sys.executable).parent / "snakemake", "--snakefile", ROOT / "Snakefile"]
    command = [*snake, "--directory", folder, "--cores", str(cores), "--config", *words]
    folder.mkdir(exist_ok=True)
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: condition() or process.poll() is not None)
        os.killpg(process.pid, signal.SIGKILL)


def rules_run(result: subprocess.CompletedProcess) -> list[str]:
    return re.findall(r"^(?:local)?rule (\w+):$", result.stderr, re.MULTILINE)


def raw_files(folder: Path) -> dict[str, bytes]:
    """Return the NumPy files in a folder by name."""
    return {path.name: path.read_bytes() for path in folder.glob("[!.]*.np?")}


def zip_names(run: Path) -> list[str]:
    with zipfile.ZipFile(run / "submission" / "submission.zip") as archive:
        assert archive.testzip() is None
        return sorted(archive.namelist())


def read_json(run: Path, name: str) -> dict:
    return json.loads((run / "submission" / f"{name}.json").read_text())


def index_of(run: Path) -> list[dict]:
    """Return the rows of index.csv."""
    with (run / "submission" / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def svg_text(run: Path) -> str:
    """Return all SVG plots of report.html as text."""
    page = (run / "submission" / "report.html").read_text()
    plots = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page)
    return "".join(base64.b64decode(plot).decode() for plot in plots)
