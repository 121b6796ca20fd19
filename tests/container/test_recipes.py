"""Dockerfile and omf.def describe the same image. Nothing is built here."""

import json
import os
import re
import shlex
import shutil
import tempfile
from pathlib import PurePosixPath

import pytest
from conftest import ROOT, run

from omf import __version__

CONTAINERS = ROOT / "containers"


@pytest.fixture
def dockerfile() -> dict[str, list[str]]:
    """Return what follows each instruction, in order."""
    text = re.sub(r"^\s*#.*\n", "", (CONTAINERS / "Dockerfile").read_text(), flags=re.MULTILINE)
    found: dict[str, list[str]] = {}
    for line in filter(None, text.replace("\\\n", " ").splitlines()):
        instruction, _, rest = line.partition(" ")
        found.setdefault(instruction, []).append(rest)
    return found


@pytest.fixture
def definition() -> dict[str, list[str]]:
    """Return the lines of each section, of the header as "", with build arguments as in the Dockerfile."""
    text = re.sub(r"{{\s*(\w+)\s*}}", r"$\1", (CONTAINERS / "omf.def").read_text())
    found: dict[str, list[str]] = {"": []}
    for line in map(str.strip, text.splitlines()):
        if line.startswith("%"):
            found[line[1:].lower()] = []
        elif line and not line.startswith("#"):
            found[list(found)[-1]].append(line)
    return found


def exports(lines: list[str]) -> dict[str, str]:
    return dict(re.fullmatch(r'export (\w+)="?(.*?)"?', line).groups() for line in lines)


def image_files(lines: list[str]) -> dict[str, str]:
    """Return sources by their paths in the image; a destination with a slash at its end is a folder."""
    files = {}
    for *sources, destination in map(str.split, lines):
        for source in sources:
            inside = destination + PurePosixPath(source).name if destination.endswith("/") else destination
            files[inside] = source
    return files


def test_same_base_and_arguments(dockerfile, definition):
    assert dockerfile.keys() == {
        *("ARG", "COPY", "ENTRYPOINT", "ENV", "FROM", "LABEL", "RUN", "STOPSIGNAL", "WORKDIR"),
    }
    assert definition.keys() == {
        *("", "arguments", "environment", "files", "labels", "post", "runscript", "test"),
    }
    defaults = dict(line.split("=", 1) for line in definition["arguments"])
    assert defaults == {name: value for name, _, value in (line.partition("=") for line in dockerfile["ARG"])}
    assert set(defaults) == {"BASE_IMAGE", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "COMMIT", "VERSION"}
    assert defaults["VERSION"] == __version__
    assert dockerfile["FROM"] == ["${BASE_IMAGE}"]  # one stage contains all
    assert definition[""] == ["Bootstrap: docker", "From: $BASE_IMAGE"]
    # Apptainer before 1.4 accepts a tag or a digest, not both
    assert re.fullmatch(r"nvidia/cuda@sha256:[0-9a-f]{64}", defaults["BASE_IMAGE"])


def test_same_files_and_entrypoint(dockerfile, definition):
    files = image_files(dockerfile["COPY"])
    assert image_files(definition["files"]) == files
    assert all((ROOT / source).exists() for source in files.values())
    assert {"trained_models", "test_rgb", "test_raw"} <= set(files.values())
    (entrypoint,) = json.loads(*dockerfile["ENTRYPOINT"])
    assert definition["runscript"] == [f'exec {entrypoint} "$@"']
    assert entrypoint in files


def test_same_commands(dockerfile, definition):
    commands = [command.strip() for line in dockerfile["RUN"] for command in line.split(" && ")]
    assert commands[0] == "sh /opt/omf/install.sh"
    assert definition["post"][3:] == commands
    # equivalent of ARG in a Dockerfile
    assert definition["post"][0] == "set -eu"
    arguments = {name: f"${name}" for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")}
    assert exports(definition["post"][1:3]) == arguments


def test_same_environment_and_labels(dockerfile, definition):
    environment, labels = (
        dict(pair.split("=", 1) for pair in shlex.split(*dockerfile[kind])) for kind in ("ENV", "LABEL")
    )
    assert exports(definition["environment"]) == environment
    assert environment["OMF_IMAGE"] == "overexposure-mask-fusion $VERSION"
    assert dict(line.split(" ", 1) for line in definition["labels"]) == labels
    names = {name.removeprefix("org.opencontainers.image.") for name in labels}
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
