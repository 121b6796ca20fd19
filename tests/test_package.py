"""The package for an index: what the wheel contains, and what it needs."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, run
from packaging.requirements import Requirement
from removal import remove_in_background
from snakemake.report import html_reporter

from omf.models.registry import read_models
from omf.utils.errors import EXTRAS, one_line_message
from omf.utils.version import VERSION

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Build wheel and sdist from the files of this checkout."""
    out = tmp_path_factory.mktemp("built")
    build = (
        "import os, sys; from hatchling.build import build_sdist, build_wheel;"
        " os.chdir(sys.argv[1]); build_wheel(sys.argv[2]); build_sdist(sys.argv[2])"
    )
    answer = run(sys.executable, "-c", build, ROOT, out)
    assert answer.returncode == 0, answer.stderr
    return out


def names_in(built: Path, suffix: str) -> set[str]:
    (path,) = built.glob(f"*{suffix}")
    if suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist())
    with tarfile.open(path) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def test_the_wheel_holds_program_models_and_cameras(built):
    names = names_in(built, ".whl")
    for model in read_models().values():
        for file in model.files:
            if file.path.is_file():
                assert f"omf/trained_models/{model.name}/{file.path.name}" in names
    wanted = {"omf/py.typed", "omf/cli.py", "omf/scripts/infer.py", "omf/trained_models/models.yaml"}
    assert wanted | {f"omf/cameras/{path.name}" for path in (ROOT / "cameras").glob("*.yaml")} <= names
    assert {f"omf/app/examples/{path.name}" for path in (ROOT / "omf/app/examples").iterdir()} <= names
    assert not {name for name in names if name.startswith(("tests/", "docs/"))}


def test_the_sdist_holds_all_that_a_checkout_has(built):
    names = names_in(built, ".tar.gz")
    wanted = {"Snakefile", "workflow/Snakefile", "config.yaml", "test", "check", "README.md", "LICENSE"}
    wanted |= {"tests/conftest.py", "docs/method.md", "containers/Dockerfile", "test_rgb/coffee.jpg"}
    assert wanted | {"omf/py.typed"} <= names


def test_twine_accepts_both(built):
    answer = run(sys.executable, "-m", "twine", "check", "--strict", *built.iterdir())
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.count("PASSED") == 2


def test_optional_modules_are_told_with_their_extra():
    extras = PROJECT["optional-dependencies"]
    names = {"skimage": "scikit-image"}
    for module, extra in EXTRAS.items():
        assert any(line.startswith(names.get(module, module)) for line in extras[extra])
        assert not any(line.startswith(names.get(module, module)) for line in PROJECT["dependencies"])
        line = one_line_message(ModuleNotFoundError(f"No module named '{module}'", name=module))
        assert line.endswith(f"pip install 'overexposure-mask-fusion[{extra}]'")
    assert "bug in the program" in one_line_message(ModuleNotFoundError("No module named 'x'", name="x"))


(OLDEST,) = (line.partition(">=")[2] for line in PROJECT["dependencies"] if line.startswith("torch"))
PINNED = (ROOT / "requirements-torch.txt").read_text().split("torch==")[1].strip()


def test_the_range_of_pytorch_contains_the_pinned_version():
    assert tuple(map(int, OLDEST.split("."))) <= tuple(map(int, PINNED.split(".")[:2]))


def test_models_of_the_user_survive_an_upgrade(built, tmp_path):
    """The wheel unpacked is an installed package; a newer one replaces its files."""
    site, work, home = (tmp_path / name for name in ("site", "work", "home"))
    shutil.copytree(ROOT / "workflow", work / "flow" / "workflow")
    shutil.copy(ROOT / "config.yaml", work / "flow")
    settings = {"PYTHONPATH": str(site), "HOME": str(home), "XDG_DATA_HOME": "", "OMF_HOME": ""}
    program = 'from omf.models.registry import register_model as r; r("2024", {"method": "inverse"})'
    snakemake = ("snakemake", "--snakefile", work / "flow" / "workflow" / "Snakefile", "--cores", 1, "-n")
    snakemake += ("train", "--config", f"images={ROOT / 'test_rgb'}", "ground_truth=")
    own = home / ".local" / "share" / "omf" / "trained_models"

    def install() -> None:
        shutil.rmtree(site, ignore_errors=True)
        (wheel,) = built.glob("*.whl")
        shutil.unpack_archive(wheel, site, "zip")

    install()
    assert run(sys.executable, "-c", program, cwd=work, **settings).returncode == 0
    assert (own / "local.yaml").is_file()
    install()
    listed = run(sys.executable, "-m", "omf", "models", "list", cwd="/", **settings)
    assert listed.stdout.count("2024 ") == 1 and "samsung_s7" in listed.stdout
    planned = run(*snakemake, "model=2024", cwd=work, **settings)
    assert f"output: {own}/my_model/README.md" in planned.stdout, planned.stderr
    assert {path.name for path in own.iterdir()} == {"local.yaml", ".lock"}
    unknown = run(*snakemake, "model=2025", cwd=work, **settings)
    assert "model 2025: neither listed nor a folder" in unknown.stdout + unknown.stderr


