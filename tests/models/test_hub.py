"""`omf models push` and `fetch` with huggingface_hub, against a local stand-in for the hub."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from conftest import ROOT, random_base
from huggingface_hub import HfApi, constants
from models.hub_server import TOKEN, commit_hash, serving_hub

from omf.commands import run_models_fetch, run_models_push
from omf.models import hub as hub_module
from omf.models.checkpoints import load_networks, save_network
from omf.models.hub import push
from omf.models.registry import check_files, find_model, read_models
from omf.raw.camera import load_camera
from omf.utils.errors import InputError
from omf.utils.paths import HOME

CARD = "---\nlicense: apache-2.0\n---\n\n# night\n"


@pytest.fixture
def hub(own_models, tmp_path, monkeypatch):
    """Run a hub, which this process uses."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    with serving_hub() as hub:
        monkeypatch.setattr(hub_module, "HfApi", partial(HfApi, hub.url, TOKEN))
        yield hub


@pytest.fixture
def weights(tiny_base_model, tmp_path) -> Path:
    """Return a folder with weights and a card."""
    folder = shutil.copytree(tiny_base_model, tmp_path / "night")
    (folder / "README.md").write_text(CARD)
    (folder / "notes.txt").write_text("not part of the model")
    return folder


def test_a_pushed_model_is_fetched_as_it_was(hub, weights, own_models, capsys):
    run_models_push(SimpleNamespace(model=str(weights), repository="jane/night-1"))
    assert capsys.readouterr().out.startswith(f"uploaded: {hub.url}/jane/night-1/commit/")
    (_, files) = hub.repositories["jane/night-1"]
    sent = {path.name: path.read_bytes() for path in weights.iterdir() if path.name != "notes.txt"}
    assert files == sent | {"camera.yaml": (ROOT / "cameras" / "samsung_s7.yaml").read_bytes()}

    run_models_fetch(SimpleNamespace(name="jane/night-1"))
    folder = own_models / "jane" / "night-1" / commit_hash("jane/night-1", 1)
    assert capsys.readouterr().out == f"{folder}: fetched and listed; use it with model=jane/night-1\n"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    model = find_model("jane/night-1")
    assert (model.camera, model.widths, model.licence) == ("samsung_s7", (4, 6, 8), "apache-2.0")
    assert model.source.startswith(f"{hub.url}/jane/night-1/tree/")
    assert list(read_models())[-1] == "jane/night-1"
    load_networks(model)


def test_a_revision_and_a_later_one(hub, fetch, tiny_model):
    # the next version has no base network, but NOE
    push(find_model(str(tiny_model)), "jane/night")
    del hub.repositories["jane/night"][2]["base.safetensors"]
    model = fetch()
    assert model.noe and not model.base
    first = commit_hash("jane/night", 1)
    model = hub_module.fetch_repository(f"jane/night@{first}")
    assert model.base and not model.noe
    assert model.source.endswith(first)
    assert [path.name for path in model.oe.path.parents[1].glob("[!.]*")] == [first]


def test_the_profile_of_an_own_camera_comes_along(hub, weights, own_models, tmp_path, monkeypatch):
    profile = yaml.safe_load((ROOT / "cameras" / "samsung_s7.yaml").read_text()) | {"name": "Mine"}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(profile))
    push(replace(find_model(str(weights)), camera=str(tmp_path / "own.yaml")), "jane/night")
    hub_module.fetch_repository("jane/night")
    moved = shutil.move(own_models.parent, tmp_path / "moved")
    monkeypatch.setenv(HOME, str(moved))
    assert load_camera(find_model("jane/night").camera).name == "Mine"


@pytest.mark.parametrize(
    ("pushed", "address", "problem"),
    [
        ("unprocess", "jane/x", "model unprocess: has no weights in safetensors files"),
        ("samsung_s7", "two/slashes/x", "two/slashes/x: not a name on the hub; give OWNER/NAME"),
        (None, "jane/missing", "jane/missing: the hub answers 404 Not Found; check the name, or log in"),
        (None, "jane/mine@other", "jane/mine: the hub answers 404 Not Found"),
        (None, "../x", "../x: not a name on the hub; give OWNER/NAME"),
        (None, "jane/other", "the folder does not hold the weights of a model"),
    ],
)
def test_problems_are_told_in_one_line(hub, pushed, address, problem):
    hub.repositories["jane/other"] = [{"README.md": b"another kind of model"}]
    hub.repositories["jane/mine"] = [{}]
    with pytest.raises(InputError) as caught:
        push(find_model(pushed), address) if pushed else hub_module.fetch_repository(address)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("url", "token", "problem"),
    [
        (None, "hf_wrong", "jane/x: the hub answers 401 Unauthorized; check the name, or log in: `hf auth"),
        ("http://127.0.0.1:1", TOKEN, "jane/x: .*Connection refused"),
    ],
)
def test_a_hub_that_takes_nothing(hub, monkeypatch, url, token, problem):
    monkeypatch.setattr(hub_module, "HfApi", partial(HfApi, url or hub.url, token))
    with pytest.raises(InputError, match=problem):
        push(find_model("samsung_s7"), "jane/x")
    assert hub.repositories == {}


@pytest.fixture
def night(hub, tiny_base_model) -> list[dict[str, bytes]]:
    """Return the commits of jane/night on the hub: a model of that name."""
    files = {path.name: path.read_bytes() for path in tiny_base_model.iterdir()}
    hub.repositories["jane/night"] = [{}, files | {"README.md": CARD.encode()}]
    return hub.repositories["jane/night"]


@pytest.fixture
def fetch(night):
    """Return a function that fetches jane/night."""
    return partial(hub_module.fetch_repository, "jane/night")


