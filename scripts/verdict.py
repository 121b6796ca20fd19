"""End with an error and the list if some image could not be used."""

import argparse
from pathlib import Path

from omf.errors import told_in_one_line
from omf.files import save_text
from omf.report import read_problems


@told_in_one_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="JSON files of the preprocessing and evaluation jobs")
    parser.add_argument("--out", type=Path, required=True, help="written, empty, if there are no problems")
    arguments = parser.parse_args()
    problems = read_problems(arguments.files)
    for problem in problems:
        print(f"problem: {problem}")
    if problems:
        print("the other images are done and in submission/; mend or remove these and run again")
        return 1
    save_text(arguments.out, "")
    return 0


if __name__ == "__main__":
    main()
