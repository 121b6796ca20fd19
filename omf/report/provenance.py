"""Provenance of a result: code, packages, machine, settings and hashes of all inputs. No torch here."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path

from omf.models.registry import Model
from omf.utils.files import sha256
from omf.utils.machine import query_gpus
from omf.utils.paths import PACKAGE
from omf.utils.version import VERSION


def environment(device: str) -> dict:
    """Describe the environment of this process; `device`: see `omf.inference.load.load_method`.

    Returns:
        version, commit and image of the program; device; driver (None without a GPU); host, system, python;
        packages: version of each installed package.
    """
    return {
        "version": VERSION,
        "commit": commit(PACKAGE.parent),
        "image": os.environ.get("OMF_IMAGE"),  # set in our container image
        "device": device,
        "driver": next((driver for (driver,) in query_gpus("driver_version")), None),
        "host": platform.node(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": dict(sorted((package.name.lower(), package.version) for package in distributions())),
    }


def commit(root: Path) -> str | None:
    """Return the commit of the code in `root`, or None if unknown; `-dirty` marks uncommitted changes."""
    built_from = root / "COMMIT"  # in our container image
    if built_from.is_file():
        return built_from.read_text().strip()
    if not (root / ".git").exists():
        return None  # git would report an enclosing checkout, in which the package may be installed
    # accept a checkout that another user owns; take no lock, since several jobs run this at once
    git = ("git", "--no-optional-locks", "-c", "safe.directory=*", "-C", str(root))
    describe = (*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    try:
        return subprocess.run(describe, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def environment_line(record: dict) -> str:
    """Format an environment as one line, for logs."""
    return (
        f"overexposure-mask-fusion {record['version']}, commit {record['commit'] or 'unknown'},"
        f" image {record['image'] or 'none'}, Python {record['python']},"
        f" PyTorch {record['packages'].get('torch')}, {record['device']},"
        f" driver {record['driver'] or 'none'}, {record['host']}"
    )


def provenance(
    environments: Iterable[dict],
    model: Model,
    config: dict,
    inputs: dict[str, dict[str, str]],
    scenes: dict[str, dict],
    cameras: dict[str, str],
    neutrals: dict[str, list[float] | None] | None,
) -> dict:
    """Return the contents of provenance.json.

    Args:
        environments: of the inference jobs; those that differ only in their host are merged.
        model, config: model and settings of the run.
        inputs: sha256 of each input file, by kind and name.
        scenes: extra curves and number of photos of each scene, see `summarise_scene`.
        cameras: by photo, see `omf.io.cameras.asked_camera`.
        neutrals: by photo, white balance that it tells; None: not asked for.
    """
    distinct: dict[str, dict] = {}
    for job in environments:
        shared = {key: value for key, value in job.items() if key != "host"}
        entry = distinct.setdefault(json.dumps(shared, sort_keys=True), shared | {"jobs": 0, "hosts": []})
        entry["jobs"] += 1
        entry["hosts"] = sorted({*entry["hosts"], job["host"]})
    weights = {"/".join(file.path.parts[-2:]): file.sha256 or sha256(file.path) for file in model.files}
    return {
        "environments": list(distinct.values()),
        "model": model.name,
        "weights": weights,
        "config": config,
        "inputs": inputs,
        "scenes": scenes,
        "cameras": {photo: asked or model.camera for photo, asked in cameras.items()},
        "neutrals": neutrals,
    }
