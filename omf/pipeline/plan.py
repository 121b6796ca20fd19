"""Plan files: the data that jobs work on, so that command lines carry none. No torch here.

The name of a plan contains the hash of its content, and the plan is a parameter of its rule: other data give
another name, which reruns the step, and no job can read an outdated plan from the cache of a file server.
"""

import hashlib
import json
import time
from pathlib import Path

from omf.pipeline.manifest import TIMEOUT_SECONDS
from omf.utils.errors import InputError
from omf.utils.files import save_text


def plan_file(folder: Path, name: str, plan: dict) -> Path:
    """Return the path of a plan: NAME.HASH.json."""
    return folder / f"{name}.{hashlib.sha256(to_json(plan).encode()).hexdigest()[:16]}.json"


def save_plan(path: Path, plan: dict) -> None:
    """Write a plan, unless it exists."""
    if not path.is_file():
        save_text(path, to_json(plan), own=True)


def load_plan(path: Path) -> dict:
    """Read a plan, once it is visible.

    Raises:
        InputError: it is not visible after a minute.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not path.is_file():
        if time.monotonic() > deadline:
            raise InputError(f"{path}: not there after {TIMEOUT_SECONDS:.0f} s; run again, which writes it")
        time.sleep(0.2)
    return json.loads(path.read_text())


def to_json(plan: dict) -> str:
    """Return a plan as JSON, with paths as text."""
    return json.dumps(plan, default=str) + "\n"
