"""Put the entry into the submission folder: RAW files, readme.txt, submission.zip."""

import argparse
from pathlib import Path

from omf.challenge import write_submission
from omf.errors import told_in_one_line
from omf.models import find_model
from omf.summary import entry_readme, total_timing


@told_in_one_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raws", nargs="+", type=Path, required=True, help="folders of NAME.npy")
    parser.add_argument("--timings", nargs="+", type=Path, required=True, help="JSON files of the inference jobs")
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    readme = entry_readme(find_model(arguments.model), total_timing(arguments.timings))
    write_submission([raw for folder in arguments.raws for raw in sorted(folder.glob("*.npy"))], readme, arguments.out)


if __name__ == "__main__":
    main()