def test_the_pins_hold_what_snakemake_imports_for_a_report():
    pinned = {line.split("==")[0] for line in (ROOT / "requirements.txt").read_text().splitlines()}
    source = "\n".join(path.read_text() for path in Path(html_reporter.__file__).parent.rglob("*.py"))
    imported = set(re.findall(r"^\s*(?:import|from) (\w+)", source, re.MULTILINE))
    distributions = packages_distributions()
    needed = {distributions[name][0].lower() for name in imported & distributions.keys()}
    assert {"pygments", "jinja2"} <= needed
    assert needed <= pinned


@pytest.fixture
def environment(tmp_path) -> Iterator[Path]:
    """Return an empty environment, and remove it afterwards: PyTorch for CUDA takes 7 GB."""
    folder = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    yield folder
    remove_in_background(folder)


def link_requirements(environment: Path) -> None:
    """Put what the package asks for into an environment, from the one that runs this."""
    (site,) = environment.glob("lib/python*/site-packages")
    names, done = list(PROJECT["dependencies"]), set()
    while names:
        needed = Requirement(names.pop())
        if needed.name in done or (needed.marker and not needed.marker.evaluate({"extra": ""})):
            continue
        done.add(needed.name)
        installed = distribution(needed.name)
        names += installed.requires or []
        for top in {file.parts[0] for file in installed.files} - {"..", "__pycache__"}:
            if not (site / top).exists():  # packages may share a folder
                (site / top).symlink_to(installed.locate_file(top))


# each model and format, in one process: loading PyTorch takes longer than the photo
PREDICT = """
import sys
from omf.cli import main

photo = sys.argv[1]
for model in ("samsung_s7", "generic_phone", "unprocess", "inverse"):
    for kind in ("npy", "dng"):
        options = ("-o", model, "--model", model, "--format", kind)
        sys.argv = ["omf", "predict", photo, *options]
        try:
            main()
        except SystemExit as end:
            assert not end.code, (model, kind, end.code)
"""


@pytest.mark.slow
@pytest.mark.parametrize("torch", [PINNED, f"{OLDEST}.0"])
def test_the_wheel_works_in_a_bare_environment(built, environment, tmp_path, torch):
    """With what the wheel asks for and nothing else, from a folder that is no checkout.

    The packages are those pinned, then the newest of an index.
    """
    (wheel,) = built.glob("*.whl")
    # with its cache, pip would store all files twice
    install = ("install", "--quiet", "--no-cache-dir", "--no-compile", wheel, f"torch=={torch}")
    if torch == PINNED:
        link_requirements(environment)
        install += ("--no-index",)
    elif shutil.disk_usage(tmp_path).free < 20e9:
        pytest.skip("another version of PyTorch may take 7 GB, and there are less than 20 GB left")
    answer = run(sys.executable, "-m", "pip", "--python", environment / "bin" / "python", *install)
    assert answer.returncode == 0, answer.stderr
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}

    def command(*arguments: object) -> subprocess.CompletedProcess:
        program = environment / "bin" / arguments[0]
        variables = (f"{name}={value}" for name, value in bare.items())
        return run("env", "-i", *variables, program, *arguments[1:], cwd=tmp_path)

    version = command("python", "-c", "import torch; print(torch.__version__)").stdout
    assert version.partition("+")[0].strip() == torch
    assert command("omf", "--version").stdout == f"omf {VERSION}\n"
    assert command("python", "-c", "import snakemake").returncode == 1
    answer = command("python", "-c", PREDICT, ROOT / "test_rgb" / "coffee.jpg")
    assert answer.returncode == 0, answer.stderr
    raw = np.load(tmp_path / "samsung_s7" / "coffee.npy")
    assert (raw.shape, raw.dtype) == ((98, 148, 4), np.uint16)
    answer = command("omf", "evaluate", "samsung_s7", ROOT / "test_raw", "--photos", ROOT / "test_rgb")
    assert "coffee" in answer.stdout
    for line in ("render samsung_s7 -o pictures", "models verify", "selftest --device cpu"):
        answer = command("omf", *line.split())
        assert "is not installed, which this needs" not in answer.stderr, (line, answer.stderr)
    answer = command("omf", "train", "-o", "model")
    assert answer.returncode == 1
    assert answer.stderr == (
        "error: skimage is not installed, which this needs; pip install 'overexposure-mask-fusion[train]'\n"
    )
