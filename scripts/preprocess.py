"""Decode a shard of photos; list those that can't be used."""

import argparse
from pathlib import Path

from omf.errors import told_in_one_line
from omf.files import save_json
from omf.stages import preprocess


@told_in_one_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for NAME.npz")
    parser.add_argument("--problems", type=Path, required=True, help="JSON list of lines")
    arguments = parser.parse_args()
    problems = preprocess(arguments.photos, arguments.out)
    save_json(arguments.problems, problems)
    for problem in problems:
        print(f"problem: {problem}")


if __name__ == "__main__":
    main()
