import shutil
import subprocess
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import ROOT

from omf import __version__
from omf.models.registry import find_model
from omf.report.provenance import commit, environment, environment_line, provenance
from omf.utils.files import sha256


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path) -> Path:
    if not shutil.which("git"):
        pytest.skip("needs git")
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_the_commit_of_a_checkout(checkout, monkeypatch):
    full = git(checkout, "rev-parse", "HEAD")
    assert commit(checkout) == full
    git(checkout, "tag", "-a", "v1", "-m", "v1")
    assert commit(checkout) == full  # not the tag's name, since tags can move
    (checkout / "untracked").write_text("such as photos")
    assert commit(checkout) == full
    (checkout / "file").write_text("2")
    assert commit(checkout) == f"{full}-dirty"
    (checkout / "site-packages").mkdir()
    assert commit(checkout / "site-packages") is None  # installed inside a checkout
    monkeypatch.setenv("PATH", "/nowhere")
    assert commit(checkout) is None
    (checkout / "COMMIT").write_text("abc\n")  # that of a container image
    assert commit(checkout) == "abc"


def test_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("OMF_IMAGE", "some image")
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\n[ $1 = --query-gpu=driver_version ] && echo 580.1\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    record = environment("a GPU")
    expected = {"version": __version__, "image": "some image", "device": "a GPU", "driver": "580.1"}
    assert expected.items() <= record.items()
    assert record["commit"] == commit(ROOT)
    assert record["packages"]["torch"] == version("torch")
    assert record["packages"]["numpy"] == version("numpy")
    line = environment_line(record)
    for part in (__version__, "some image", f"PyTorch {version('torch')}", "a GPU", "driver 580.1"):
        assert part in line
    assert line.endswith(record["host"])


def test_equal_environments_are_merged():
    local = environment("CPU, 2 threads")
    jobs = [local | {"host": host} for host in "bab"]
    jobs.insert(1, local | {"device": "a GPU", "host": "c"})
    model, config, inputs = find_model("samsung_s7"), {"precision": "published"}, {"photos": {"a": "12"}}
    scenes = {"7": {"curves": None, "photos": 2}}
    record = provenance(jobs, model, config, inputs, scenes, {"a": "", "b": "NIKON D750"}, None)
    merged = record["environments"]
    assert [(entry["device"], entry["jobs"], entry["hosts"]) for entry in merged] == [
        ("CPU, 2 threads", 3, ["a", "b"]),
        ("a GPU", 1, ["c"]),
    ]
    assert "host" not in merged[0]
    assert record["scenes"] == scenes
    assert record["cameras"] == {"a": "samsung_s7", "b": "NIKON D750"}
    assert record["weights"]["samsung_s7/oe.safetensors"] == sha256(model.oe.path)
    assert (record["model"], record["config"], record["inputs"]) == ("samsung_s7", config, inputs)
    unlisted = replace(model, oe=replace(model.oe, sha256=None))
    assert provenance([], unlisted, {}, {}, {}, {}, None)["weights"] == record["weights"]
