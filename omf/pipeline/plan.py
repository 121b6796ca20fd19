"""Plan files: the data that jobs work on, so that command lines carry none. No torch here.

The name of a plan contains the hash of its content, and the plan is a parameter of its rule: other data give
another name, which reruns the step, and no job can read an outdated plan from the cache of a file server.
"""

import hashlib
import json
from pathlib import Path

from omf.io.photo_tars import expand_tars
from omf.pipeline.manifest import wait_until_found
from omf.utils.files import save_text
from omf.utils.remote import to_path


def plan_file(folder: Path, name: str, plan: dict) -> Path:
    """Return the path of a plan: NAME.HASH.json."""
    return folder / f"{name}.{hashlib.sha256(to_json(plan).encode()).hexdigest()[:16]}.json"


def save_plan(path: Path, plan: dict) -> None:
    """Write a plan, unless it exists."""
    if not path.is_file():
        save_text(path, to_json(plan), own=True)


def load_plan(path: Path) -> dict:
    """Read a plan, once it is visible. Raises InputError if it is not after a minute."""
    wait_until_found(lambda: None if path.is_file() else str(path))
    return json.loads(path.read_text())


def planned_photos(plan: dict) -> tuple[list[Path], list[str]]:
    """Return the photos of a plan, with those in its tars, and a line for each fault of a tar."""
    return expand_tars(map(to_path, plan["photos"]))


def to_json(plan: dict) -> str:
    """Return a plan as JSON, with paths as text."""
    return json.dumps(plan, default=str) + "\n"
