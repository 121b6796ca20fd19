"""The workflow as a module of another one, and the files of the workflow catalogue."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, run
from warm_snakemake import run_warm

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


def snakemake(folder: Path, *arguments: object):
    return run_warm("--cores", 2, *arguments, cwd=folder)


@pytest.mark.parametrize("prefix", ["", "a b/it's $(touch hacked) & c"])
def test_another_workflow_runs_ours(project, prefix):
    folder = project(prefix)
    result = snakemake(folder)
    assert result.returncode == 0, result.stderr
    assert "the importer's own" in result.stdout + result.stderr
    made = folder / prefix
    summary = json.loads((made / "submission" / "summary.json").read_text())
    assert summary["images"] == 4 and summary["problems"] == []
    assert (made / "submission" / "report.html").is_file()
    if prefix:
        expected = {"Snakefile", "my.yaml", "photos", "listed.txt", ".snakemake", Path(prefix).parts[0]}
        assert {path.name for path in folder.iterdir()} == expected
    assert "Nothing to be done" in snakemake(folder).stderr


@pytest.mark.slow
def test_a_bad_photo_fails_the_importer_and_keeps_the_rest(project):
    folder = project("raw")
    (folder / "photos" / "bad.jpg").write_text("no photo")
    result = snakemake(folder, "--keep-going", "--show-failed-logs")
    assert result.returncode == 1
    assert "bad.jpg: not a picture that can be read" in result.stdout + result.stderr
    assert (folder / "raw" / "submission" / "chart.npy").is_file()
    (folder / "photos" / "bad.jpg").unlink()
    assert snakemake(folder).returncode == 0


def test_settings_of_the_module_are_checked(project):
    result = snakemake(project(imagez="photos"), "-n")
    assert result.returncode == 1
    assert "did you mean images?" in (result.stdout + result.stderr).lower()


def test_training_as_a_module(project):
    result = snakemake(project("raw"), "-n", "omf_train")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "raw/results/training/my_model/base.done" in result.stdout


def test_files_of_the_catalogue():
    assert 'include: "workflow/Snakefile"' in (ROOT / "Snakefile").read_text()
    assert (ROOT / "workflow" / "Snakefile").is_file()
    readme = (ROOT / "config" / "README.md").read_text()
    assert "(../config.yaml)" in readme
    for name in ("images", "ground_truth", "model", "output_format"):
        assert f"`{name}`" in readme and name in Config.model_fields
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage.keys() <= {"mandatory-flags", "software-stack-deployment", "report"}
    deployment = usage["software-stack-deployment"]
    assert deployment == {"conda": False, "singularity": True, "singularity+conda": False}


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
def test_both_snakefiles_run_the_whole_workflow(tmp_path, snakefile):
    result = run("snakemake", "--snakefile", ROOT / snakefile, "--cores", 1, "-n", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    for rule in ("preprocess", "infer", "package", "report", "check_problems"):
        assert f"rule {rule}:" in result.stdout
