"""The image, built from Debian in a private Docker engine."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, run
from container.clones import PHOTOS, change_owner, entry_outside, make_clone, npy, owners
from container.engine import COMMIT, build_image

from omf import __version__

pytestmark = pytest.mark.slow

USER = 1234
SUBMITTED = [f"{Path(photo).stem}.npy" for photo in PHOTOS]


@pytest.fixture
def clone(tmp_path) -> Path:
    return change_owner(make_clone(tmp_path / "clone"), USER)


@pytest.fixture
def folder(tmp_path, tiny_model) -> Path:
    """Return a folder with photos and a model that is not a clone."""
    folder = tmp_path / "folder"
    (folder / "photos").mkdir(parents=True)
    for photo in PHOTOS:
        shutil.copy(ROOT / "test_rgb" / photo, folder / "photos")
    shutil.copytree(tiny_model, folder / "model")
    return change_owner(folder, USER)


WORKFLOW = ("./test", "--config", "images=photos", "model=model", "ground_truth=")


def test_a_clone_gives_the_same_entry_as_outside(docker, image, clone):
    result = docker.run(clone, image)
    assert "coffee" in result.stderr  # the scores
    assert json.loads((clone / "submission" / "scores.json").read_text())["mean"]["psnr"] > 10
    assert (clone / "submission" / "submission.zip").is_file()
    assert list(npy(clone)) == SUBMITTED
    assert owners(clone) == {(USER, USER)}
    (made_by,) = json.loads((clone / "submission" / "provenance.json").read_text())["environments"]
    assert made_by["image"] == f"overexposure-mask-fusion {__version__}"
    assert made_by["commit"] is None  # a copy without .git has none; not the image's

    versions = "import sys, torch, numpy; print(*sys.version_info[:2], torch.__version__, numpy.__version__)"
    inside = docker.run(clone, image, "python", "-c", versions).stdout
    if inside != run(sys.executable, "-c", versions).stdout:
        pytest.skip(f"comparing bytes needs the versions of the image: {inside}")
    assert npy(clone) == entry_outside()


def test_a_folder_without_clone_and_network_in_a_read_only_image(docker, image, folder):
    docker.run(folder, image, *WORKFLOW, options=("--read-only", "--tmpfs", "/tmp", "--network", "none"))
    assert list(npy(folder)) == SUBMITTED
    assert (folder / "submission" / "submission.zip").is_file()
    assert owners(folder) == {(USER, USER)}
    (made_by,) = json.loads((folder / "submission" / "provenance.json").read_text())["environments"]
    assert (made_by["image"], made_by["commit"]) == (f"overexposure-mask-fusion {__version__}", COMMIT)


def test_another_user_than_the_owner(docker, image, folder):
    (folder / "out").mkdir()
    (folder / "out").chmod(0o777)
    result = docker.run(
        folder, image, "sh", "-c", "touch out/file $HOME/file && id -u", options=("--user", "4321:4321")
    )
    assert result.stdout == "4321\n"
    assert (folder / "out" / "file").stat().st_uid == 4321


def test_arguments_are_passed_to_snakemake(docker, image, clone):
    result = docker.run(clone, image, "./test", "-n")
    assert "infer" in result.stdout + result.stderr
    assert not (clone / "submission").exists()


def test_a_command(docker, image, folder):
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
    for process in (1, "self"):
        status = docker.run(
            change_owner(folder, user), image, "cat", f"/proc/{process}/status", options=options
        ).stdout
        values = dict(line.split(":\t", 1) for line in status.splitlines())
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
    deadline = time.monotonic() + 120
    while not list(clone.glob("results/demosaiced/*/*")):
        assert time.monotonic() < deadline, docker("logs", container).stderr
        time.sleep(0.1)
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


def test_a_folder_of_photos_alone(docker, image, folder):
    """The image contains the default weights: nothing else is needed, and no network."""
    shutil.rmtree(folder / "model")
    offline = ("--network", "none")
    docker.run(folder, image, options=offline)
    assert list(npy(folder)) == SUBMITTED
    assert owners(folder) == {(USER, USER)}
    for model in ("samsung_s7", "huawei_p20", "generic_phone"):
        docker.run(folder, image, "omf", "predict", "photos", "-o", model, "--model", model, options=offline)
        assert sorted(path.name for path in (folder / model).glob("*.npy")) == SUBMITTED


def test_an_empty_folder_gets_the_samples(docker, image, tmp_path):
    folder = change_owner(tmp_path, USER)
    docker.run(folder, image, options=("--network", "none"))
    assert json.loads((folder / "submission" / "scores.json").read_text())["mean"]["psnr"] > 20
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
