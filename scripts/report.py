"""Summarise a run in the submission folder: scores, summary, provenance and report.html."""

import argparse
from pathlib import Path

import omf.utils.program  # noqa: F401 - before all that takes long
from omf.evaluation.scores import add_expectations, summarise
from omf.io.tars import note_place
from omf.models.registry import find_model
from omf.pipeline.manifest import write_manifest
from omf.pipeline.plan import load_plan
from omf.raw.challenge_scenes import summarise_scene
from omf.report.page import write_report
from omf.report.provenance import provenance
from omf.report.summary import (
    REPORT_FILES,
    collect_problems,
    entry_readme,
    find_clashes,
    merge_by_name,
    read_shard_records,
    run_summary,
    step_seconds,
    summary_text,
    total_timing,
    write_scores,
)
from omf.utils.errors import cli_entry_point
from omf.utils.files import atomic_write, save_json, save_text
from omf.utils.paths import redact_home
from omf.utils.remote import to_path
from omf.utils.written import RUN_COMMAND, begin_command


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path, help="JSON of the shards and what else the step needs")
    parser.add_argument(
        "results",
        type=Path,
        help="folder with photos, timing, written, scores (SHARD.json) and benchmarks (STEP/SHARD.tsv)",
    )
    parser.add_argument("--pictures", type=Path, required=True, help="folder for the pictures of the page")
    parser.add_argument("--out", type=Path, required=True, help="submission folder")
    arguments = parser.parse_args()
    begin_command(RUN_COMMAND)
    plan, results, out = load_plan(arguments.plan), arguments.results, arguments.out
    photos, timings, written, scored = (
        read_shard_records(results, kind, plan["shards"])
        for kind in ("photos", "timing", "written", "scores")
    )
    model, cameras = find_model(plan["model"]), merge_by_name(photos, "cameras")
    expected, timing = merge_by_name(timings, "expected"), total_timing(timings)
    records = merge_by_name(scored, "images")
    add_expectations(records, expected)
    for record in records.values():
        for key in {"photo_place", "raw_place"} & record.keys():
            note_place(to_path(record[key.partition("_")[0]]), *record[key])
    scores = summarise(records)
    problems = plan["problems"] + find_clashes(plan["shards"], photos)
    problems += collect_problems([*photos, *timings, *written, *scored])
    scenes = {name: summarise_scene(scene) for name, scene in merge_by_name(photos, "scenes").items()}
    neutrals = merge_by_name(photos, "neutrals") if plan["config"]["neutral"] else None
    summary = run_summary(plan["model"], model.camera, timing, scores, problems, scenes, cameras, neutrals)
    inputs = {"photos": merge_by_name(photos, "sha256"), "ground_truth": merge_by_name(scored, "sha256")}
    environments = [job["environment"] for job in timings]
    made_by = provenance(environments, model, plan["config"], inputs, scenes, cameras, neutrals)
    write_scores(scores, entry_readme(model, timing), out)
    save_json(out / "provenance.json", redact_home(made_by))
    save_json(out / "summary.json", summary)
    save_text(out / "summary.txt", summary_text(summary, scores))
    seconds = step_seconds(results / "benchmarks", plan["shards"])
    for name, content in write_report(summary, scores, records, seconds, out / "report.html").items():
        with atomic_write(arguments.pictures / name) as temporary:
            temporary.write_bytes(content)
    files = [out / name for name in REPORT_FILES if (out / name).exists()]  # scores.txt needs ground truth
    write_manifest([*files, *arguments.pictures.iterdir()], results / "manifest" / "report.json")


if __name__ == "__main__":
    main()
