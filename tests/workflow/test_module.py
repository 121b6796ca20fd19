"""The workflow as a module of another one, and the files of the workflow catalogue."""

import shutil
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from warm_snakemake import run_warm
from workflow_runs import read_json

from omf.pipeline.config import Config

IMPORTER = """
configfile: "my.yaml"


rule everything:
    default_target: True
    input:
        "listed.txt",


module omf:
    snakefile:
        {snakefile!r}
    config:
        config["omf"]
{prefix}

use rule * from omf as omf_*


rule list_files:
    input:
        "{folder}submission/submission.zip",
        "{folder}results/problems.txt",
    output:
        "listed.txt",
    shell:
        "echo {{input:q}} > {{output}}"


onsuccess:
    print("the importer's own")
"""


@pytest.fixture
def project(tmp_path: Path, photo_folder: Path):
    """Return a function that writes a workflow that imports ours, and its folder."""

    def write(prefix: str = "", **settings: object) -> Path:
        folder = tmp_path / "project"
        folder.mkdir()
        shutil.copytree(photo_folder, folder / "photos")
        values = {"images": "photos", "ground_truth": "", "model": "inverse"} | settings
        (folder / "my.yaml").write_text(yaml.safe_dump({"mine": 1, "omf": values}))
        text = IMPORTER.format(
            snakefile=str(ROOT / "Snakefile"),
            prefix=f'    prefix:\n        "{prefix}"\n' if prefix else "",
            folder=f"{prefix}/" if prefix else "",
        )
        (folder / "Snakefile").write_text(text)
        return folder

    return write


def snakemake(folder: Path, *arguments: object, code: int = 0) -> str:
    """Run Snakemake in a folder, assert that it has this exit code, and return what it says."""
    result = run_warm("--cores", 2, *arguments, cwd=folder)
    said = result.stdout + result.stderr
    assert result.returncode == code, said
    return said


def check_run(folder: Path, prefix: str) -> None:
    """Run the importing workflow, to its end and once more."""
    assert "the importer's own" in snakemake(folder)
    summary = read_json(folder / prefix, "summary")
    assert summary["images"] == 4 and summary["problems"] == []
    assert (folder / prefix / "submission" / "report.html").is_file()
    assert "Nothing to be done" in snakemake(folder)


def test_another_workflow_runs_ours_below_a_prefix(project):
    prefix = "a b/it's $(touch hacked) & c"
    folder = project(prefix)
    check_run(folder, prefix)
    expected = {"Snakefile", "my.yaml", "photos", "listed.txt", ".snakemake", Path(prefix).parts[0]}
    assert {path.name for path in folder.iterdir()} == expected


@pytest.mark.slow
def test_a_bad_photo_fails_the_importer_and_keeps_the_rest(project):
    folder = project()
    (folder / "photos" / "bad.jpg").write_text("no photo")
    said = snakemake(folder, "--keep-going", "--show-failed-logs", code=1)
    assert "bad.jpg: not a picture that can be read" in said
    assert (folder / "submission" / "chart.npy").is_file()
    (folder / "photos" / "bad.jpg").unlink()
    check_run(folder, "")


def test_settings_of_the_module_are_checked(project):
    assert "did you mean images?" in snakemake(project(imagez="photos"), "-n", code=1).lower()


def test_training_as_a_module(project):
    assert "raw/results/training/my_model/base.done" in snakemake(project("raw"), "-n", "omf_train")


def test_files_of_the_catalogue(tmp_path):
    assert 'include: "workflow/Snakefile"' in (ROOT / "Snakefile").read_text()
    said = snakemake(tmp_path, "--snakefile", ROOT / "workflow" / "Snakefile", "-n")
    for rule in ("preprocess", "infer", "package", "report", "check_problems"):
        assert f"rule {rule}:" in said
    readme = (ROOT / "config" / "README.md").read_text()
    assert "(../config.yaml)" in readme
    for name in ("images", "ground_truth", "model", "output_format"):
        assert f"`{name}`" in readme and name in Config.model_fields
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage.keys() <= {"mandatory-flags", "software-stack-deployment", "report"}
    deployment = usage["software-stack-deployment"]
    assert deployment == {"conda": False, "singularity": True, "singularity+conda": False}
