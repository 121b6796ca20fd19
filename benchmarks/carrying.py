"""Time that carrying RAW to another camera takes.

    python benchmarks/carrying.py PHOTO_OR_FOLDER... --camera 'NIKON D750' --out benchmarks/carrying.md

Each photo is reconstructed in memory, to the challenge's format, with and without carrying in turn.
"""

import time
from pathlib import Path

import numpy as np
from reporting import head, make_parser, median_and_range, publish

from omf.inference.base import Picture
from omf.inference.load import load_method
from omf.io.cameras import carriage_to, find_camera
from omf.io.images import read_rgb
from omf.io.photos import find_photos
from omf.models.registry import find_model
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import cli_entry_point


@cli_entry_point
def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--model", default="samsung_s7")
    parser.add_argument("--camera", default="NIKON D750")
    parser.add_argument("--turns", type=int, default=7)
    arguments = parser.parse_args()
    model = find_model(arguments.model)
    method, device, _ = load_method(model, "cpu", own_process=True)
    carriages = (None, carriage_to(find_camera(model.camera), arguments.camera))
    lines = [
        f"{device}; {arguments.model} to {arguments.camera}; {arguments.turns} turns, the first left out",
        "",
        *head("photo", "megapixels", "own RAW, s", "carried, s", "ratio: median (min to max)"),
    ]
    medians = []
    for path in find_photos(arguments.photos):
        rgb = read_rgb(path)
        mask, seconds = overexposure_mask(rgb), ([], [])
        for _ in range(arguments.turns):
            for carriage, times in zip(carriages, seconds):
                began = time.perf_counter()
                method.packed([Picture(rgb.view(), mask, carriage=carriage)])()
                times.append(time.perf_counter() - began)
        own, carried = (np.array(times[1:]) for times in seconds)
        ratios = carried / own
        medians.append(np.median(ratios))
        lines.append(
            f"| {path.stem} | {mask.size / 1e6:.1f} | {np.median(own):.2f} | {np.median(carried):.2f} |"
            f" {median_and_range(ratios, 3)} |"
        )
        print(lines[-1], flush=True)
    lines += ["", f"Median of the medians: {np.median(medians):.3f}"]
    publish(lines, arguments.out)


if __name__ == "__main__":
    main()
