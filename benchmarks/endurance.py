"""The long run: one process, `omf predict` over the samples again and again; does its memory grow, does it keep files or threads?

    nice python benchmarks/endurance.py                 an hour; leaves endurance.json here, and docs/endurance.png
    nice python benchmarks/endurance.py --minutes 5 --out FOLDER

The photos are links to the samples of test_rgb under thousands of names, in shuffled order, so that sizes and kinds
alternate; one in fourteen is broken. What is written is counted and removed at once.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from matplotlib import pyplot as plt

from omf.utils.files import atomic_write, save_text

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 5.0  # between two looks
A_MINUTE = 1000  # photos, more than a machine without a GPU takes


def make_photos(folder: Path, count: int, samples: list[Path]) -> None:
    """Links to the samples, and broken files, in an order of names that mixes them."""
    cut = folder / ".cut.jpg"  # a name that is not listed
    cut.write_bytes(samples[0].read_bytes()[:5000])
    (folder / ".text.png").write_text("no picture")
    kinds = [*samples, cut, folder / ".text.png"]
    rng = random.Random(0)
    for number in range(count):
        kind = rng.choice(kinds)
        (folder / f"{number:07}{kind.suffix}").symlink_to(kind)


def take_away(folder: Path) -> int:
    """Remove what was written; how many files."""
    written = [path for path in folder.glob("*.npy") if not path.name.startswith(".")]
    for path in written:
        path.unlink()
    return len(written)


def endure(command: list[str], out: Path, minutes: float, pause: float = SECONDS) -> list[dict[str, float]]:
    """Run a command for some minutes, unless it ends before; what it holds, every `pause` seconds.

    Args:
        command: that writes NAME.npy into `out`.
        out: a folder, emptied all the time.
        minutes: after which the command is told to end.
        pause: in seconds.

    Returns:
        `seconds` since the start, `images` written since, `memory` (resident, MB), open `files`, and `threads`.
    """
    looks, images, began = [], 0, time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    watched = psutil.Process(process.pid)
    try:
        while process.poll() is None and time.monotonic() - began < 60 * minutes:
            time.sleep(pause)
            images += take_away(out)
            try:
                look = {
                    "seconds": round(time.monotonic() - began, 1),
                    "images": images,
                    "memory": round(watched.memory_info().rss / 1e6, 2),
                    "files": watched.num_fds(),
                    "threads": watched.num_threads(),
                }
            except psutil.Error:
                break  # it has ended
            if process.poll() is None:  # of one that has, some of these would be 0
                looks.append(look)
    finally:
        process.terminate()
        process.wait()
    return looks


def predict_command(photos: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "omf", "predict", str(photos), "--out", str(out), "--device", "cpu", *more]


def growth(looks: list[dict[str, float]]) -> float:
    """Of memory over the second half of the images, MB per 1,000 images: the slope of a line through it."""
    later = [look for look in looks if look["images"] >= looks[-1]["images"] / 2]
    images, memory = ([look[key] for look in later] for key in ("images", "memory"))
    return float(np.polyfit(images, memory, 1)[0] * 1000)


def summary_of(looks: list[dict[str, float]]) -> dict[str, object]:
    last = looks[-1]["images"]
    later = [look for look in looks if look["images"] >= last / 2]
    return {
        "minutes": round(looks[-1]["seconds"] / 60, 1),
        "images": looks[-1]["images"],
        "growth of memory, second half, MB per 1000 images": round(growth(looks), 3),
        "least memory in each quarter of the images, MB": [
            min(
                look["memory"]
                for look in looks
                if quarter * last <= 4 * look["images"] <= (quarter + 1) * last
            )
            for quarter in range(4)
        ],
    } | {
        f"{what}, second half": [min(look[what] for look in later), max(look[what] for look in later)]
        for what in ("memory", "files", "threads")
    }


def save(summary: dict[str, object], looks: list[dict[str, float]], path: Path) -> None:
    """As JSON: the summary, and a list for each thing that was looked at."""
    columns = {key: [look[key] for look in looks] for key in looks[0]}
    lines = [f'"{key}": {json.dumps(value)}' for key, value in {"summary": summary, **columns}.items()]
    save_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def plot(looks: list[dict[str, float]], path: Path) -> None:
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(7, 5), sharex=True, height_ratios=(2, 1), layout="constrained"
    )
    minutes = [look["seconds"] / 60 for look in looks]
    upper.plot(minutes, [look["memory"] for look in looks], color="#0b63a5", linewidth=1)
    upper.set(
        ylabel="resident memory (MB)", ylim=(0, None), title=f"{looks[-1]['images']:,} images in one process"
    )
    for what, colour in (("files", "#e69f00"), ("threads", "#0b63a5")):
        lower.plot(
            minutes,
            [look[what] for look in looks],
            color=colour,
            linewidth=1,
            label=f"open {what}" if what == "files" else what,
        )
    lower.set(xlabel="minutes", ylabel="number", ylim=(0, None))
    lower.legend(loc="center right")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=80)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for endurance.json and endurance.png; not given: those that the documentation shows",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        photos, out = Path(name) / "photos", Path(name) / "raw"
        photos.mkdir()
        make_photos(photos, int(arguments.minutes * A_MINUTE), sorted((ROOT / "test_rgb").iterdir()))
        looks = endure(predict_command(photos, out), out, arguments.minutes)
    if looks[-1]["seconds"] < 60 * arguments.minutes:
        sys.exit(
            f"it ended after {looks[-1]['seconds']} s, with {looks[-1]['images']} images; see what it says: omf predict test_rgb -o FOLDER"
        )
    summary = summary_of(looks)
    save(summary, looks, (arguments.out or ROOT / "benchmarks") / "endurance.json")
    plot(looks, (arguments.out or ROOT / "docs") / "endurance.png")
    for key, value in summary.items():
        print(f"{key}: {value}")


if __name__ == "__main__":
    main()
