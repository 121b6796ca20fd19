"""`omf models push` and `fetch` with huggingface_hub, against a local stand-in for the hub."""

import shutil
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, random_rgb, run
from imageio.v3 import imwrite
from models.hub_server import TOKEN, commit_hash, serving_hub

from omf.models.registry import find_model, read_models
from omf.utils.paths import data_folder

CARD = "---\nlicense: apache-2.0\n---\n\n# night\n"


@pytest.fixture
def hub():
    with serving_hub() as hub:
        yield hub


@pytest.fixture
def hub_settings(hub, tmp_path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


def omf(program, *arguments, **settings):
    """Run the command of a copy of the program."""
    return run(sys.executable, "-m", "omf", *arguments, cwd=program, **settings)


@pytest.fixture
def program(tmp_path) -> Path:
    """Return a copy of the program, whose list of models may change."""
    for name in ("omf", "cameras", "trained_models"):
        shutil.copytree(
            ROOT / name, tmp_path / "program" / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    return tmp_path / "program"


@pytest.fixture
def weights(tiny_base_model, tmp_path):
    """Return a folder with weights and a card."""
    folder = tmp_path / "night"
    shutil.copytree(tiny_base_model, folder)
    (folder / "README.md").write_text(CARD)
    (folder / "notes.txt").write_text("not part of the model")
    return folder


def test_a_pushed_model_is_fetched_as_it_was(hub, hub_settings, program, weights, tmp_path):
    pushed = omf(program, "models", "push", weights, "jane/night-1", **hub_settings)
    assert pushed.returncode == 0, pushed.stderr
    assert f"{hub.url}/jane/night-1/commit/" in pushed.stdout
    (_, files) = hub.repositories["jane/night-1"]
    sent = {path.name: path.read_bytes() for path in weights.iterdir() if path.name != "notes.txt"}
    assert files == sent | {"camera.yaml": (ROOT / "cameras" / "samsung_s7.yaml").read_bytes()}

    fetched = omf(program, "models", "fetch", "jane/night-1", **hub_settings)
    assert fetched.returncode == 0, fetched.stderr
    folder = program / "trained_models" / "jane" / "night-1"
    assert fetched.stdout == f"{folder}: fetched and listed; use it with model=jane/night-1\n"
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == files
    listing = program / "trained_models"
    model = find_model("jane/night-1", listing)
    assert (model.camera, model.widths, model.licence) == ("samsung_s7", (4, 6, 8), "apache-2.0")
    assert model.source.startswith(f"{hub.url}/jane/night-1/tree/")
    assert list(read_models(listing)) == [*read_models(data_folder("trained_models")), "jane/night-1"]

    imwrite(tmp_path / "photo.png", random_rgb(40, 48))
    for name in ("jane/night-1", str(weights)):
        out = tmp_path / name.replace("/", "_")
        done = omf(program, "predict", tmp_path / "photo.png", "-o", out, "--model", name)
        assert done.returncode == 0, done.stderr
    first, second = (path.read_bytes() for path in tmp_path.glob("*/photo.npy"))
    assert first == second
    assert "jane/night-1: oe.safetensors ok" in omf(program, "models", "verify").stdout


def test_a_revision_and_a_later_one(hub, hub_settings, program, weights, tiny_model, tmp_path):
    assert omf(program, "models", "push", weights, "jane/night", **hub_settings).returncode == 0
    # the next version has no base network, but NOE
    for name in ("oe", "noe"):
        shutil.copy(tiny_model / f"{name}.safetensors", weights)
    (weights / "base.safetensors").unlink()
    assert omf(program, "models", "push", weights, "jane/night", **hub_settings).returncode == 0
    del hub.repositories["jane/night"][2]["base.safetensors"]

    listing = program / "trained_models"
    assert omf(program, "models", "fetch", "jane/night", **hub_settings).returncode == 0
    model = find_model("jane/night", listing)
    assert model.noe and not model.base
    first = commit_hash("jane/night", 1)
    assert omf(program, "models", "fetch", f"jane/night@{first}", **hub_settings).returncode == 0
    model = find_model("jane/night", listing)
    assert model.base and not model.noe
    assert model.source.endswith(first)


def test_the_profile_of_an_own_camera_comes_along(hub, hub_settings, program, weights, tmp_path):
    profile = yaml.safe_load((ROOT / "cameras" / "samsung_s7.yaml").read_text()) | {"name": "Mine"}
    shutil.copytree(program, tmp_path / "other")
    (program / "cameras" / "samsung_s7.yaml").write_text(yaml.safe_dump(profile))
    assert omf(program, "models", "push", weights, "jane/night", **hub_settings).returncode == 0
    other = tmp_path / "other"
    fetched = omf(other, "models", "fetch", "jane/night", **hub_settings)
    assert fetched.returncode == 0, fetched.stderr
    listing = other / "trained_models"
    assert find_model("jane/night", listing).camera == str(listing / "jane" / "night" / "camera.yaml")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("push", "unprocess", "jane/x"), "model unprocess: has no weights in safetensors files"),
        (("push", "samsung_s7", "two/slashes/x"), "two/slashes/x: not a name on the hub; give OWNER/NAME"),
        (("fetch", "jane/missing"), "jane/missing: the hub answers 404 Not Found; check the name, or log in"),
        (("fetch", "jane/mine@other"), "jane/mine: the hub answers 404 Not Found"),
        (("fetch", "../x"), "../x: not a name on the hub; give OWNER/NAME"),
        (("fetch", "jane/other"), "the folder does not hold the weights of a model"),
    ],
)
def test_problems_are_told_in_one_line(hub, hub_settings, program, arguments, problem):
    hub.repositories["jane/other"] = [{"README.md": b"another kind of model"}]
    hub.repositories["jane/mine"] = [{}]
    answer = omf(program, "models", *arguments, **hub_settings)
    assert answer.returncode == 1
    assert problem in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_wrong_token(hub, hub_settings, program):
    settings = hub_settings | {"HF_TOKEN": "hf_wrong"}
    answer = omf(program, "models", "push", "samsung_s7", "jane/x", **settings)
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "jane/x: the hub answers 401 Unauthorized; check the name, or log in: `hf auth" in answer.stderr
    assert hub.repositories == {}


def test_no_hub(hub_settings, program):
    settings = hub_settings | {"HF_ENDPOINT": "http://127.0.0.1:1"}
    answer = omf(program, "models", "push", "samsung_s7", "jane/x", **settings)
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: jane/x: ") and answer.stderr.count("\n") == 1
    assert "Connection refused" in answer.stderr


def test_damaged_weights_are_not_listed(hub, hub_settings, program, weights, tmp_path):
    assert omf(program, "models", "push", weights, "jane/night", **hub_settings).returncode == 0
    hub.repositories["jane/night"][1]["oe.safetensors"] = b"damaged"
    answer = omf(program, "models", "fetch", "jane/night", **hub_settings)
    assert answer.returncode == 1
    assert "oe.safetensors" in answer.stderr and answer.stderr.count("\n") == 1
    assert "jane/night" not in read_models(program / "trained_models")
