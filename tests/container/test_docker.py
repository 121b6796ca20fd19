"""The image, built from Debian in a private Docker engine."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from conftest import wait_for
from container.clones import (
    SUBMITTED,
    change_owner,
    check_entry,
    compare_with_outside,
    copy_photos,
    make_clone,
    owners,
)
from container.engine import COMMIT, build_image
from workflow_runs import read_json

from omf import __version__

pytestmark = pytest.mark.slow

USER = 1234


@pytest.fixture
def clone(tmp_path) -> Path:
    return change_owner(make_clone(tmp_path / "clone"), USER)


@pytest.fixture
def folder(tmp_path, tiny_model) -> Path:
    """Return a folder with photos and a model that is not a clone."""
    copy_photos(tmp_path / "folder" / "photos")
    shutil.copytree(tiny_model, tmp_path / "folder" / "model")
    return change_owner(tmp_path / "folder", USER)


def test_a_clone_gives_the_same_entry_as_outside(docker, image, clone):
    result = docker.run(clone, image)
    assert "coffee" in result.stderr  # the scores
    made_by = check_entry(clone, USER)
    assert made_by["commit"] is None  # a copy without .git has none; not the image's
    assert read_json(clone, "scores")["mean"]["psnr"] > 10
    compare_with_outside(clone, lambda *command: docker.run(clone, image, *command).stdout)


def test_a_folder_of_photos_alone_without_network_in_a_read_only_image(docker, image, folder):
    """The image contains the default weights: nothing else is needed."""
    shutil.rmtree(folder / "model")
    options = ("--read-only", "--tmpfs", "/tmp", "--network", "none")
    docker.run(folder, image, options=options)
    assert check_entry(folder, USER)["commit"] == COMMIT
    models = ("samsung_s7", "huawei_p20", "generic_phone")
    each = f"for model in {' '.join(models)}; do omf predict photos -o $model --model $model || exit; done"
    docker.run(folder, image, "sh", "-c", each, options=options)
    for model in models:
        assert sorted(path.name for path in (folder / model).glob("*.npy")) == SUBMITTED


def test_another_user_than_the_owner(docker, image, folder):
    (folder / "out").mkdir()
    (folder / "out").chmod(0o777)
    result = docker.run(
        folder, image, "sh", "-c", "touch out/file $HOME/file && id -u", options=("--user", "4321:4321")
    )
    assert result.stdout == "4321\n"
    assert (folder / "out" / "file").stat().st_uid == 4321


def test_commands_and_their_arguments(docker, image, clone, folder):
    result = docker.run(clone, image, "./test", "-n")
    assert "infer" in result.stdout + result.stderr
    assert not (clone / "submission").exists()
    docker.run(folder, image, "omf", "predict", "photos", "-o", "raw", "--model", "model")
    assert sorted(path.name for path in (folder / "raw").glob("*.npy")) == SUBMITTED
    assert owners(folder) == {(USER, USER)}


def test_the_code_of_a_clone_takes_precedence(docker, image, clone, folder):
    command = ("python", "-c", "import omf; print(omf.__file__)")
    assert docker.run(clone, image, *command).stdout == "/data/omf/__init__.py\n"
    assert docker.run(folder, image, *command).stdout == "/opt/omf/omf/__init__.py\n"


def test_a_clone_with_other_pins_is_refused_in_one_line(docker, image, clone):
    with (clone / "requirements.txt").open("a") as pins:
        pins.write("more==1.0\n")
    result = docker.run(clone, image, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("error: this image holds other packages than requirements.txt pins")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_git_works_in_a_clone_of_another_user(docker, image, clone):
    subprocess.run(["git", "init", "--quiet", clone], check=True)
    change_owner(clone / ".git", USER)
    for options in ((), ("--user", "4321:4321")):
        assert "Snakefile" in docker.run(clone, image, "git", "status", "--short", options=options).stdout


@pytest.mark.parametrize("user", [USER, 0])
@pytest.mark.parametrize("options", [(), ("--user", "4321:4321"), ("--cap-drop", "ALL")])
def test_nothing_runs_privileged(docker, image, folder, user, options):
    """Check owners of the folder, including root, and ways to start the container."""
    expected = {(): user, ("--user", "4321:4321"): 4321, ("--cap-drop", "ALL"): 0}[options]
    change_owner(folder, user)
    texts = docker.run(folder, image, "cat", "/proc/1/status", "/proc/self/status", options=options).stdout
    processes = texts.split("Name:\t")[1:]
    assert len(processes) == 2
    for status in processes:
        values = dict(line.split(":\t", 1) for line in status.splitlines()[1:])
        assert values["Uid"].split() == [str(expected)] * 4
        assert values["Gid"].split() == [str(expected)] * 4
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(values[kind], 16) == 0, kind
        if not options:
            assert int(values["CapBnd"], 16) == 0
            assert values["NoNewPrivs"] == "1"
            assert values["Groups"].strip() == ""


def test_docker_stop_ends_a_run_cleanly(docker, image, clone):
    for number in range(400):  # more than are processed before the stop
        (clone / "test_rgb" / f"more{number}.jpg").hardlink_to(clone / "test_rgb" / "coffee.jpg")
    container = docker(
        "run", "--detach", "--volume", f"{clone}:/data", image, "./test", "--config", "shard_size=500"
    ).stdout.strip()
    wait_for(lambda: list(clone.glob("results/demosaiced/*/*")), 120)
    started = time.monotonic()
    docker("stop", "--time", 20, container)
    assert time.monotonic() - started < 10
    assert docker("inspect", "--format", "{{.State.ExitCode}}", container).stdout == "1\n"  # 137: killed
    assert not list(clone.glob("results/timing/*.json"))  # inference did not finish
    # the next run needs no --unlock
    assert docker.run(clone, image, "./test", "-n", "--config", "shard_size=500").returncode == 0
    assert owners(clone) == {(USER, USER)}


def test_labels_commit_and_version(docker, image, folder):
    labels = json.loads(docker("inspect", "--format", "{{json .Config.Labels}}", image).stdout)
    assert labels["org.opencontainers.image.revision"] == COMMIT
    assert labels["org.opencontainers.image.version"] == __version__
    output = docker.run(
        folder, image, "sh", "-c", "cat /opt/omf/COMMIT; echo $OMF_IMAGE; omf --version"
    ).stdout
    assert output == f"{COMMIT}\noverexposure-mask-fusion {__version__}\nomf {__version__}\n"


def test_an_empty_folder_gets_the_samples(docker, image, tmp_path):
    folder = change_owner(tmp_path, USER)
    docker.run(folder, image, options=("--network", "none"))
    assert read_json(folder, "scores")["mean"]["psnr"] > 20
    assert owners(folder) == {(USER, USER)}


def test_a_change_of_the_code_reuses_the_installed_packages(docker, image, tmp_path):
    changed = make_clone(tmp_path / "changed")
    with (changed / "omf" / "__init__.py").open("a") as code:
        code.write("# changed\n")
    (changed / "containers" / "README.md").write_text("changed, and not in the image\n")
    build_image(docker, "omf:changed", changed)
    before, after = (
        json.loads(docker("inspect", "--format", "{{json .RootFS.Layers}}", name).stdout)
        for name in (image, "omf:changed")
    )
    assert before[:3] == after[:3]  # Debian, the pins, the packages
    assert before[3] != after[3]  # omf
