"""./test and the environment that it makes."""

import re
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT, run

from omf.utils.files import sha256


@pytest.fixture
def clone(tmp_path) -> Path:
    """The launcher in a folder of its own, with nothing to install and a stand-in for Snakemake."""
    folder = tmp_path / "a clone"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "test", folder)
    for script in ("environment.sh", "packages.sh"):
        shutil.copy(ROOT / "scripts" / script, folder / "scripts")
    for pins in ("requirements.txt", "requirements-torch.txt"):
        (folder / pins).write_text("# nothing\n")
    return folder


def mark_as_installed(clone: Path, environment: Path) -> None:
    for pins in clone.glob("requirements*.txt"):
        shutil.copy(pins, environment / f"installed-{pins.name}")


def test_an_environment_that_is_there_is_used_at_once(clone):
    program = clone / ".venv" / "bin" / "snakemake"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "in $PWD with $*"\n')
    program.chmod(0o755)
    mark_as_installed(clone, clone / ".venv")
    result = run(clone / "test", "-n", "--config", "images=my photos", cwd=clone.parent)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"in {clone} with -n --config images=my photos\n"
    assert result.stderr == ""


@pytest.mark.parametrize("changed", ["requirements.txt", "requirements-torch.txt"])
def test_other_pins_are_installed(clone, tmp_path, changed):
    log = tmp_path / "log"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$*" >> {log}\ncase "$2" in *sysconfig*) echo {tmp_path};; esac\n')
    python.chmod(0o755)
    (clone / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(python, clone / ".venv" / "bin" / "python")
    shutil.copy(python, clone / ".venv" / "bin" / "snakemake")
    mark_as_installed(clone, clone / ".venv")
    (clone / ".venv" / f"installed-{changed}").write_text("# older pins\n")
    result = run(clone / "test", cwd=clone, PYTHON=str(python))
    assert result.returncode == 0, result.stderr
    assert "Installing requirements.txt into .venv" in result.stderr
    by_hash = [line for line in log.read_text().splitlines() if "-r requirements.txt" in line]
    assert by_hash and all("--require-hashes" in line for line in by_hash)
    assert "-r ./requirements-torch.txt" in log.read_text()
    assert (clone / ".venv" / f"installed-{changed}").read_text() == "# nothing\n"


def test_a_package_with_another_hash_is_not_installed(clone, tmp_path):
    wheel = tmp_path / "snakemake-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("snakemake.py", "def main():\n    print('it runs')\n")
        archive.writestr(
            "snakemake-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: snakemake\nVersion: 1.0\n"
        )
        archive.writestr(
            "snakemake-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(
            "snakemake-1.0.dist-info/entry_points.txt", "[console_scripts]\nsnakemake = snakemake:main\n"
        )
        archive.writestr("snakemake-1.0.dist-info/RECORD", "")
    setting = {"PYTHON": sys.executable, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    pins = clone / "requirements.txt"
    pins.write_text(f"snakemake==1.0 --hash=sha256:{'0' * 64}\n")
    result = run(clone / "test", cwd=clone, **setting)
    assert result.returncode == 1
    assert "DO NOT MATCH THE HASHES" in result.stderr  # pip's words, then ours
    assert result.stderr.splitlines()[-1].startswith(
        "error: requirements.txt is not installed, for the reason that pip gives above"
    )
    assert not list((clone / ".venv").rglob("snakemake*"))
    assert not (clone / ".venv" / "installed-requirements.txt").exists()

    pins.write_text(f"snakemake==1.0 --hash=sha256:{sha256(wheel)}\n")
    result = run("sh", "scripts/packages.sh", clone / ".venv", pins, clone, cwd=clone, **setting)
    assert result.returncode == 0, result.stderr
    assert run(clone / "test", cwd=clone).stdout == "it runs\n"
    # and the program is registered, from wherever it is called
    (clone / "omf").mkdir()
    (clone / "omf" / "__main__.py").write_text("import sys\nprint('omf of the clone', sys.argv[1:])\n")
    assert (
        run(clone / ".venv" / "bin" / "omf", "a b", cwd=tmp_path, PYTHONPATH="").stdout
        == "omf of the clone ['a b']\n"
    )


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
    mark_as_installed(clone, folder)
    return folder


def test_in_an_image_its_environment_runs_the_code_of_the_clone(clone, image):
    result = run(clone / "test", "-n", cwd=clone.parent, OMF_ENVIRONMENT=str(image))
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{clone}: -n\n"
    assert result.stderr == ""
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize("changed", ["requirements.txt", "requirements-torch.txt"])
def test_an_image_that_was_made_for_other_pins_is_refused(clone, image, changed):
    (clone / changed).write_text("# newer pins\n")
    result = run(clone / "test", cwd=clone, OMF_ENVIRONMENT=str(image))
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "error: this image holds other packages than requirements.txt pins; build it anew" in result.stderr
    assert not (clone / ".venv").exists()


def pinned(name: str) -> dict[str, set[str]]:
    """The hashes of each pin, with its condition, of a requirements file."""
    text = re.sub(r"^#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE).replace("\\\n", "")
    return {
        line.partition(" --hash")[0].strip(): set(re.findall(r"--hash=(\S+)", line))
        for line in text.splitlines()
    }


def test_the_pins_for_development_hold_those_for_a_run():
    run_pins, dev_pins = pinned("requirements.txt"), pinned("requirements-dev.txt")
    for pin, hashes in run_pins.items():
        # the same line, or the same version on every machine
        assert dev_pins.get(pin, dev_pins.get(pin.partition(" ;")[0])) == hashes
    assert len(run_pins) < len(dev_pins)


def test_every_package_is_pinned_and_has_hashes_but_pytorch():
    for name in ("requirements.txt", "requirements-dev.txt"):
        for pin, hashes in pinned(name).items():
            assert re.match(r"[a-z0-9-]+==[0-9][^\s]*( ; |$)", pin), pin
            assert hashes and all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in hashes), pin
            assert not pin.startswith(("torch==", "nvidia-"))
        assert "setuptools" in {
            pin.partition("==")[0] for pin in pinned(name)
        }  # which builds those that are no wheels
    assert list(pinned("requirements-torch.txt")) == ["torch==2.13.0"]
    assert '"torch==2.13.0"' in (ROOT / "pyproject.toml").read_text()
