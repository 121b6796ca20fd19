"""Write the entry to the submission folder: RAW files, readme.txt, submission.zip; or the index of tars."""

import argparse
from pathlib import Path

import omf.utils.program  # noqa: F401 - before all that takes long
from omf.models.registry import find_model
from omf.pipeline.manifest import wait_for_files, write_manifest
from omf.pipeline.plan import load_plan
from omf.pipeline.submission import write_index, write_submission
from omf.report.summary import entry_readme, read_shard_records, total_timing
from omf.utils.errors import cli_entry_point
from omf.utils.written import RUN_COMMAND, begin_command


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path, help="JSON of the shards and what else the step needs")
    parser.add_argument("results", type=Path, help="folder of the results of the shards")
    parser.add_argument("--out", type=Path, required=True, help="submission folder")
    arguments = parser.parse_args()
    begin_command(RUN_COMMAND)
    plan, results = load_plan(arguments.plan), arguments.results
    timing = total_timing(read_shard_records(results, "timing", plan["shards"]))
    readme = entry_readme(find_model(plan["model"]), timing)
    if plan["entry"] == "shards":
        written = read_shard_records(results, "written", plan["shards"])
        files = write_index([row for record in written for row in record["index"]], readme, arguments.out)
    else:
        # of a name in several tars, the first one counts
        raws = [raw for shard in plan["shards"] for raw in wait_for_files(results / plan["entry"] / shard)]
        raws = [*{raw.name: raw for raw in reversed(raws)}.values()]
        files = write_submission(raws, readme, arguments.out, plan["zipped"])
    write_manifest(files, results / "manifest" / "package.json")


if __name__ == "__main__":
    main()
