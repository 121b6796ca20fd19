"""Score the RAW of a shard against ground truth, and check its consistency with the photos."""

import argparse
import json
from pathlib import Path

import omf.utils.program  # noqa: F401 - before all that takes long
from omf.evaluation.ground_truth import ground_truth_in_tars, list_ground_truth
from omf.evaluation.scores import match_items, score_all
from omf.io.cameras import find_camera, find_cameras
from omf.io.local_files import on_local_file
from omf.io.photos import map_by_name, match_shots
from omf.io.tar_shards import list_raw_in_tar
from omf.io.tars import TAR, find_member
from omf.pipeline.manifest import wait_for_file, wait_for_files
from omf.pipeline.plan import load_plan, planned_photos
from omf.pipeline.samples import name_samples
from omf.raw.challenge_scenes import curves_of_patches
from omf.utils.errors import cli_entry_point
from omf.utils.files import save_json, sha256
from omf.utils.remote import to_path


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path, help="JSON of the photos and what else the step needs")
    parser.add_argument("raw", type=Path, help="folder of NAME.npy, or a tar of RAW")
    parser.add_argument("--photos", type=Path, required=True, help="JSON that preprocess wrote")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument(
        "--out", type=Path, required=True, help="JSON: scores, hashes of the ground truth, problems"
    )
    arguments = parser.parse_args()
    plan = load_plan(arguments.plan)
    if arguments.raw.suffix == TAR:
        wait_for_file(arguments.raw)
        predictions = list_raw_in_tar(arguments.raw)
    else:
        predictions = {path.stem: path for path in wait_for_files(arguments.raw)}
    photos = map_by_name(planned_photos(plan)[0])[0]
    given = {path.stem: path for path in map(Path, plan["ground_truth"])}
    for folder in plan["ground_truth_folders"]:
        given |= list_ground_truth(Path(folder))
    ground_truth = match_shots(photos, given) | ground_truth_in_tars(photos)
    record = json.loads(arguments.photos.read_text())
    curves, cameras = curves_of_patches(record["scenes"]), find_cameras(record["cameras"])
    named = (name_samples(known, plan["samples"]) for known in (ground_truth, photos, curves, cameras))
    ground_truth, photos, curves, cameras = named
    items = match_items(predictions, ground_truth, photos, plan["white_level"], curves, cameras)
    records, problems = score_all(items, find_camera(plan["model_camera"]), arguments.processes)
    for record in records.values():
        for key in {"photo", "raw"} & record.keys():
            if member := find_member(to_path(record[key])):  # for the report, which shows images of any tars
                record[f"{key}_place"] = member.offset, member.size
        if plan["output"]:  # the tar is removed here once it is scored
            record["raw"] = str(to_path(plan["output"]) / arguments.raw.name / Path(record["raw"]).name)
    scored = [ground_truth[name] for name, record in records.items() if "psnr" in record]
    hashes = {path.name: on_local_file(sha256)(path) for path in scored}
    save_json(arguments.out, {"images": records, "sha256": hashes, "problems": problems})


if __name__ == "__main__":
    main()
