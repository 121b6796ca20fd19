"""`snakemake --cores all train` on a clean checkout, and the model that it produces."""

import shutil
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, draw_few_scenes, project_files
from warm_snakemake import run_warm

pytestmark = pytest.mark.slow


@pytest.fixture
def checkout(tmp_path) -> Path:
    """Return a copy of the files of the project, for short trainings."""
    for path in project_files():
        copy = tmp_path / "omf" / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    draw_few_scenes(tmp_path / "omf")
    return tmp_path / "omf"


def snakemake(checkout: Path, *arguments: str):
    # use the checkout's library, not the installed one
    return run_warm(*arguments, cwd=checkout, PYTHONPATH=str(checkout))


def test_a_trained_model_works_in_the_workflow(checkout):
    config = yaml.safe_load((checkout / "config.yaml").read_text())
    config["training"] |= {
        "widths": [4, 6],
        "patch_size": 40,
        "batch_size": 2,
        "iterations": {"base": 4, "demosaic": 4, "noe": 4, "oe": 4, "spread": 4},
        "name": "tiny",
    }
    config["device"] = "cpu"
    (checkout / "config.yaml").write_text(yaml.safe_dump(config))
    trained = snakemake(checkout, "--cores", "all", "train")
    assert trained.returncode == 0, trained.stderr
    assert "noe 4 of 4: loss " in trained.stderr  # progress is shown during the run
    assert "model tiny is ready: ./test --config model=tiny" in trained.stderr
    folder = checkout / "trained_models" / "tiny"
    networks = {f"{stage}.safetensors" for stage in ("base", "demosaic", "noe", "oe", "spread")}
    names = {path.name for path in folder.glob("[!.]*")}
    assert names == networks | {"README.md", "curves.png", "log.csv"}

    used = snakemake(checkout, "--config", "model=tiny")
    assert used.returncode == 0, used.stderr
    assert "12 images reconstructed with model tiny" in used.stderr
    assert (checkout / "submission" / "submission.zip").is_file()

    again = snakemake(checkout, "--cores", "all", "train")
    assert "Nothing to be done" in again.stderr
    # more iterations for OE: the other two networks are not trained again
    config["training"]["iterations"]["oe"] = 6
    (checkout / "config.yaml").write_text(yaml.safe_dump(config))
    more = snakemake(checkout, "--cores", "all", "train")
    assert more.returncode == 0, more.stderr
    assert "oe 6 of 6" in more.stderr
    assert "noe 4 of" not in more.stderr


def test_a_failed_training_reports_the_reason(checkout):
    settings = ("--config", "training={name: tiny, pairs: nowhere}")
    result = snakemake(checkout, "--cores", "all", "train", *settings)
    assert result.returncode != 0
    assert "nowhere: no such folder" in result.stderr
    assert "rule train_network" not in result.stderr  # reported before training starts
    assert "Traceback" not in result.stderr
