"""Summary of a run: totals, scores, the challenge's readme.txt and scores.txt."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, Template, select_autoescape

from omf.evaluation.scores import scores_csv, scores_table, warnings_line
from omf.io.cameras import cameras_line, label_of, neutrals_line
from omf.models.registry import Model
from omf.raw.challenge_scenes import scene_line
from omf.utils.console import count_of
from omf.utils.errors import printable
from omf.utils.files import save_json, save_text
from omf.utils.paths import redact_home
from omf.utils.written import remove_own

TEMPLATES = Path(__file__).parent / "templates"
SCORES_FILE, SUMMARY = "scores.txt", "summary.txt"
REPORT_FILES = (  # of a run, in submission/
    *(SCORES_FILE, "scores.json", "scores.csv"),
    *("provenance.json", "summary.json", SUMMARY, "report.html"),
)

SHARD_STEPS = ("preprocess", "infer", "mosaic", "evaluate")  # steps that run once per shard


def read_shard_records(results: Path, kind: str, shards: list[str]) -> list[dict]:
    """Read RESULTS/KIND/SHARD.json of each shard."""
    return [json.loads((results / kind / f"{shard}.json").read_text()) for shard in shards]


def total_timing(jobs: list[dict]) -> dict:
    """Add up the measurements of the inference jobs.

    Returns:
        images, seconds (in the networks, without loading them), megapixels, seconds_per_image, device (all
        devices used), cpu (True if any job ran on a CPU).
    """
    total = {key: sum(job[key] for job in jobs) for key in ("images", "seconds", "megapixels")}
    return total | {
        "seconds_per_image": total["seconds"] / max(total["images"], 1),
        "device": " + ".join(sorted({job["device"] for job in jobs})),
        "cpu": any(job["cpu"] for job in jobs),
    }


def collect_problems(jobs: list[dict]) -> list[str]:
    """Collect the problems of the jobs, without duplicates: two jobs may have read the same file."""
    return list(dict.fromkeys(line for job in jobs for line in job["problems"]))


def merge_by_name(jobs: list[dict], key: str) -> dict:
    """Merge the dictionaries under `key` of all jobs, such as scores or hashes, sorted by name.

    Of a name that several have, see `find_clashes`, the first job's value counts.
    """
    merged: dict = {}
    for job in reversed(jobs):
        merged |= job[key]
    return {name: merged[name] for name in sorted(merged)}


def find_clashes(shards: list[str], jobs: list[dict]) -> list[str]:
    """Return a line for each photo of a name that one of an earlier shard has; `jobs`: of preprocess."""
    first, problems = {}, []
    for shard, job in zip(shards, jobs, strict=True):
        for photo in job["sha256"]:
            if (other := first.setdefault(Path(photo).stem, shard)) != shard:
                fault = f"has the name of a photo of the shard {other}, which counts; rename it"
                problems.append(printable(f"{photo} of the shard {shard}: {fault}"))
    return problems


def step_seconds(folder: Path, shards: list[str]) -> dict[str, float]:
    """Add up the column `s` of FOLDER/STEP/SHARD.tsv for each step; missing files are skipped."""
    seconds: dict[str, float] = {}
    for step in SHARD_STEPS:
        for table in (folder / step / f"{shard}.tsv" for shard in shards):
            if table.is_file():
                rows = csv.DictReader(table.read_text().splitlines(), delimiter="\t")
                seconds[step] = seconds.get(step, 0.0) + sum(float(row["s"]) for row in rows)
    return seconds


def run_summary(
    model: str | None,
    camera: str,
    timing: dict,
    scores: dict,
    problems: list[str],
    scenes: Mapping[str, dict] = {},
    cameras: Mapping[str, str] = {},
    neutrals: Mapping[str, list[float] | None] | None = None,
) -> dict:
    """Return the contents of summary.json.

    Args:
        model, camera: name of the model, None if unknown, and its camera.
        timing: see `total_timing`; only `images` is required.
        scores: see `omf.evaluation.scores.summarise`.
        problems: one line per file that could not be used.
        scenes, cameras, neutrals: see `omf.report.provenance.provenance`.
    """
    asked = sorted({label_of(name) if name else camera for name in cameras.values()}) or [camera]
    lines = {name: warnings_line(image) for name, image in scores["images"].items()}
    summary = {
        "model": model and printable(model),
        "camera": asked[0] if len(asked) == 1 else f"{len(asked)} cameras",
        "cameras": cameras_line(cameras, camera) if any(cameras.values()) else "",
        "white_balance": "" if neutrals is None else neutrals_line(neutrals),
        **timing,
        "scored": scores["scored"],
        **scores["mean"],
        "problems": problems,
        "scenes": [printable(scene_line(name, scene)) for name, scene in scenes.items()],
        "warnings": [printable(f"{name}: {line}") for name, line in lines.items() if line],
    }
    return redact_home(summary)


def entry_readme(model: Model, timing: dict) -> str:
    """Return the submission's readme.txt, the four lines that the scorer reads; see `total_timing`."""
    return (
        f"runtime per image [s] : {timing['seconds_per_image']:.4f}\n"
        f"CPU[1] / GPU[0] : {int(timing['cpu'])}\n"
        f"Extra Data [1] / No Extra Data [0] : {int(model.extra_data)}\n"
        "Other description : Overexposure Mask Fusion,"
        f" model {printable(Path(model.name).name)}, {timing['device']}\n"
    )


def write_scores(scores: dict, readme: str | None, out: Path) -> None:
    """Write scores.json and scores.csv to a folder, and scores.txt if there are scores and a readme.txt."""
    save_json(out / "scores.json", scores)
    save_text(out / "scores.csv", scores_csv(scores))
    if scores["scored"] and readme:
        save_text(out / SCORES_FILE, scores_text(scores["mean"], readme))
    else:
        remove_own(out / SCORES_FILE)


def scores_text(mean: dict, readme: str) -> str:
    """Return scores.txt, the scorer's output: means over the images, then the values of readme.txt."""
    values = [line.partition(" : ")[2].strip() for line in readme.splitlines()]
    names = ("PSNR", "SSIM", "ExtraRuntime", "ExtraPlatform", "ExtraData")
    return "".join(f"{name}:{value}\n" for name, value in zip(names, [mean["psnr"], mean["ssim"], *values]))


def summary_text(summary: dict, scores: dict) -> str:
    """Format the summary that is printed at the end of a run."""
    rate = summary["images"] / summary["seconds"] if summary["seconds"] else 0.0
    images, table = count_of(summary["images"], "image"), scores_table(scores) if summary["scored"] else ""
    return load_template("summary.txt").render(summary=summary, images=images, rate=rate, table=table) + "\n"


def load_template(name: str) -> Template:
    """Load a template of the report. HTML is escaped."""
    options = {"autoescape": select_autoescape(), "trim_blocks": True, "lstrip_blocks": True}
    return Environment(loader=FileSystemLoader(TEMPLATES), **options).get_template(name)
