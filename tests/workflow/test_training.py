"""`snakemake --cores all train` on a clean checkout, and the model that it produces."""

from pathlib import Path

import pytest
import yaml
from conftest import draw_few_scenes
from container.clones import PHOTOS, make_clone
from warm_snakemake import run_warm

pytestmark = pytest.mark.slow


@pytest.fixture
def checkout(tmp_path) -> Path:
    """Return a copy of the program, for short trainings."""
    draw_few_scenes(clone := make_clone(tmp_path / "omf"))
    return clone


def snakemake(checkout: Path, *arguments: str, code: int = 0) -> str:
    """Run the checkout with its own library, assert that it has this exit code, and return its messages."""
    result = run_warm(*arguments, cwd=checkout, PYTHONPATH=str(checkout))
    assert result.returncode == code, result.stderr
    return result.stderr


def test_a_trained_model_works_in_the_workflow(checkout):
    train = ("--cores", "all", "train")
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
    messages = snakemake(checkout, *train)
    assert "noe 4 of 4: loss " in messages  # progress is shown during the run
    assert "model tiny is ready: ./test --config model=tiny" in messages
    folder = checkout / "trained_models" / "tiny"
    networks = {f"{stage}.safetensors" for stage in config["training"]["iterations"]}
    names = {path.name for path in folder.glob("[!.]*")}
    assert names == networks | {"README.md", "curves.png", "log.csv"}

    used = snakemake(checkout, "--config", "model=tiny")
    assert f"{len(PHOTOS)} images reconstructed with model tiny" in used
    assert (checkout / "submission" / "submission.zip").is_file()

    assert "Nothing to be done" in snakemake(checkout, *train)
    # more iterations for OE: the networks before it are not trained again
    config["training"]["iterations"]["oe"] = 6
    (checkout / "config.yaml").write_text(yaml.safe_dump(config))
    messages = snakemake(checkout, *train)
    assert "oe 6 of 6" in messages
    assert "noe 4 of" not in messages


def test_a_failed_training_reports_the_reason(checkout):
    settings = ("--config", "training={name: tiny, pairs: nowhere}")
    messages = snakemake(checkout, "--cores", "all", "train", *settings, code=1)
    assert "nowhere: no such folder" in messages
    assert "rule train_network" not in messages  # reported before training starts
    assert "Traceback" not in messages
