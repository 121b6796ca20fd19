"""Sum up a run in the submission folder: its scores, a summary, and report.html to look at."""

import argparse
from pathlib import Path

from omf.errors import told_in_one_line
from omf.evaluate import summarise
from omf.files import save_json, save_text, written_whole
from omf.models import find_model
from omf.report import write_report
from omf.summary import entry_readme, read_problems, read_records, run_summary, stage_seconds, summary_text, total_timing, write_scores


@told_in_one_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", nargs="+", type=Path, required=True, help="JSON files of the evaluation jobs")
    parser.add_argument("--timings", nargs="+", type=Path, required=True, help="JSON files of the inference jobs")
    parser.add_argument("--problems", nargs="+", type=Path, required=True, help="JSON lists of the preprocessing jobs")
    parser.add_argument("--benchmarks", type=Path, required=True, help="folder of STAGE/SHARD.tsv with the seconds of jobs")
    parser.add_argument("--model", required=True)
    parser.add_argument("--pictures", type=Path, required=True, help="folder for the page's pictures as files of their own")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    records, out = read_records(arguments.scores), arguments.out
    scores = summarise(records)
    problems = read_problems([*arguments.problems, *arguments.timings, *arguments.scores])
    timing = total_timing(arguments.timings)
    model = find_model(arguments.model)
    summary = run_summary(arguments.model, model.camera, timing, scores, problems)
    write_scores(scores, entry_readme(model, timing), out)
    save_json(out / "summary.json", summary)
    save_text(out / "summary.txt", summary_text(summary, scores))
    seconds = stage_seconds(arguments.benchmarks, [file.stem for file in arguments.timings])
    for name, content in write_report(summary, scores, records, seconds, out / "report.html").items():
        with written_whole(arguments.pictures / name) as temporary:
            temporary.write_bytes(content)


if __name__ == "__main__":
    main()
