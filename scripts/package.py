"""Put the entry into the submission folder: RAW files, readme.txt, submission.zip."""

import argparse
from pathlib import Path

from omf.models.registry import find_model
from omf.pipeline.manifest import wait_for_files, write_manifest
from omf.pipeline.submission import write_submission
from omf.report.summary import entry_readme, of_shards, total_timing
from omf.utils.errors import cli_entry_point


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "results", type=Path, help="folder with raw/SHARD/NAME.npy or files/SHARD/*, and timing/SHARD.json"
    )
    parser.add_argument(
        "--entry",
        required=True,
        choices=["raw", "files"],
        help="what goes in: raw, and a zip of it; or files of another format",
    )
    parser.add_argument("--shards", nargs="+", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    timing = total_timing(of_shards(arguments.results, "timing", arguments.shards))
    folders = [arguments.results / arguments.entry / shard for shard in arguments.shards]
    raws = [raw for folder in folders for raw in wait_for_files(folder)]
    files = write_submission(
        raws,
        entry_readme(find_model(arguments.model), timing),
        arguments.out,
        zipped=arguments.entry == "raw",
    )
    write_manifest(files, arguments.results / "sealed" / "package.json")


if __name__ == "__main__":
    main()
