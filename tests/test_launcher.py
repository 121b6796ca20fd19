"""./test and the environment that it creates."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT, run

from omf.utils.files import sha256
from omf.utils.version import VERSION


@pytest.fixture
def clone(tmp_path) -> Path:
    """Return a copy of the launcher with empty requirements files, for use with a stand-in for Snakemake."""
    folder = tmp_path / "a clone"
    (folder / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "test", folder)
    for script in ("environment.sh", "packages.sh"):
        shutil.copy(ROOT / "tools" / script, folder / "tools")
    for pins in ("requirements.txt", "requirements-torch.txt"):
        (folder / pins).write_text("# nothing\n")
    return folder


def program(path: Path, line: str) -> Path:
    """Write an executable of one shell command."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


def install(clone: Path, environment: Path, line: str) -> None:
    """Make an environment for the clone's pins, whose Snakemake is one shell command."""
    program(environment / "bin" / "snakemake", line)
    for pins in clone.glob("requirements*.txt"):
        shutil.copy(pins, environment / f"installed-{pins.name}")


def outcome(result: subprocess.CompletedProcess) -> tuple[int, str, str]:
    return result.returncode, result.stdout, result.stderr


def test_an_existing_environment_is_used_directly(clone):
    install(clone, clone / ".venv", 'echo "in $PWD with $*"')
    result = run(clone / "test", "-n", "--config", "images=my photos", cwd=clone.parent)
    assert outcome(result) == (0, f"in {clone} with -n --config images=my photos\n", "")


def test_bytecode_is_kept(clone):
    """Packages are installed without; images of Python often set the variable."""
    install(clone, clone / ".venv", 'echo "${PYTHONDONTWRITEBYTECODE-none}"')
    result = run(clone / "test", cwd=clone, PYTHONDONTWRITEBYTECODE="1")
    assert outcome(result) == (0, "none\n", "")


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ("", ""),
        ("-n", "-n"),
        ("--config a=1 b=2 -n", "-n --config a=1 b=2"),
        ("--config a=1 --config b=2 c=3", "--config a=1 b=2 c=3"),
        ("-C a=1 --cores 2 --config=b=x=y", "--cores 2 --config a=1 b=x=y"),
        ("--config a=1 train", "train --config a=1"),
        ("--configfile one.yaml train --configfile two.yaml", "train --configfile one.yaml two.yaml"),
        ("--configfile=one.yaml --config a=1 -- train", "--configfile one.yaml --config a=1 -- train"),
    ],
)
def test_settings_are_collected(clone, given, passed):
    """Snakemake itself would forget the first --config, and take `train` for a setting."""
    install(clone, clone / ".venv", 'printf "%s\\n" "$*"')
    for name in ("one.yaml", "two.yaml"):
        (clone / name).touch()
    assert outcome(run(clone / "test", *given.split())) == (0, f"{passed}\n", "")


def test_a_missing_file_of_settings_is_one_line(clone):
    install(clone, clone / ".venv", "")
    for given in ("--configfile none.yaml", "--configfile=none.yaml -n"):
        result = run(clone / "test", *given.split())
        assert result.returncode == 1
        assert result.stderr.startswith("error: none.yaml: no such file; give a YAML file of settings")
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("changed", ["requirements.txt", "requirements-torch.txt"])
def test_changed_pins_are_installed(clone, tmp_path, changed):
    log = tmp_path / "log"
    install(clone, clone / ".venv", "")
    python = program(tmp_path / "python", f'echo "$*" >> {log}')
    shutil.copy(python, clone / ".venv" / "bin" / "python")
    (clone / ".venv" / f"installed-{changed}").write_text("# older pins\n")
    result = run(clone / "test", cwd=clone, PYTHON=str(python))
    assert result.returncode == 0, result.stderr
    assert "Installing requirements.txt into .venv" in result.stderr
    by_hash = [line for line in log.read_text().splitlines() if "-r requirements.txt" in line]
    assert by_hash and all("--require-hashes" in line for line in by_hash)
    assert "-r ./requirements-torch.txt" in log.read_text()
    assert f"--no-build-isolation --editable {clone}\n" in log.read_text()
    assert (clone / ".venv" / f"installed-{changed}").read_text() == "# nothing\n"


