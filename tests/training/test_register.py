"""Registration of a trained model in the user's list."""

import shutil

import pytest
import torch
import yaml
from conftest import ROOT, random_base, random_unet

from omf.models.checkpoints import load_networks, load_spread, save_network
from omf.models.registry import check_files, find_model, read_list
from omf.networks.demosaic_net import DemosaicNet
from omf.networks.spread_net import SpreadNet
from omf.raw.camera import load_camera
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
    save_network(DemosaicNet(4, 2), folder / "demosaic.safetensors")
    save_network(random_base(0), folder / "base.safetensors")
    save_network(SpreadNet(), folder / "spread.safetensors")
    rows = "".join(f"{stage},50,0.25,0.001,12.50\n" for stage in STAGES)
    (folder / "log.csv").write_text("network,iteration,loss,learning_rate,patches_per_second\n" + rows)
    (folder / "curves.png").write_bytes(b"\x89PNG")
    return folder


def test_a_trained_model_is_registered_and_can_be_replaced(run, own_models):
    (own_models / "local.yaml").write_text("# by hand\nother: {method: inverse}  # mine\n")
    for seed in (1, 2):
        iterations = Iterations(base=1, noe=1)
        register_trained_model(run, TrainingSettings(name="mine", seed=seed, iterations=iterations))
        model = find_model("mine")
        check_files(model)
        assert model.trained_here
        assert model.widths == (4, 6)
        assert model.demosaic.path.is_file() and load_spread(model.spread.path)
        assert find_model(str(own_models / "mine")).spread.path == model.spread.path
        after = (own_models / "local.yaml").read_text()
        assert after.startswith("# by hand\nother: {method: inverse}  # mine\n")
        assert list(yaml.safe_load(after)) == ["other", "mine"]
        card = (own_models / "mine" / "README.md").read_text()
        assert f"seed: {seed}" in card
        assert "| noe | 50 | 0.25 | 12.5 |" in card
    # a later training without NOE leaves none behind
    register_trained_model(run, TrainingSettings(name="mine", iterations=Iterations(base=1)))
    assert find_model(str(own_models / "mine")).noe is None
    assert not (own_models / "mine" / ".part").exists()


@pytest.mark.parametrize("missing", ["oe.safetensors", "curves.png", "log.csv"])
def test_a_registration_that_fails_leaves_the_former_model(run, own_models, missing):
    settings = TrainingSettings(name="mine")
    register_trained_model(run, settings)
    before = {path: path.read_bytes() for path in own_models.rglob("*") if path.is_file()}
    save_network(random_base(1), run / "base.safetensors")
    (run / missing).rename(run / "gone")
    with pytest.raises((OSError, InputError)):
        register_trained_model(run, settings)
    assert {path: path.read_bytes() for path in before} == before
    check_files(find_model("mine"))
    (run / "gone").rename(run / missing)
    register_trained_model(run, settings)
    check_files(find_model("mine"))
    assert find_model("mine").base.path.read_bytes() == (run / "base.safetensors").read_bytes()


def test_the_profile_of_a_camera_comes_along(run, own_models, tmp_path, monkeypatch):
    shutil.copy(ROOT / "cameras" / "huawei_p20.yaml", tmp_path / "phone.yaml")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        register_trained_model(run, TrainingSettings(name="1e3", camera="phone.yaml"))
    monkeypatch.chdir("/")
    assert load_camera(find_model("1e3").camera).name == load_camera("huawei_p20").name
    assert list(read_list(own_models / "local.yaml")[0]) == ["1e3"]  # which YAML could read as a number


@pytest.mark.parametrize(
    ("noe", "words"), [(1, "refined by OE and NOE"), (0, "and OE for overexposed pixels")]
)
def test_the_networks_of_the_settings_are_registered(run, own_models, noe, words):
    register_trained_model(run, TrainingSettings(name="mine", iterations=Iterations(base=1, noe=noe)))
    model = find_model("mine")
    assert (model.noe is not None) == (noe > 0)
    assert [network is not None for network in load_networks(model)] == [True, noe > 0, True, True]
    card = (own_models / "mine" / "README.md").read_text()
    assert f"A base network for the whole photo, {words}" in card


@pytest.mark.parametrize(
    "data", [{"pairs": "/home/alice/pairs"}, {"photos": ["/home/alice/photos", "/home/alice/more"]}]
)
def test_the_model_card_does_not_contain_the_home_folder(run, own_models, monkeypatch, data):
    monkeypatch.setenv("HOME", "/home/alice")
    register_trained_model(run, TrainingSettings(**data))
    assert "~/p" in (card := (own_models / "my_model" / "README.md").read_text())
    assert "alice" not in card + (own_models / "local.yaml").read_text()


def test_models_that_were_not_trained_here_are_not_replaced(run, own_models):
    for name in ("samsung_s7", "published", "unprocess"):
        with pytest.raises(InputError, match=f"model {name}: listed already, and not trained here"):
            register_trained_model(run, TrainingSettings(name=name))
    assert list(own_models.iterdir()) == []


def test_a_camera_by_name_gets_a_profile_of_its_own(run, own_models):
    """Predictions then need neither rawpy nor the name."""
    pytest.importorskip("rawpy")
    register_trained_model(run, TrainingSettings(name="mine", camera="NIKON D750"))
    model = find_model("mine")
    assert model.camera == str(own_models / "mine" / "camera.yaml")
    camera = load_camera(model.camera)
    assert camera.name == "NIKON D750" and camera.xyz_matrices.keys() == {"D65"}
