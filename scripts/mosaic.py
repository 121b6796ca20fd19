"""Bring a shard of demosaiced RAW to the challenge's packed Bayer format, and to another one that was asked for."""

import argparse
import json
from pathlib import Path

from omf.io.photos import by_name
from omf.io.raw_formats import Writer, from_dict
from omf.pipeline.mosaic import write_mosaics
from omf.raw.camera import load_camera
from omf.utils.errors import cli_entry_point
from omf.utils.files import save_json


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demosaiced", type=Path, help="folder of NAME.npy, float32 (H, W, 3)")
    parser.add_argument("--out", nargs="+", type=Path, required=True, help="folders, one for each format")
    parser.add_argument("--record", type=Path, required=True, help="JSON of the problems")
    parser.add_argument(
        "--formats",
        required=True,
        help="JSON list, of omf.io.raw_formats.RawFormat; the first is the challenge's",
    )
    parser.add_argument("--camera", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--photos", nargs="+", type=Path, required=True, help="the sRGB pictures")
    arguments = parser.parse_args()
    photos = by_name(arguments.photos)[0]
    formats = [from_dict(of) for of in json.loads(arguments.formats)]
    problems = write_mosaics(
        arguments.demosaiced,
        [
            Writer(out, of, load_camera(arguments.camera), arguments.model, photos)
            for out, of in zip(arguments.out, formats, strict=True)
        ],
    )
    save_json(arguments.record, {"problems": problems})
    for problem in problems:
        print(f"problem: {problem}")


if __name__ == "__main__":
    main()
