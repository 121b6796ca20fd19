"""The image in a real Apptainer: built from its definition, run by an ordinary user, used by Snakemake."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import run
from container.apptainer import USER, Apptainer
from container.clones import (
    SUBMITTED,
    change_owner,
    check_entry,
    compare_with_outside,
    copy_photos,
    make_clone,
    npy,
    owners,
)
from container.engine import COMMIT
from warm_snakemake import run_warm
from workflow_runs import read_json

from omf import __version__

pytestmark = pytest.mark.slow

SNAKEMAKE = Path(sys.executable).parent / "snakemake"


@pytest.fixture
def clone(apptainer) -> Iterator[Path]:
    yield from working_folder(apptainer, make_clone)


@pytest.fixture
def photos(apptainer) -> Iterator[Path]:
    """Return a folder that holds photos and nothing else."""
    yield from working_folder(apptainer, lambda folder: copy_photos(folder / "photos").parent)


def working_folder(apptainer: Apptainer, fill: Callable[[Path], Path]) -> Iterator[Path]:
    """Yield a filled folder of an ordinary user, where that user can enter: not below a folder of root."""
    folder = fill(apptainer.folder / "work")
    yield change_owner(folder, USER)
    shutil.rmtree(folder)


def test_its_own_test(apptainer, sif):
    output = apptainer("test", sif, cwd=sif.parent, user=USER).stdout
    assert f"omf {__version__}\n" in output


def test_labels(apptainer, sif):
    output = apptainer("inspect", "--json", sif, cwd=sif.parent).stdout
    labels = json.loads(output)["data"]["attributes"]["labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_a_clone_gives_the_same_entry_as_outside(apptainer, sif, clone):
    apptainer("run", sif, cwd=clone, user=USER)
    check_entry(clone, USER)
    assert read_json(clone, "scores")["mean"]["psnr"] > 10
    compare_with_outside(clone, lambda *call: apptainer("exec", sif, *call, cwd=clone, user=USER).stdout)


def test_a_folder_of_photos_alone(apptainer, sif, photos):
    apptainer("run", sif, cwd=photos, user=USER)
    assert check_entry(photos, USER)["commit"] == COMMIT
    apptainer("exec", sif, "omf", "predict", "photos", "-o", "raw", cwd=photos, user=USER)
    assert {path.name: path.read_bytes() for path in sorted((photos / "raw").glob("*.npy"))} == npy(photos)
    assert owners(photos) == {(USER, USER)}


def test_a_path_with_a_space(apptainer, sif, photos):
    folder = photos / "my photos"
    (photos / "photos").rename(folder)
    apptainer("run", sif, "omf", "predict", "my photos", "-o", "my raw", cwd=photos, user=USER)
    apptainer("run", sif, "omf", "predict", ".", "-o", "raw", cwd=folder, user=USER)
    for out in (photos / "my raw", folder / "raw"):
        assert sorted(path.name for path in out.glob("*.npy")) == SUBMITTED


def test_the_image_is_read_only(apptainer, sif, photos):
    result = apptainer("exec", sif, "touch", "/opt/omf/file", cwd=photos, user=USER, check=False)
    assert result.returncode != 0
    assert "Read-only file system" in result.stderr


def test_the_code_of_a_clone_takes_precedence(apptainer, sif, clone):
    code = "import omf; print(omf.__file__)"
    output = apptainer("run", sif, "python", "-c", code, cwd=clone, user=USER).stdout
    assert output == f"{clone}/omf/__init__.py\n"
    output = apptainer("run", sif, "python", "-c", code, cwd=sif.parent, user=USER).stdout
    assert output == "/opt/omf/omf/__init__.py\n"


def test_an_image_of_docker(thorough, apptainer, docker, image, photos):
    if not thorough:
        pytest.skip("takes minutes; give --thorough")
    archive = apptainer.folder / "docker.tar"
    converted = apptainer.folder / "converted.sif"
    docker("save", "--output", archive, image)
    archive.chmod(0o644)
    try:
        apptainer.build(converted, f"docker-archive:{archive}", cwd=apptainer.folder)
        apptainer("run", converted, "omf", "predict", "photos", "-o", "raw", cwd=photos, user=USER)
        assert sorted(path.name for path in (photos / "raw").glob("*.npy")) == SUBMITTED
        assert owners(photos) == {(USER, USER)}
    finally:
        archive.unlink()
        converted.unlink(missing_ok=True)


def test_snakemake_runs_every_rule_in_the_image(apptainer, sif, tmp_path):
    """Run in a folder with a space; tests/cluster/ has a run in the clone itself."""
    clone, folder = make_clone(tmp_path / "clone"), tmp_path / "my run"
    with (clone / "omf" / "__init__.py").open("a") as code:
        code.write("\nimport sys\n\nprint(__file__, sys.executable, file=sys.stderr)\n")
    (clone / "containers" / "omf.sif").hardlink_to(sif)
    folder.mkdir()
    command = (SNAKEMAKE, "--profile", "profiles/apptainer", "--directory", folder)
    result = run(*command, cwd=clone, PATH=apptainer.path, PYTHONPATH=str(clone))
    assert result.returncode == 0, result.stderr

    for rule in ("preprocess", "infer", "mosaic", "evaluate"):
        (log,) = folder.glob(f"results/logs/{rule}/*.log")
        assert f"{clone}/omf/__init__.py /opt/venv/bin/python\n" in log.read_text(), rule
    assert read_json(folder, "scores")["mean"]["psnr"] > 10
    assert (folder / "submission" / "submission.zip").is_file()
    (made_by,) = read_json(folder, "provenance")["environments"]
    assert made_by["image"] == f"overexposure-mask-fusion {__version__}"
    assert {path.name for path in folder.iterdir()} == {".snakemake", "results", "submission"}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("clone", "not there; build it as containers/README.md tells"),
        ("my clone", "Snakemake takes no image from a path with a space; move this clone to one without"),
    ],
)
def test_an_image_that_cannot_be_used_is_reported_at_start_up(tmp_path, name, problem):
    clone = make_clone(tmp_path / name)
    if name == "my clone":
        (clone / "containers" / "omf.sif").touch()
    result = run_warm("-n", "--sdm", "apptainer", cwd=clone, PYTHONPATH=str(clone))
    assert result.returncode == 1
    output = result.stdout + result.stderr
    assert f"{clone}/containers/omf.sif: {problem}" in output
    assert "Traceback" not in output
