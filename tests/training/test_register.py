"""Registration of a trained model in models.yaml."""

import shutil

import pytest
import torch
import yaml
from conftest import ROOT, random_base, random_unet

from omf.models.checkpoints import load_networks, save_base, save_demosaic_net, save_network
from omf.models.registry import check_files, find_model
from omf.networks.demosaic_net import DemosaicNet
from omf.training.register import register_trained_model
from omf.training.settings import STAGES, Iterations, TrainingSettings
from omf.utils.errors import InputError


@pytest.fixture
def run(tmp_path):
    """Return the folder of a finished training."""
    folder = tmp_path / "run"
    for seed, branch in enumerate(("noe", "oe")):
        save_network(random_unet((4, 6), seed, in_channels=7), folder / f"{branch}.safetensors")
    torch.manual_seed(0)
    save_demosaic_net(DemosaicNet(4, 2), folder / "demosaic.safetensors")
    save_base(random_base(0), folder / "base.safetensors")
    rows = "".join(f"{stage},50,0.25,0.001,12.50\n" for stage in STAGES)
    (folder / "log.csv").write_text("network,iteration,loss,learning_rate,patches_per_second\n" + rows)
    (folder / "curves.png").write_bytes(b"\x89PNG")
    return folder


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "trained_models"
    folder.mkdir()
    shutil.copy(ROOT / "trained_models" / "models.yaml", folder)
    return folder


def test_a_trained_model_is_registered_and_can_be_replaced(run, models):
    before = (models / "models.yaml").read_text()
    for seed in (1, 2):
        iterations = Iterations(base=1, noe=1)
        register_trained_model(run, TrainingSettings(name="mine", seed=seed, iterations=iterations), models)
        model = find_model("mine", models)
        check_files(model)
        assert model.trained_here
        assert model.widths == (4, 6)
        assert model.demosaic.path.is_file()
        after = (models / "models.yaml").read_text()
        assert after.startswith(before.rstrip())  # the others keep their comments
        assert list(yaml.safe_load(after)) == [*yaml.safe_load(before), "mine"]
        card = (models / "mine" / "README.md").read_text()
        assert f"seed: {seed}" in card
        assert "| noe | 50 | 0.25 | 12.5 |" in card


@pytest.mark.parametrize(
    ("iterations", "words"),
    [
        ({"base": 1, "noe": 1}, "A base network for the whole photo, refined by OE and NOE"),
        ({"base": 1, "noe": 0}, "A base network for the whole photo, and OE for overexposed pixels"),
    ],
)
def test_the_networks_of_the_settings_are_registered(run, models, iterations, words):
    register_trained_model(run, TrainingSettings(name="mine", iterations=Iterations(**iterations)), models)
    model = find_model("mine", models)
    assert (model.noe is not None) == (iterations["noe"] > 0)
    assert [network is not None for network in load_networks(model)] == [True, iterations["noe"] > 0, True]
    assert words in (models / "mine" / "README.md").read_text()


@pytest.mark.parametrize(
    "data", [{"pairs": "/home/alice/pairs"}, {"photos": ["/home/alice/photos", "/home/alice/more"]}]
)
def test_the_model_card_does_not_contain_the_home_folder(run, models, monkeypatch, data):
    monkeypatch.setenv("HOME", "/home/alice")
    register_trained_model(run, TrainingSettings(**data), models)
    assert "~/p" in (card := (models / "my_model" / "README.md").read_text())
    assert "alice" not in card + (models / "models.yaml").read_text()


@pytest.mark.parametrize("name", ["samsung_s7", "published", "unprocess"])
def test_models_that_were_not_trained_here_are_not_replaced(run, models, name):
    with pytest.raises(InputError, match=f"training.name is {name}, which models.yaml lists already"):
        register_trained_model(run, TrainingSettings(name=name), models)
    assert not (models / name).exists()
