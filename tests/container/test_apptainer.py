"""Tests of the Apptainer support without Apptainer: Docker builds the definition and replaces the command."""

import json
import sys
from pathlib import Path

import pytest
from conftest import run
from container.clones import change_owner, make_clone, owners
from container.engine import COMMIT, read_calls, stand_in_for_apptainer

from omf import __version__

pytestmark = pytest.mark.slow

USER = 1234
SNAKEMAKE = Path(sys.executable).parent / "snakemake"


def apptainer_run(docker, image, folder: Path, section: str, *arguments: str):
    """Run a section as Apptainer does: read-only image, caller's user, folder at its own path."""
    script = f'. /.singularity.d/environment && exec /bin/sh /.singularity.d/{section} "$@"'
    options = (
        "--read-only",
        "--tmpfs",
        "/tmp",
        "--user",
        f"{USER}:{USER}",
        "--volume",
        f"{folder}:{folder}",
        "--workdir",
        folder,
    )
    return docker("run", "--rm", *options, image, "/bin/sh", "-c", script, "sh", *arguments)


def test_the_definition_runs_a_clone(docker, definition_image, tmp_path):
    clone = change_owner(make_clone(tmp_path / "clone"), USER)
    apptainer_run(docker, definition_image, clone, "runscript")
    assert json.loads((clone / "submission" / "scores.json").read_text())["mean"]["psnr"] > 10
    assert (clone / "submission" / "submission.zip").is_file()
    assert owners(clone) == {(USER, USER)}


def test_the_definition_runs_commands_and_its_own_test(docker, definition_image, tmp_path):
    folder = change_owner(tmp_path, USER)
    assert f"omf {__version__}\n" in apptainer_run(docker, definition_image, folder, "test").stdout
    code = "import omf, os; print(omf.__file__, os.getcwd(), os.environ['OMF_IMAGE'])"
    output = apptainer_run(docker, definition_image, folder, "runscript", "python", "-c", code).stdout
    assert output == f"/opt/omf/omf/__init__.py {folder} overexposure-mask-fusion {__version__}\n"
    assert (
        apptainer_run(docker, definition_image, folder, "runscript", "cat", "/opt/omf/COMMIT").stdout
        == f"{COMMIT}\n"
    )


@pytest.fixture
def clone(tmp_path) -> Path:
    """Return a clone whose code logs its own path and that of Python."""
    folder = make_clone(tmp_path / "clone")
    with (folder / "omf" / "__init__.py").open("a") as code:
        code.write("\nimport sys\n\nprint(__file__, sys.executable, file=sys.stderr)\n")
    return folder


def test_snakemake_runs_every_rule_in_the_image(docker, image, clone, tmp_path):
    """Check Snakemake's calls of `apptainer`, here a stand-in, and that the rules work in the image."""
    environment = stand_in_for_apptainer(docker, image, clone, tmp_path)
    before = {path.name for path in clone.iterdir()}
    result = run(SNAKEMAKE, "--profile", "profiles/apptainer", cwd=clone, **environment)
    assert result.returncode == 0, result.stderr

    calls = read_calls(tmp_path)
    assert len(calls) >= 7  # rules
    for call in calls:
        assert call["nv"]
        assert call["home"] == str(clone)
        assert call["image"] == str(clone / "containers" / "omf.sif")
    for rule in ("preprocess", "infer", "mosaic", "evaluate"):
        (log,) = clone.glob(f"results/logs/{rule}/*.log")
        assert f"{clone}/omf/__init__.py /opt/venv/bin/python\n" in log.read_text(), rule
    assert json.loads((clone / "submission" / "scores.json").read_text())["mean"]["psnr"] > 10
    assert (clone / "submission" / "submission.zip").is_file()
    (made_by,) = json.loads((clone / "submission" / "provenance.json").read_text())["environments"]
    assert made_by["image"] == f"overexposure-mask-fusion {__version__}"
    assert {path.name for path in clone.iterdir()} - before == {".snakemake", "results", "submission"}


def test_a_missing_image_is_reported_at_start_up(tmp_path):
    clone = make_clone(tmp_path / "clone")
    result = run(SNAKEMAKE, "-n", "--sdm", "apptainer", cwd=clone, PYTHONPATH=str(clone))
    assert result.returncode == 1
    output = result.stdout + result.stderr
    assert f"{clone}/containers/omf.sif: not there; build it as containers/README.md tells" in output
    assert "Traceback" not in output
