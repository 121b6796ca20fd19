"""What the workflow costs with very many photos: Snakemake's time and memory, jobs, files. Inference is stubbed.

    python benchmarks/scale.py 1000 10000 100000              numbers of photos; the real run takes about an hour for the last
    python benchmarks/scale.py 1000000 --only-dry-run
    python benchmarks/scale.py 8 --copies-of PHOTO            instead: what one such photo costs in each step, default model

The photos are tiny, and the classical method, which costs next to nothing for these, takes the networks' place. What is
left is the workflow's own cost, which does not depend on what the photos show.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import psutil

from omf.utils.files import save_json

ROOT = Path(__file__).parent.parent
SIZE = 16  # pixels a side


def make_photos(folder: Path, count: int) -> None:
    """PNG files with different names and a few different contents."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    contents = [
        iio.imwrite("<bytes>", rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8), extension=".png")
        for _ in range(16)
    ]
    for number in range(count):
        (folder / f"IMG_{number:07}.png").write_bytes(contents[number % 16])


def snakemake(folder: Path, *arguments: str, model: str = "unprocess") -> tuple[float, float, str]:
    """Run the workflow over FOLDER/photos in FOLDER/run; seconds, peak memory of Snakemake itself in MiB, and what it said."""
    command = [
        str(Path(sys.executable).parent / "snakemake"),
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--directory",
        str(folder / "run"),
    ]
    command += [
        *arguments,
        "--config",
        f"images={folder / 'photos'}",
        "ground_truth=",
        f"model={model}",
        "device=cpu",
    ]
    with (folder / "log").open("w+") as log:
        began, most = time.perf_counter(), 0
        process = subprocess.Popen(command, stdout=log, stderr=log)
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                most = max(most, watched.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.05)
        seconds = time.perf_counter() - began
        log.seek(0)
        said = log.read()
    if process.wait() != 0:
        sys.exit(said[-5000:])
    return seconds, most / 2**20, said


def files_below(folder: Path) -> dict[str, int]:
    """How many names of files and folders there are, how many inodes (hard links share one), and how many bytes."""
    sizes: dict[int, int] = {}
    names = 0
    for place, folders, files in os.walk(folder):
        names += len(folders) + len(files)
        for name in folders + files:
            known = (Path(place) / name).lstat()
            sizes[known.st_ino] = known.st_size
    return {"names": names, "inodes": len(sizes), "bytes": sum(sizes.values())}


def measure(count: int, only_dry_run: bool) -> dict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_photos(folder / "photos", count)
        seconds, memory, said = snakemake(folder, "-n", "--quiet", "rules")
        jobs = int(re.search(r"^total +(\d+)", said, re.MULTILINE)[1])
        shards = int(re.search(r"^infer +(\d+)", said, re.MULTILINE)[1])
        found = {
            "photos": count,
            "shards": shards,
            "jobs": jobs,
            "dry run, s": seconds,
            "dry run, MiB": memory,
        }
        if only_dry_run:
            return found
        seconds, memory, _ = snakemake(folder, "--quiet", "all")
        found |= {"run, s": seconds, "run, MiB": memory}
        for place in ("", ".snakemake"):
            found |= {
                f"{place or 'all'}, {key}": value
                for key, value in files_below(folder / "run" / place).items()
            }
        for rule in ("package", "report"):
            row = benchmark(folder / "run" / "results", rule)
            found |= {f"{rule}, s": float(row["s"]), f"{rule}, MiB": float(row["max_rss"])}
        found["page, MB"] = (folder / "run" / "submission" / "report.html").stat().st_size / 1e6
        found["again, s"], found["again, MiB"], said = snakemake(folder)
        assert "Nothing to be done" in said
        # what a job on a cluster does before its work: read the workflow, and find its own place in it
        shard = next((folder / "run" / "results" / "scores").iterdir())
        found["one job's start, s"], *_ = snakemake(
            folder, f"results/scores/{shard.name}", "-n", "--quiet", "rules"
        )
        return found


def measure_copies(count: int, photo: Path) -> dict:
    """Seconds, peak memory and bytes of each step, a photo."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photos").mkdir()
        for number in range(count):
            shutil.copy(photo, folder / "photos" / f"{number}{photo.suffix}")
        snakemake(folder, "--notemp", "--quiet", "all", model="samsung_s7")
        results, found = folder / "run" / "results", {"photos": count, "photo, bytes": photo.stat().st_size}
        for rule in ("preprocess/s", "infer/s", "mosaic/s", "evaluate/s", "package"):
            row = benchmark(results, rule)
            found |= {
                f"{rule.partition('/')[0]}, s": float(row["s"]) / count,
                f"{rule.partition('/')[0]}, MiB": float(row["max_rss"]),
            }
        for kind in ("decoded", "demosaiced", "raw"):
            found[f"{kind}, bytes"] = files_below(results / kind)["bytes"] / count
        found["zip, bytes"] = (folder / "run" / "submission" / "submission.zip").stat().st_size / count
        return found


def benchmark(results: Path, name: str) -> dict[str, str]:
    """What Snakemake measured of a job."""
    heading, values = (results / "benchmarks" / f"{name}.tsv").read_text().splitlines()
    return dict(zip(heading.split("\t"), values.split("\t")))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("counts", type=int, nargs="+", metavar="COUNT")
    parser.add_argument("--only-dry-run", action="store_true")
    parser.add_argument("--copies-of", type=Path, metavar="PHOTO")
    parser.add_argument("--out", type=Path, help="JSON of the figures, too")
    arguments = parser.parse_args()
    found = []
    for count in arguments.counts:
        measured = (
            measure_copies(count, arguments.copies_of)
            if arguments.copies_of
            else measure(count, arguments.only_dry_run)
        )
        found.append(measured)
        if arguments.out:
            save_json(arguments.out, found)
        print(
            f"\n{count} photos",
            *(
                f"| {key} | {value:,.1f} |" if isinstance(value, float) else f"| {key} | {value:,} |"
                for key, value in found[-1].items()
            ),
            sep="\n",
        )


if __name__ == "__main__":
    main()
