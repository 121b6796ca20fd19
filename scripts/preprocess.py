"""Decode a shard of photos; list those that can't be used."""

import argparse
from pathlib import Path

from omf.pipeline.preprocess import preprocess
from omf.utils.errors import cli_entry_point
from omf.utils.files import save_json


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for NAME.npz")
    parser.add_argument("--record", type=Path, required=True, help="JSON of the photos' hashes, and problems")
    arguments = parser.parse_args()
    record = preprocess(arguments.photos, arguments.out)
    save_json(arguments.record, record)
    for problem in record["problems"]:
        print(f"problem: {problem}")


if __name__ == "__main__":
    main()