def test_a_package_with_another_hash_is_not_installed(clone, tmp_path):
    wheel, info = tmp_path / "snakemake-1.0-py3-none-any.whl", "snakemake-1.0.dist-info"
    contents = {
        "snakemake.py": "def main():\n    print('it runs')\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: snakemake\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nsnakemake = snakemake:main\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in contents.items():
            archive.writestr(name, text)
    setting = {"PYTHON": sys.executable, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    pins = clone / "requirements.txt"
    pins.write_text(f"snakemake==1.0 --hash=sha256:{'0' * 64}\n")
    result = run(clone / "test", cwd=clone, **setting)
    assert result.returncode == 1
    assert "DO NOT MATCH THE HASHES" in result.stderr  # pip's message, then ours
    ours = "error: requirements.txt is not installed, for the reason that pip gives above"
    assert result.stderr.splitlines()[-1].startswith(ours)
    assert not list((clone / ".venv").rglob("snakemake*"))
    assert not (clone / ".venv" / "installed-requirements.txt").exists()

    pins.write_text(f"snakemake==1.0 --hash=sha256:{sha256(wheel)}\n")
    result = run("sh", "tools/packages.sh", clone / ".venv", pins, cwd=clone, **setting)
    assert result.returncode == 0, result.stderr
    assert run(clone / "test", cwd=clone).stdout == "it runs\n"


def test_the_program_is_installed_for_any_folder(tmp_path):
    installed = run(Path(sys.executable).parent / "omf", "--version", cwd=tmp_path, PYTHONPATH="")
    assert installed.stdout == f"omf {VERSION}\n"


def test_no_suitable_python(clone, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("dirname", "cmp", "cp", "bash"):
        (programs / name).symlink_to(shutil.which(name))
    for name in ("python3", "python3.11"):  # an old Python fails the version check
        program(programs / name, "exit 1")
    result = run("/bin/bash", clone / "test", cwd=clone, PATH=str(programs), PYTHON="")
    assert result.returncode != 0
    assert "error: no Python 3.11 or later found" in result.stderr
    assert not (clone / ".venv").exists()


def test_the_environment_of_an_image_runs_the_code_of_the_clone_if_the_pins_are_the_same(clone, tmp_path):
    install(clone, tmp_path / "image", 'echo "$PYTHONPATH: $*"')
    environment = {"OMF_ENVIRONMENT": str(tmp_path / "image")}
    result = run(clone / "test", "-n", cwd=clone.parent, **environment)
    assert outcome(result) == (0, f"{clone}: -n\n", "")
    for changed in ("requirements.txt", "requirements-torch.txt"):
        before = (clone / changed).read_text()
        (clone / changed).write_text("# newer pins\n")
        result = run(clone / "test", cwd=clone, **environment)
        (clone / changed).write_text(before)
        assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
        line = "error: this image holds other packages than requirements.txt pins; build it anew"
        assert line in result.stderr
    assert not (clone / ".venv").exists()


def pinned(name: str) -> dict[str, set[str]]:
    """Return the hashes of each pin (with its condition) in a requirements file."""
    text = re.sub(r"^#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE).replace("\\\n", "")
    return {
        line.partition(" --hash")[0].strip(): set(re.findall(r"--hash=(\S+)", line))
        for line in text.splitlines()
    }


def test_the_development_pins_include_the_runtime_pins():
    run_pins, dev_pins = pinned("requirements.txt"), pinned("requirements-dev.txt")
    for pin, hashes in run_pins.items():
        # the same line, or the same version without a condition
        assert dev_pins.get(pin, dev_pins.get(pin.partition(" ;")[0])) == hashes
    assert len(run_pins) < len(dev_pins)


def test_every_package_but_pytorch_is_pinned_with_hashes():
    for name in ("requirements.txt", "requirements-dev.txt"):
        for pin, hashes in pinned(name).items():
            assert re.match(r"[a-z0-9-]+==[0-9][^\s]*( ; |$)", pin), pin
            assert hashes and all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in hashes), pin
            assert not pin.startswith(("torch==", "nvidia-"))
        # builds the packages without wheels
        assert "setuptools" in {pin.partition("==")[0] for pin in pinned(name)}
    assert list(pinned("requirements-torch.txt")) == ["torch==2.13.0"]
    # the package itself accepts other versions: tests/test_package.py
