"""Speed on real photos, with their highlights: each photo, a whole folder, the start, and the worst case.

    python benchmarks/photos.py PHOTO_OR_FOLDER... --out benchmarks/photos.md

In memory, from picture to packed Bayer, photos and precisions take turns. `omf predict` processes the folder
from files to files, start included. In the worst case every square of 64 pixels of the largest photo has an
overexposed pixel, so that OE runs everywhere.
"""

import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from reporting import head, make_parser, median_and_range, publish, row
from speed import clock, run_all
from tqdm import tqdm

from omf.inference.base import Picture
from omf.inference.devices import device_label, has_bfloat16, pick_device
from omf.inference.fusion import Fusion
from omf.inference.load import load_method
from omf.io.images import read_rgb
from omf.io.photos import find_photos
from omf.models.registry import find_model
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import cli_entry_point

SPACING = 64  # pixels between the overexposed ones of the worst case
SMALL = 64  # side of the picture that measures the start, pixels
PEAK = """if True:
    import re
    from omf.cli import main
    try:
        main()
    except SystemExit as end:
        assert not end.code
    print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


def share_read(fusion: Fusion, mask: np.ndarray) -> float:
    """Return the share of a photo that OE reads, halos included."""
    branch = fusion.branches[-1]
    cells = sum(tile.outer.cells for tile in branch.tiles([mask], branch.max_cells(fusion.memory)))
    return cells * branch.grid**2 / mask.size


def predict_files(photos: list[Path], model: str, precision: str) -> tuple[float, float]:
    """Return seconds and GiB of `omf predict` in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [sys.executable, "-c", PEAK, "predict", *photos, "-o", out, "--model", model]
        command += ["--precision", precision, "--quiet"]
        began = time.perf_counter()
        answer = subprocess.check_output([*map(str, command)])
        return time.perf_counter() - began, int(answer.split()[-1]) / 2**20


@cli_entry_point
def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("photos", nargs="+", type=Path, help="photos or folders of photos")
    parser.add_argument("--model", default="samsung_s7")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    photos, model = find_photos(arguments.photos), find_model(arguments.model)
    device = pick_device("auto", own_process=True)
    precisions = ["float32", "bfloat16"] if has_bfloat16(device) else ["float32"]
    fusions = {precision: load_method(model, "auto", precision, True)[0] for precision in precisions}
    pictures = {}
    for path in photos:
        rgb = read_rgb(path)
        pictures[path.name] = Picture(rgb, overexposure_mask(rgb))
    largest = max(pictures.values(), key=lambda picture: picture.mask.size).rgb.copy()
    largest[SPACING // 2 :: SPACING, SPACING // 2 :: SPACING] = np.iinfo(largest.dtype).max
    worst = "worst case"
    pictures[worst] = Picture(largest, overexposure_mask(largest))
    seconds: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, rgb in ((worst, largest), ("start", np.zeros((SMALL, SMALL, 3), np.uint8))):
            iio.imwrite(Path(folder) / f"{name}.png", rgb, compression=0)
        runs = {
            f"`omf predict` of {len(photos)} photos": photos,
            f"start: `omf predict` of a picture of {SMALL} x {SMALL} pixels": [Path(folder) / "start.png"],
            "`omf predict` of the worst case": [Path(folder) / f"{worst}.png"],
        }
        files: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for turn in tqdm(range(arguments.rounds + 1), unit="round", disable=None):
            for precision, fusion in fusions.items():
                for name, picture in pictures.items():
                    taken = clock(partial(run_all, fusion, [picture]), device)
                    if turn:  # the first one warms up
                        seconds.setdefault((name, precision), []).append(taken)
                for name, given in runs.items():
                    if turn:
                        measured = predict_files(given, arguments.model, precision)
                        files.setdefault((name, precision), []).append(measured)
    lines = [
        f"{device_label(device)}; model {arguments.model}; median (min to max) of {arguments.rounds}"
        " interleaved rounds",
        "",
        *head(
            *("photo, in memory", "megapixels", "overexposed, %", "OE reads, %"),
            *(f"{precision}, s" for precision in precisions),
        ),
    ]
    for name, picture in pictures.items():
        read = share_read(fusions["float32"], picture.mask)
        cells = [f"{picture.mask.size / 1e6:.1f}", f"{100 * picture.mask.mean():.2f}", f"{100 * read:.0f}"]
        cells += [median_and_range(seconds[name, precision], 2) for precision in precisions]
        lines.append(row(name, *cells))
    medians = {
        precision: [np.median(seconds[path.name, precision]) for path in photos] for precision in precisions
    }
    for name, choose in (("median", np.median), ("slowest", np.max)):
        lines.append(
            f"| {name} of the photos | | | |"
            + "".join(f" {choose(medians[precision]):.2f} |" for precision in precisions)
        )
    lines += [
        "",
        *head("files to files", *(title for name in precisions for title in (f"{name}, s", "GiB"))),
    ]
    for name in runs:
        cells = []
        for precision in precisions:
            taken, memory = zip(*files[name, precision])
            cells += [median_and_range(taken, 1), f"{max(memory):.2f}"]
        lines.append(row(name, *cells))
    publish(lines, arguments.out)


if __name__ == "__main__":
    main()
