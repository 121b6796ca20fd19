"""Sum up a run: scores.json, summary.json and summary.txt in the submission folder."""

import argparse
from pathlib import Path

from omf.errors import told_in_one_line
from omf.files import save_json, save_text
from omf.report import run_summary, summary_text


@told_in_one_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", nargs="+", type=Path, required=True, help="JSON files of the evaluation jobs")
    parser.add_argument("--timings", nargs="+", type=Path, required=True, help="JSON files of the inference jobs")
    parser.add_argument("--problems", nargs="+", type=Path, required=True, help="JSON lists of the preprocessing jobs")
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    summary, scores = run_summary(arguments.model, arguments.scores, arguments.timings, arguments.problems)
    save_json(arguments.out / "scores.json", scores)
    save_json(arguments.out / "summary.json", summary)
    save_text(arguments.out / "summary.txt", summary_text(summary, scores))


if __name__ == "__main__":
    main()
