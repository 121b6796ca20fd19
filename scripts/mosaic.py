"""Mosaic the demosaiced RAW of a shard and write it in the formats of its plan."""

import argparse
import json
from pathlib import Path

import omf.utils.program  # noqa: F401 - before all that takes long
from omf.io.cameras import find_camera, find_cameras
from omf.io.photos import map_by_name
from omf.io.raw_formats import Writer, from_dict
from omf.io.tars import TAR
from omf.pipeline.mosaic import write_mosaics, write_tar_shard
from omf.pipeline.plan import load_plan, planned_photos
from omf.pipeline.samples import name_samples
from omf.pipeline.uploads import upload_tar
from omf.raw.challenge_scenes import curves_of_patches
from omf.utils.errors import cli_entry_point
from omf.utils.files import save_json
from omf.utils.remote import to_path


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path, help="JSON of the photos and what else the step needs")
    parser.add_argument("demosaiced", type=Path, help="folder of NAME.tif, float32 (H, W, 3)")
    parser.add_argument("--photos", type=Path, required=True, help="JSON that preprocess wrote")
    parser.add_argument("--timing", type=Path, required=True, help="JSON that infer wrote")
    parser.add_argument(
        "--out", nargs="+", type=Path, required=True, help="a folder for each format, or one file NAME.tar"
    )
    parser.add_argument("--results", type=Path, required=True, help="folder for notes of uploads")
    parser.add_argument("--record", type=Path, required=True, help="JSON of the problems")
    arguments = parser.parse_args()
    plan = load_plan(arguments.plan)
    camera, samples = find_camera(plan["model_camera"]), plan["samples"]
    record = json.loads(arguments.photos.read_text())
    photos = name_samples(map_by_name(planned_photos(plan)[0])[0], samples)
    writers = [
        Writer(out, from_dict(raw_format), camera, plan["model"])
        for out, raw_format in zip(arguments.out, plan["formats"], strict=True)
    ]
    curves = name_samples(curves_of_patches(record["scenes"]), samples)
    cameras = name_samples(find_cameras(record["cameras"]), samples)
    sources = arguments.demosaiced, writers, photos, curves, cameras
    if arguments.out[0].suffix == TAR:
        expected = json.loads(arguments.timing.read_text())["expected"]
        facts = {
            name: {"sha256": record["sha256"].get(photo.name)}
            | ({"expected": expected[name]} if name in expected else {})
            for name, photo in photos.items()
        }
        written = write_tar_shard(arguments.out[0], facts, plan["include_photos"], *sources)
        if plan["output"]:
            upload_tar(arguments.out[0], to_path(plan["output"]), arguments.results)
    else:
        written = {"problems": write_mosaics(*sources)}
    save_json(arguments.record, written)
    for problem in written["problems"]:
        print(f"problem: {problem}")


if __name__ == "__main__":
    main()
