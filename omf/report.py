"""What a run did, summed up."""

import json
from pathlib import Path

from omf.evaluate import scores_table, summarise


def total_timing(files: list[Path]) -> dict:
    """Add up the inference jobs' measurements.

    Returns:
        images, seconds (in the networks, loading not counted), megapixels, seconds_per_image, device
        (all that were used), cpu (True if any of it ran on a CPU).
    """
    jobs = [json.loads(file.read_text()) for file in files]
    total = {key: sum(job[key] for job in jobs) for key in ("images", "seconds", "megapixels")}
    return total | {
        "seconds_per_image": total["seconds"] / max(total["images"], 1),
        "device": " + ".join(sorted({job["device"] for job in jobs})),
        "cpu": any(job["cpu"] for job in jobs),
    }


def read_problems(files: list[Path]) -> list[str]:
    """The lines that the jobs left: of preprocessing a list, of inference and evaluation under `problems`."""
    found = [json.loads(file.read_text()) for file in files]
    return [line for value in found for line in (value["problems"] if isinstance(value, dict) else value)]


def run_summary(model: str, scores: list[Path], timings: list[Path], problems: list[Path]) -> tuple[dict, dict]:
    """(summary.json, scores.json) of a run from what its jobs left."""
    merged = {}
    for file in scores:
        merged |= json.loads(file.read_text())["scores"]
    scored = summarise(merged)
    summary = {
        "model": model,
        **total_timing(timings),
        "problems": read_problems([*problems, *timings, *scores]),
        **{key: scored[key] for key in ("scored", "psnr", "ssim", "baseline")},
    }
    return summary, scored


def summary_text(summary: dict, scores: dict) -> str:
    """The summary that is shown at the end of a run."""
    rate = summary["images"] / summary["seconds"] if summary["seconds"] else 0.0
    lines = [
        f"{summary['images']} images reconstructed with model {summary['model']} on {summary['device']}"
        f" ({summary['seconds_per_image']:.2f} s an image, {rate:.2f} images/s)",
        "",
    ]
    if summary["scored"]:
        lines += [scores_table(scores), "", "baseline: inverse sRGB curve and average white balance"]
    else:
        lines += ["no ground truth of these names, so no scores"]
    if summary["problems"]:
        lines += ["", *(f"problem: {problem}" for problem in summary["problems"])]
        lines += ["Mend or remove these and run again; what is done stays done."]
    lines += ["", "RAW files, readme.txt and submission.zip: submission/"]
    return "\n".join(lines) + "\n"
