"""Plan files: the data that jobs work on, so that command lines carry none. No torch here."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from omf.utils.files import save_text


@dataclass(frozen=True)
class ShardPlan:
    """The data of the jobs of one shard."""

    photos: list[Path]
    ground_truth: list[Path]
    formats: list[dict]  # fields of RawFormat, the scored one first
    camera: str
    model: str  # written to DNG files


@dataclass(frozen=True)
class RunPlan:
    """The data of the jobs that collect all shards."""

    shards: list[str]
    model: str
    entry: str  # folder of results/ that goes into submission/: raw, or files of another format
    config: dict  # settings of the run
    problems: list[str]  # photos that no job can use


def save_plan(plan: ShardPlan | RunPlan, path: Path) -> None:
    """Write a plan as JSON, unless the file has this content already."""
    text = json.dumps(asdict(plan), default=str) + "\n"
    if not path.is_file() or path.read_text() != text:
        save_text(path, text)


def load_shard_plan(path: Path) -> ShardPlan:
    """Read the plan of a shard."""
    plan = json.loads(path.read_text())
    for name in ("photos", "ground_truth"):
        plan[name] = [Path(file) for file in plan[name]]
    return ShardPlan(**plan)


def load_run_plan(path: Path) -> RunPlan:
    """Read the plan of a run."""
    return RunPlan(**json.loads(path.read_text()))
