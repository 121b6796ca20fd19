"""`snakemake --cores all train` on a clean checkout, and the model that it leaves."""

import shutil
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, files_of_the_project, run

pytestmark = pytest.mark.slow


@pytest.fixture
def checkout(tmp_path) -> Path:
    """The files of the project, in a folder of their own."""
    for path in files_of_the_project():
        copy = tmp_path / "omf" / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return tmp_path / "omf"


def snakemake(checkout: Path, *arguments: str):
    # the checkout's own library, not the one that is installed
    return run(Path(sys.executable).parent / "snakemake", *arguments, cwd=checkout, PYTHONPATH=str(checkout))


def test_training_ends_with_a_model_that_the_workflow_can_use(checkout):
    config = yaml.safe_load((checkout / "config.yaml").read_text())
    config["training"] |= {
        "widths": [4, 6],
        "patch": 40,
        "batch": 2,
        "steps": {"demosaic": 4, "noe": 4, "oe": 4},
        "name": "tiny",
    }
    config["device"] = "cpu"
    (checkout / "config.yaml").write_text(yaml.safe_dump(config))
    trained = snakemake(checkout, "--cores", "all", "train")
    assert trained.returncode == 0, trained.stderr
    assert "noe step 4 of 4: loss " in trained.stderr  # progress is seen as it comes
    assert "model tiny is ready: ./test --config model=tiny" in trained.stderr
    folder = checkout / "trained_models" / "tiny"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README.md", "curves.png", "demosaic.safetensors", "log.csv", "noe.safetensors", "oe.safetensors")
    ]

    used = snakemake(checkout, "--config", "model=tiny")
    assert used.returncode == 0, used.stderr
    assert "12 images reconstructed with model tiny" in used.stderr
    assert (checkout / "submission" / "submission.zip").is_file()

    again = snakemake(checkout, "--cores", "all", "train")
    assert "Nothing to be done" in again.stderr
    # more steps for OE: the other two are not trained again
    config["training"]["steps"]["oe"] = 6
    (checkout / "config.yaml").write_text(yaml.safe_dump(config))
    more = snakemake(checkout, "--cores", "all", "train")
    assert more.returncode == 0, more.stderr
    assert "oe step 6 of 6" in more.stderr
    assert "noe step" not in more.stderr


def test_a_training_that_fails_says_why(checkout):
    result = snakemake(
        checkout, "--cores", "all", "train", "--config", "training={name: tiny, pairs: nowhere}"
    )
    assert result.returncode != 0
    assert "nowhere: no such folder" in result.stderr
    assert "rule train_network" not in result.stderr  # told before anything is trained
    assert "Traceback" not in result.stderr
