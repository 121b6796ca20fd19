"""Fail and print the summary if an image could not be used."""

import argparse
import json
from pathlib import Path

import omf.utils.program  # noqa: F401 - before all that takes long
from omf.utils.errors import cli_entry_point
from omf.utils.files import save_text


@cli_entry_point
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("summary", type=Path, help="summary.json")
    parser.add_argument("text", type=Path, help="summary.txt")
    parser.add_argument("--out", type=Path, required=True, help="written if there are no problems")
    arguments = parser.parse_args()
    if json.loads(arguments.summary.read_text())["problems"]:
        print(arguments.text.read_text("utf-8"))
        return 1
    save_text(arguments.out, "no problems\n")
    return 0


if __name__ == "__main__":
    main()
