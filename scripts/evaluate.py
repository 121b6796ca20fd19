"""Judge a shard of reconstructions: against ground truth where there is some, and by the photos."""

import argparse
from pathlib import Path

from omf.evaluation.scores import match_items, score_all
from omf.io.photos import by_name
from omf.pipeline.manifest import wait_for_files
from omf.raw.camera import load_camera
from omf.utils.errors import cli_entry_point
from omf.utils.files import save_json, sha256


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("raw", type=Path, help="folder of NAME.npy")
    parser.add_argument("--truths", nargs="*", type=Path, required=True, help="ground-truth files")
    parser.add_argument("--photos", nargs="+", type=Path, required=True, help="the sRGB pictures")
    parser.add_argument("--camera", required=True)
    parser.add_argument(
        "--white-level", type=int, required=True, help="counts for white, of RAW and ground truth"
    )
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="JSON: records of the images, hashes of their ground truth, problems",
    )
    arguments = parser.parse_args()
    predictions, truths = (
        {path.stem: path for path in paths} for paths in (wait_for_files(arguments.raw), arguments.truths)
    )
    found = match_items(predictions, truths, by_name(arguments.photos)[0], arguments.white_level)
    records, problems = score_all(found, load_camera(arguments.camera), arguments.processes)
    hashes = {truths[name].name: sha256(truths[name]) for name, record in records.items() if "psnr" in record}
    save_json(arguments.out, {"images": records, "sha256": hashes, "problems": problems})


if __name__ == "__main__":
    main()
