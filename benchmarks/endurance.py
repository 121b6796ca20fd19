"""Memory, open files and threads of a single long `omf predict` process.

    nice python benchmarks/endurance.py            one hour; writes endurance.json here and docs/endurance.png
    nice python benchmarks/endurance.py --minutes 5 --out FOLDER

The photos are thousands of links to the samples in test_rgb, in random order, so that sizes and formats
alternate; one in fourteen is broken. The outputs are counted and removed immediately.
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

from omf.io.photos import list_images
from omf.utils.files import atomic_write, save_text

ROOT = Path(__file__).resolve().parent.parent
INTERVAL = 5.0  # s between measurements
PHOTOS_PER_MINUTE = 1000  # more than a machine without a GPU can process


def make_photos(folder: Path, count: int, samples: list[Path]) -> None:
    """Create links to the samples and to two broken files, under names in random order."""
    cut = folder / ".cut.jpg"  # hidden files are not listed as photos
    cut.write_bytes(samples[0].read_bytes()[:5000])
    (folder / ".text.png").write_text("no picture")
    targets = [*samples, cut, folder / ".text.png"]
    rng = random.Random(0)
    for number in range(count):
        target = rng.choice(targets)
        (folder / f"{number:07}{target.suffix}").symlink_to(target)


def remove_outputs(folder: Path) -> int:
    """Remove the files written so far and return their number."""
    written = [path for path in folder.glob("*.npy") if not path.name.startswith(".")]
    for path in written:
        path.unlink()
    return len(written)


def monitor(command: list[str], out: Path, minutes: float, pause: float = INTERVAL) -> list[dict[str, float]]:
    """Run a command for at most the given time, and measure its resources periodically.

    Args:
        command: command that writes NAME.npy to `out`.
        out: output folder, emptied at each measurement.
        minutes: time until the command is terminated.
        pause: time between measurements, s.

    Returns:
        One record per measurement: `seconds` since the start, `images` written, resident `memory` (MB), open
        `files`, and `threads`.
    """
    records, images, began = [], 0, time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    watched = psutil.Process(process.pid)
    try:
        while process.poll() is None and time.monotonic() - began < 60 * minutes:
            time.sleep(pause)
            images += remove_outputs(out)
            try:
                record = {
                    "seconds": round(time.monotonic() - began, 1),
                    "images": images,
                    "memory": round(watched.memory_info().rss / 1e6, 2),
                    "files": watched.num_fds(),
                    "threads": watched.num_threads(),
                }
            except psutil.Error:
                break  # the process has ended
            if process.poll() is None:  # an ended process would give zeros
                records.append(record)
    finally:
        process.terminate()
        process.wait()
    return records


def predict_command(photos: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "omf", "predict", str(photos), "--out", str(out), "--device", "cpu", *more]


def growth(records: list[dict[str, float]]) -> float:
    """Return the slope of a line through memory over the second half of the images, MB per 1,000 images."""
    later = [record for record in records if record["images"] >= records[-1]["images"] / 2]
    images, memory = ([record[key] for record in later] for key in ("images", "memory"))
    return float(np.polyfit(images, memory, 1)[0] * 1000)


def summary_of(records: list[dict[str, float]]) -> dict[str, object]:
    last = records[-1]["images"]
    later = [record for record in records if record["images"] >= last / 2]
    return {
        "minutes": round(records[-1]["seconds"] / 60, 1),
        "images": records[-1]["images"],
        "memory growth, second half, MB per 1000 images": round(growth(records), 3),
        "minimum memory per quarter of the images, MB": [
            min(
                record["memory"]
                for record in records
                if quarter * last <= 4 * record["images"] <= (quarter + 1) * last
            )
            for quarter in range(4)
        ],
    } | {
        f"{key}, second half": [min(record[key] for record in later), max(record[key] for record in later)]
        for key in ("memory", "files", "threads")
    }


def save(summary: dict[str, object], records: list[dict[str, float]], path: Path) -> None:
    """Save the summary, and a list for each measured quantity, as JSON."""
    columns = {key: [record[key] for record in records] for key in records[0]}
    lines = [f'"{key}": {json.dumps(value)}' for key, value in {"summary": summary, **columns}.items()]
    save_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def plot(records: list[dict[str, float]], path: Path) -> None:
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(7, 5), sharex=True, height_ratios=(2, 1), layout="constrained"
    )
    minutes = [record["seconds"] / 60 for record in records]
    upper.plot(minutes, [record["memory"] for record in records], color="#0b63a5", linewidth=1)
    upper.set(
        ylabel="resident memory (MB)",
        ylim=(0, None),
        title=f"{records[-1]['images']:,} images in one process",
    )
    for key, colour in (("files", "#e69f00"), ("threads", "#0b63a5")):
        lower.plot(
            minutes,
            [record[key] for record in records],
            color=colour,
            linewidth=1,
            label=f"open {key}" if key == "files" else key,
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
        help="folder for endurance.json and endurance.png; default: update the documentation",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        photos, out = Path(name) / "photos", Path(name) / "raw"
        photos.mkdir()
        make_photos(photos, int(arguments.minutes * PHOTOS_PER_MINUTE), list_images(ROOT / "test_rgb"))
        records = monitor(predict_command(photos, out), out, arguments.minutes)
    if records[-1]["seconds"] < 60 * arguments.minutes:
        sys.exit(
            f"ended after {records[-1]['seconds']} s with {records[-1]['images']} images;"
            " for its messages, run: omf predict test_rgb -o FOLDER"
        )
    summary = summary_of(records)
    save(summary, records, (arguments.out or ROOT / "benchmarks") / "endurance.json")
    plot(records, (arguments.out or ROOT / "docs") / "endurance.png")
    for key, value in summary.items():
        print(f"{key}: {value}")


if __name__ == "__main__":
    main()
