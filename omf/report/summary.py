"""What a run did, summed up."""

import csv
import json
from pathlib import Path

from omf.evaluation.scores import scores_csv, scores_table, warnings_line
from omf.models.registry import Model
from omf.utils.errors import printable
from omf.utils.files import save_json, save_text
from omf.utils.paths import redact_home

SCORES_FILE = "scores.txt"

SHARD_STEPS = ("preprocess", "infer", "mosaic", "evaluate")  # of a shard


def of_shards(results: Path, kind: str, shards: list[str]) -> list[dict]:
    """What the shards' jobs left in RESULTS/KIND/SHARD.json."""
    return [json.loads((results / kind / f"{shard}.json").read_text()) for shard in shards]


def total_timing(jobs: list[dict]) -> dict:
    """Add up the inference jobs' measurements.

    Returns:
        images, seconds (in the networks, loading not counted), megapixels, seconds_per_image, device
        (all that were used), cpu (True if any of it ran on a CPU).
    """
    total = {key: sum(job[key] for job in jobs) for key in ("images", "seconds", "megapixels")}
    return total | {
        "seconds_per_image": total["seconds"] / max(total["images"], 1),
        "device": " + ".join(sorted({job["device"] for job in jobs})),
        "cpu": any(job["cpu"] for job in jobs),
    }


def problems_in(jobs: list[dict]) -> list[str]:
    """The lines about what could not be used, each once: two jobs may have met the same file."""
    return list(dict.fromkeys(line for job in jobs for line in job["problems"]))


def merged(jobs: list[dict], key: str) -> dict:
    """What the jobs left under `key`, together, by name."""
    return dict(sorted(item for job in jobs for item in job[key].items()))


def step_seconds(folder: Path, shards: list[str]) -> dict[str, float]:
    """Seconds of each stage's jobs, from FOLDER/STAGE/SHARD.tsv, which hold a column `s`; without those that are not there."""
    seconds: dict[str, float] = {}
    for stage in SHARD_STEPS:
        for table in (folder / stage / f"{shard}.tsv" for shard in shards):
            if table.is_file():
                with table.open(newline="") as file:
                    seconds[stage] = seconds.get(stage, 0.0) + sum(
                        float(row["s"]) for row in csv.DictReader(file, delimiter="\t")
                    )
    return seconds


def run_summary(model: str | None, camera: str, timing: dict, scores: dict, problems: list[str]) -> dict:
    """What summary.json holds.

    Args:
        model: its name, where it is known.
        camera: whose RAW it gives.
        timing: see `total_timing`; `images` is enough.
        scores: see `omf.evaluation.scores.summarise`.
        problems: a line each.
    """
    warnings = [
        printable(f"{name}: {remark}")
        for name, image in scores["images"].items()
        if (remark := warnings_line(image))
    ]
    known = {
        "model": model and printable(model),
        "camera": camera,
        **timing,
        "scored": scores["scored"],
        **scores["mean"],
    }
    return redact_home(known | {"problems": problems, "warnings": warnings})


def entry_readme(model: Model, timing: dict) -> str:
    """The entry's readme.txt; `timing` as `total_timing` gives it."""
    description = f"Overexposure Mask Fusion, model {printable(Path(model.name).name)}, {timing['device']}"
    return readme_text(timing["seconds_per_image"], timing["cpu"], model.extra_data, description)


def write_scores(scores: dict, readme: str | None, out: Path) -> None:
    """Leave scores.json and scores.csv in a folder; and scores.txt, if something was scored and the entry's readme.txt is known."""
    save_json(out / "scores.json", scores)
    save_text(out / "scores.csv", scores_csv(scores))
    if scores["scored"] and readme:
        save_text(out / SCORES_FILE, scores_text(scores["mean"]["psnr"], scores["mean"]["ssim"], readme))
    else:
        (out / SCORES_FILE).unlink(missing_ok=True)  # of an earlier run


def summary_text(summary: dict, scores: dict) -> str:
    """The summary that is shown at the end of a run."""
    rate = summary["images"] / summary["seconds"] if summary["seconds"] else 0.0
    lines = [
        f"{summary['images']} images reconstructed with model {summary['model']} on {summary['device']}"
        f" ({summary['seconds_per_image']:.2f} s an image, {rate:.2f} images/s)",
        "",
    ]
    if summary["scored"]:
        lines += [
            scores_table(scores),
            "",
            "unprocess: the classical method of Brooks et al. 2019, with random gains",
        ]
    else:
        lines += ["no ground truth of these names, so no scores"]
    if summary["consistency_psnr"] is not None:
        lines += [
            f"consistency with the photos (which is not accuracy): {summary['consistency_psnr']:.2f} dB"
        ]
    if summary["warnings"]:
        lines += ["", *(f"warning: {line}" for line in summary["warnings"])]
    if summary["problems"]:
        lines += ["", *(f"problem: {problem}" for problem in summary["problems"])]
        lines += ["Mend or remove these and run again; what is done stays done."]
    lines += ["", "Look at it: submission/report.html", "RAW files and the entry: submission/"]
    lines += ["Code, packages, settings and hashes that made it: submission/provenance.json"]
    return "\n".join(lines) + "\n"


def readme_text(runtime: float, on_cpu: bool, extra_data: bool, description: str) -> str:
    """The four lines that the scorer reads; `runtime` in seconds per image."""
    return (
        f"runtime per image [s] : {runtime:.4f}\n"
        f"CPU[1] / GPU[0] : {int(on_cpu)}\n"
        f"Extra Data [1] / No Extra Data [0] : {int(extra_data)}\n"
        f"Other description : {description}\n"
    )


def scores_text(psnr: float, ssim: float, readme: str) -> str:
    """The scorer's answer, scores.txt: means over the images, then what the entry's readme.txt says."""
    runtime, on_cpu, extra_data = (line.partition(" : ")[2].strip() for line in readme.splitlines()[:3])
    values = {
        "PSNR": psnr,
        "SSIM": ssim,
        "ExtraRuntime": runtime,
        "ExtraPlatform": on_cpu,
        "ExtraData": extra_data,
    }
    return "".join(f"{key}:{value}\n" for key, value in values.items())