def add_revision(night, tmp_path) -> None:
    """Add a commit with other weights."""
    save_network(random_base(1), path := tmp_path / "next.safetensors")
    night.append(night[-1] | {"base.safetensors": path.read_bytes()})


def revisions(own_models) -> list[str]:
    return sorted(path.name for path in (own_models / "jane" / "night").iterdir() if path.is_dir())


@pytest.mark.parametrize(
    ("licence", "text"), [("mit", "mit"), (["mit", "apache-2.0"], "mit, apache-2.0"), (None, ""), ([], "")]
)
def test_licences(hub, fetch, licence, text):
    hub.licence = licence
    assert fetch().licence == text


NO_PROFILE = b"name: no profile"
BROKEN = {  # kind: (files of a revision, licence, part of the message)
    "damaged weights": ({"oe.safetensors": b"damaged"}, "mit", "oe.safetensors: can't be read as weights"),
    "no weights": ({"oe.safetensors": None}, "mit", "the folder does not hold the weights of a model"),
    "empty weights": ({"base.safetensors": b""}, "mit", "base.safetensors: can't be read as weights"),
    "another network": (
        {"oe.safetensors": "base.safetensors"},
        "mit",
        "weights of architecture base",
    ),
    "a bad demosaic net": ({"demosaic.safetensors": b"x"}, "mit", "demosaic.safetensors: can't be read"),
    "a bad profile": ({"camera.yaml": NO_PROFILE}, "mit", "camera.yaml: not a valid camera profile"),
    "a profile that is no text": ({"camera.yaml": b"\xff"}, "mit", "camera.yaml: not a valid camera profile"),
    "a number as licence": ({}, 7, "licence is 7; it must be text"),
    "a mapping as licence": ({}, {"name": "mit"}, "licence is {'name': 'mit'}; it must be text"),
    "numbers as licences": ({}, ["mit", 7], "licence is ['mit', 7]; it must be text"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_revision_leaves_the_former_one(hub, night, fetch, own_models, kind):
    fetch()
    before = {path: path.read_bytes() for path in own_models.rglob("*") if path.is_file()}
    changes, hub.licence, problem = BROKEN[kind]
    files = night[-1] | {name: night[-1].get(content, content) for name, content in changes.items()}
    night.append({name: content for name, content in files.items() if content is not None})
    with pytest.raises(InputError) as caught:
        fetch()
    line = str(caught.value)
    assert line.startswith("jane/night: not used, since ") and problem in line
    assert ".part" not in line
    assert {path: path.read_bytes() for path in own_models.rglob("*") if path.is_file()} == before
    load_networks(find_model("jane/night"))
    assert len(revisions(own_models)) == 1


def test_a_fetch_repairs_an_invalid_entry(fetch, own_models):
    (own_models / "local.yaml").write_text("jane/night: {method: inverse, licence: [mit]}\n")
    assert fetch() == find_model("jane/night")


class KilledError(BaseException):
    pass


@pytest.mark.parametrize("same", [False, True], ids=["the next revision", "the same one"])
@pytest.mark.parametrize("moment", ["load_networks", "sync", "rename", "register_model", "remove_revisions"])
def test_a_kill_at_any_moment_leaves_a_usable_model(night, fetch, own_models, tmp_path, moment, same):
    fetch()
    if not same:
        add_revision(night, tmp_path)

    def kill(*_):
        raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path if moment == "rename" else hub_module, moment, kill)
        with pytest.raises(KilledError):
            fetch()
    load_networks(find_model("jane/night"))
    model = fetch()
    assert model.base.path.read_bytes() == night[-1]["base.safetensors"]
    check_files(model)
    assert revisions(own_models) == [model.base.path.parent.name]


def test_the_rest_of_a_stopped_download_goes(night, fetch, own_models, tmp_path, monkeypatch):
    fetch()
    add_revision(night, tmp_path)

    def stop(*_, local_dir, **__):
        local_dir.mkdir()
        (local_dir / "oe.safetensors").touch()
        raise OSError("connection lost")

    with monkeypatch.context() as patch:
        patch.setattr(HfApi, "snapshot_download", stop)
        with pytest.raises(InputError, match="jane/night: connection lost"):
            fetch()
    load_networks(find_model("jane/night"))
    assert len(revisions(own_models)) == 2  # the next fetch resumes it, or removes it if there is a newer one
    add_revision(night, tmp_path)
    model = fetch()
    assert revisions(own_models) == [model.oe.path.parent.name]


def test_files_of_the_user_stay(night, fetch, own_models, tmp_path):
    notes = fetch().oe.path.with_name("notes.txt")
    notes.write_text("mine")
    (own_models / "jane" / "night" / "more").mkdir()
    add_revision(night, tmp_path)
    fetch()
    assert notes.read_text() == "mine" and not notes.with_name("oe.safetensors").exists()
    assert (own_models / "jane" / "night" / "more").is_dir()


def test_fetches_at_the_same_time(fetch, own_models):
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(fetch) for _ in range(4)]:
            future.result()
    assert len(revisions(own_models)) == 1
    load_networks(find_model("jane/night"))


def test_a_folder_that_cannot_be_written_to_is_found_before_the_download(hub, fetch, monkeypatch):
    monkeypatch.setenv(HOME, "/proc/own")
    hub.repositories.clear()  # so that any request fails
    with pytest.raises(InputError, match=r"/proc/own/trained_models: can't be written .*; set OMF_HOME"):
        fetch()


def test_a_hub_that_names_no_commit(hub, fetch, own_models, monkeypatch):
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: SimpleNamespace(sha="../../x"))
    with pytest.raises(InputError, match="jane/night: the hub names no commit of it"):
        fetch()
