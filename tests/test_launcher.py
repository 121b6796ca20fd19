"""./test and the environment that it makes."""

import shutil
from pathlib import Path

import pytest
from conftest import ROOT, run


@pytest.fixture
def clone(tmp_path) -> Path:
    """The launcher in a folder of its own, with nothing to install and a stand-in for Snakemake."""
    folder = tmp_path / "a clone"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "test", folder)
    shutil.copy(ROOT / "scripts" / "environment.sh", folder / "scripts")
    (folder / "requirements.txt").write_text("# nothing\n")
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "nothing"\nversion = "0"\n[build-system]\nrequires = []\nbackend-path = ["."]\n'
    )
    return folder


def test_an_environment_that_is_there_is_used_at_once(clone):
    program = clone / ".venv" / "bin" / "snakemake"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "in $PWD with $*"\n')
    program.chmod(0o755)
    shutil.copy(clone / "requirements.txt", clone / ".venv" / "installed-requirements.txt")
    result = run(clone / "test", "-n", "--config", "images=my photos", cwd=clone.parent)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"in {clone} with -n --config images=my photos\n"
    assert result.stderr == ""


def test_other_pins_are_installed(clone, tmp_path):
    log = tmp_path / "log"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$*" >> {log}\nexit 0\n')
    python.chmod(0o755)
    (clone / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(python, clone / ".venv" / "bin" / "python")
    shutil.copy(python, clone / ".venv" / "bin" / "snakemake")
    (clone / ".venv" / "installed-requirements.txt").write_text("# older pins\n")
    result = run(clone / "test", cwd=clone, PYTHON=str(python))
    assert result.returncode == 0, result.stderr
    assert "Installing requirements.txt into .venv" in result.stderr
    assert "-r requirements.txt" in log.read_text()
    assert (clone / ".venv" / "installed-requirements.txt").read_text() == "# nothing\n"


def test_no_python_that_is_new_enough(clone, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("dirname", "cmp", "cp", "bash"):
        (programs / name).symlink_to(shutil.which(name))
    for name in ("python3", "python3.11"):  # an old one fails the question for its version
        (programs / name).write_text("#!/bin/bash\nexit 1\n")
        (programs / name).chmod(0o755)
    result = run("/bin/bash", clone / "test", cwd=clone, PATH=str(programs), PYTHON="")
    assert result.returncode != 0
    assert "error: no Python 3.11 or later found" in result.stderr
    assert not (clone / ".venv").exists()


@pytest.fixture
def image(clone, tmp_path) -> Path:
    """The environment that an image holds, made for the pins of the clone; its Snakemake tells where it is."""
    folder = tmp_path / "image"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "snakemake").write_text('#!/bin/sh\necho "$PYTHONPATH: $*"\n')
    (folder / "bin" / "snakemake").chmod(0o755)
    shutil.copy(clone / "requirements.txt", folder / "installed-requirements.txt")
    return folder


def test_in_an_image_its_environment_runs_the_code_of_the_clone(clone, image):
    result = run(clone / "test", "-n", cwd=clone.parent, OMF_ENVIRONMENT=str(image))
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{clone}: -n\n"
    assert result.stderr == ""
    assert not (clone / ".venv").exists()


def test_an_image_that_was_made_for_other_pins_is_refused(clone, image):
    (clone / "requirements.txt").write_text("# newer pins\n")
    result = run(clone / "test", cwd=clone, OMF_ENVIRONMENT=str(image))
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "error: this image holds other packages than requirements.txt pins; build it anew" in result.stderr
    assert not (clone / ".venv").exists()


def test_the_pins_for_development_hold_those_for_a_run():
    run_pins, dev_pins = (
        {line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")}
        for name in ("requirements.txt", "requirements-dev.txt")
    )
    # the same line, or the same version on every machine
    assert all(pin in dev_pins or pin.partition(" ;")[0] in dev_pins for pin in run_pins)
    assert len(run_pins) < len(dev_pins)
    assert "torch==2.13.0" in run_pins
