"""What made a result: code, packages, machine, settings and the hashes of all inputs. No torch here."""

import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path

from omf.models.registry import Model
from omf.utils.files import sha256
from omf.utils.paths import PACKAGE
from omf.utils.version import VERSION

DRIVER_QUERY = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")


def environment(device: str) -> dict:
    """What this process runs with.

    Args:
        device: in words, see `omf.inference.load.load_method`.

    Returns:
        version, commit and image of the program; device, driver (None without a GPU); host, system, python; and under
        packages the version of each that is installed.
    """
    return {
        "version": VERSION,
        "commit": commit(PACKAGE.parent),
        "image": os.environ.get("OMF_IMAGE"),  # set in our container image
        "device": device,
        "driver": said_first(DRIVER_QUERY),
        "host": platform.node(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": dict(sorted((package.name.lower(), package.version) for package in distributions())),
    }


def commit(root: Path) -> str | None:
    """The commit of the code in `root`, with `-dirty` where it was changed since; None where that is not known."""
    built_from = root / "COMMIT"  # in our container image
    if built_from.is_file():
        return built_from.read_text().strip()
    if not (root / ".git").exists():
        return None  # else git would tell the commit of a checkout that the installed package lies in
    # the checkout of another user is as good here, and jobs beside each other must not wait for a lock
    git = ("git", "--no-optional-locks", "-c", "safe.directory=*", "-C", str(root))
    return said_first((*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"))


def said_first(command: Iterable[str]) -> str | None:
    """What a command says first; None where it fails, or is not there."""
    try:
        return (
            subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
            .stdout.strip()
            .partition("\n")[0]
            or None
        )
    except (OSError, subprocess.SubprocessError):
        return None


def environment_line(of: dict) -> str:
    """An environment in one line, for logs."""
    torch = of["packages"].get("torch")
    parts = [
        f"overexposure-mask-fusion {of['version']}",
        f"commit {of['commit'] or 'unknown'}",
        f"image {of['image'] or 'none'}",
    ]
    parts += [
        f"Python {of['python']}",
        f"PyTorch {torch}",
        of["device"],
        f"driver {of['driver'] or 'none'}",
        of["host"],
    ]
    return ", ".join(parts)


def provenance(
    environments: Iterable[dict], model: Model, config: dict, inputs: dict[str, dict[str, str]]
) -> dict:
    """What provenance.json holds.

    Args:
        environments: of the inference jobs. Those that differ in their host only are told once.
        model: in use.
        config: the settings of the run.
        inputs: the sha256 of each input file, by kind and name.
    """
    told: list[dict] = []
    for one in environments:
        same = {key: value for key, value in one.items() if key != "host"}
        entry = next((entry for entry in told if entry.items() >= same.items()), None)
        if entry is None:
            entry = same | {"jobs": 0, "hosts": []}
            told.append(entry)
        entry["jobs"] += 1
        entry["hosts"] = sorted({*entry["hosts"], one["host"]})
    weights = {
        f"{file.path.parent.name}/{file.path.name}": file.sha256 or sha256(file.path) for file in model.files
    }
    return {"environments": told, "model": model.name, "weights": weights, "config": config, "inputs": inputs}
