"""Dockerfile and omf.def describe the same image. Nothing is built here."""

import os
import re
import shutil
import tempfile

import pytest
from conftest import ROOT, run
from container.recipes import read_definition, read_dockerfile

from omf import __version__

CONTAINERS = ROOT / "containers"
ARGUMENTS = ("BASE_IMAGE", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "COMMIT", "VERSION")


@pytest.fixture
def dockerfile():
    return read_dockerfile((CONTAINERS / "Dockerfile").read_text())


@pytest.fixture
def definition():
    """Read the definition with the build arguments written as in the Dockerfile."""
    return read_definition((CONTAINERS / "omf.def").read_text(), {name: f"${name}" for name in ARGUMENTS})


def exports(lines: list[str]) -> dict[str, str]:
    return dict(re.fullmatch(r'export (\w+)="?(.*?)"?', line).groups() for line in lines)


def test_same_base_and_arguments(dockerfile, definition):
    defaults = dict(line.split("=", 1) for line in definition.sections["arguments"])
    assert defaults == dockerfile.arguments
    assert set(defaults) == set(ARGUMENTS)
    assert defaults["VERSION"] == __version__
    assert list(definition.header.items()) == [("bootstrap", "docker"), ("from", "$BASE_IMAGE")]
    assert set(definition.sections) == {
        *("arguments", "environment", "files", "labels", "post", "runscript", "test"),
    }
    assert dockerfile.stages == [""]  # one stage contains all
    # Apptainer before 1.4 accepts a tag or a digest, not both
    assert re.fullmatch(r"nvidia/cuda@sha256:[0-9a-f]{64}", defaults["BASE_IMAGE"])


def test_same_files_and_entrypoint(dockerfile, definition):
    assert definition.files == dockerfile.files
    assert all((ROOT / source).exists() for source in dockerfile.files.values())
    assert {"trained_models", "test_rgb", "test_raw"} <= set(dockerfile.files.values())
    (entrypoint,) = dockerfile.entrypoint
    assert definition.sections["runscript"] == [f'exec {entrypoint} "$@"']
    assert entrypoint in dockerfile.files


def test_same_commands(dockerfile, definition):
    specific, common = definition.sections["post"][:3], definition.sections["post"][3:]
    assert common == dockerfile.commands
    assert common[0] == "sh /opt/omf/install.sh"
    # equivalent of ARG in a Dockerfile
    assert specific[0] == "set -eu"
    assert exports(specific[1:]) == {name: f"${name}" for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")}


def test_same_environment_and_labels(dockerfile, definition):
    assert exports(definition.sections["environment"]) == dockerfile.environment
    assert dockerfile.environment["OMF_IMAGE"] == "overexposure-mask-fusion $VERSION"
    assert dict(line.split(" ", 1) for line in definition.sections["labels"]) == dockerfile.labels
    names = {name.removeprefix("org.opencontainers.image.") for name in dockerfile.labels}
    assert names == {"title", "description", "version", "revision", "licenses"}


@pytest.mark.parametrize(("folder", "kept"), [("/dev/shm", True), (".", None)])
def test_models_of_the_user_go_into_the_mounted_folder(tmp_path, folder, kept):
    """They would be lost in a folder of the container itself, so commands refuse to write them."""
    if kept and not os.path.ismount(folder):
        pytest.skip(f"{folder} is not mounted here")
    folder = tempfile.mkdtemp(dir=tmp_path if folder == "." else folder)
    kept = kept or run("stat", "-c", "%m", folder).stdout != "/\n"
    entrypoint = ROOT / "containers" / "entrypoint.sh"
    command = ("bash", entrypoint, "sh", "-c", "echo $OMF_HOME")
    try:
        assert run(*command, cwd=folder, OMF_HOME="").stdout == (f"{folder}\n" if kept else "/dev/null\n")
        assert run(*command, cwd=folder, OMF_HOME="/models").stdout == "/models\n"
    finally:
        shutil.rmtree(folder)
