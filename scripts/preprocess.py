"""Decode the photos of a shard."""

import argparse
from contextlib import nullcontext
from functools import cache, partial
from pathlib import Path

import omf.utils.program  # noqa: F401 - before all that takes long
from omf.io.cameras import asked_camera, find_camera, noted_neutral
from omf.io.maker_notes import GainReader
from omf.io.photos import group_by_stem
from omf.pipeline.plan import load_plan, planned_photos
from omf.pipeline.preprocess import preprocess
from omf.raw.challenge_scenes import complete_scenes
from omf.utils.errors import cli_entry_point
from omf.utils.files import save_json


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path, help="JSON of the photos and what else the step needs")
    parser.add_argument("--out", type=Path, required=True, help="folder for NAME.tif")
    parser.add_argument("--record", type=Path, required=True, help="JSON of file hashes, scenes and problems")
    arguments = parser.parse_args()
    plan = load_plan(arguments.plan)
    own, camera = plan["model_camera"], cache(find_camera)
    camera_of = partial(asked_camera, plan["camera"], own)
    with GainReader() if plan["neutral"] else nullcontext() as gains:

        def neutral_of(photo: Path, asked: str) -> tuple[float, float] | None:
            return noted_neutral(photo, camera(asked or own), gains) if gains else None

        photos, faults = planned_photos(plan)
        scenes = complete_scenes(group_by_stem(photos)) if plan["scenes"] == "auto" else plan["scenes"]
        record = preprocess(photos, arguments.out, scenes, camera_of, neutral_of)
    record["problems"] += faults
    save_json(arguments.record, record)
    for problem in record["problems"]:
        print(f"problem: {problem}")


if __name__ == "__main__":
    main()
