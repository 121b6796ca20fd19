"""Sum up a run in the submission folder: its scores, a summary, what made it, and report.html to look at."""

import argparse
import json
from pathlib import Path

from omf.evaluation.scores import summarise
from omf.models.registry import find_model
from omf.pipeline.manifest import write_manifest
from omf.report.page import write_report
from omf.report.provenance import provenance
from omf.report.summary import (
    entry_readme,
    merged,
    of_shards,
    problems_in,
    run_summary,
    step_seconds,
    summary_text,
    total_timing,
    write_scores,
)
from omf.utils.errors import cli_entry_point
from omf.utils.files import atomic_write, save_json, save_text
from omf.utils.paths import redact_home


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "results",
        type=Path,
        help="folder with photos, timing, written, scores (SHARD.json) and benchmarks (STAGE/SHARD.tsv)",
    )
    parser.add_argument("--shards", nargs="+", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--config", required=True, help="the settings of the run, JSON")
    parser.add_argument("--problems", required=True, help="that were known at the start, JSON list")
    parser.add_argument(
        "--pictures", type=Path, required=True, help="folder for the page's pictures as files of their own"
    )
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    kinds = ("photos", "timing", "written", "scores")
    photos, timings, written, scored = (
        of_shards(arguments.results, kind, arguments.shards) for kind in kinds
    )
    out, model = arguments.out, find_model(arguments.model)
    records, timing = merged(scored, "images"), total_timing(timings)
    scores = summarise(records)
    summary = run_summary(
        arguments.model,
        model.camera,
        timing,
        scores,
        json.loads(arguments.problems) + problems_in([*photos, *timings, *written, *scored]),
    )
    inputs = {"photos": merged(photos, "sha256"), "ground_truth": merged(scored, "sha256")}
    write_scores(scores, entry_readme(model, timing), out)
    made_by = provenance([job["environment"] for job in timings], model, json.loads(arguments.config), inputs)
    save_json(out / "provenance.json", redact_home(made_by))
    save_json(out / "summary.json", summary)
    save_text(out / "summary.txt", summary_text(summary, scores))
    seconds = step_seconds(arguments.results / "benchmarks", arguments.shards)
    for name, content in write_report(summary, scores, records, seconds, out / "report.html").items():
        with atomic_write(arguments.pictures / name) as temporary:
            temporary.write_bytes(content)
    names = (
        "scores.txt",
        "scores.json",
        "scores.csv",
        "provenance.json",
        "summary.json",
        "summary.txt",
        "report.html",
    )
    files = [out / name for name in names if (out / name).exists()]  # scores.txt where there is ground truth
    write_manifest([*files, *arguments.pictures.iterdir()], arguments.results / "sealed" / "report.json")


if __name__ == "__main__":
    main()
