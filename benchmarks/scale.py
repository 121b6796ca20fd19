"""Overhead of the workflow for large numbers of photos: time and memory of Snakemake, jobs, files.

    python benchmarks/scale.py 1000 10000 100000     numbers of photos; the last takes about an hour
    python benchmarks/scale.py 1000000 --only-dry-run
    python benchmarks/scale.py 100000 --per-tar 2000 --settings output_format=webdataset
    python benchmarks/scale.py 8 --copies-of PHOTO   cost of one photo in each step, with the default model
    python benchmarks/scale.py 2000 2000 --slurm --settings shard_size=128
                                                     on a cluster, such as that of tests/cluster/slurm_up.sh

The photos are tiny and the classical method, which is very cheap for them, replaces the networks. The
remaining cost is that of the workflow, which does not depend on the content of the photos.
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

from omf.io.tar_shards import write_tar
from omf.utils.files import save_json

ROOT = Path(__file__).parent.parent
SIZE = 16  # image side, pixels


def make_photos(folder: Path, count: int, per_tar: int | None) -> None:
    """Write PNG files with different names and 16 different contents; with `per_tar` into tars of so many."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    contents = [
        iio.imwrite("<bytes>", rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8), extension=".png")
        for _ in range(16)
    ]
    if per_tar is None:
        for number in range(count):
            (folder / f"IMG_{number:07}.png").write_bytes(contents[number % 16])
        return
    for first in range(0, count, per_tar):
        with write_tar(folder / f"photos-{first // per_tar:05}.tar") as tar:
            for number in range(first, min(first + per_tar, count)):
                tar.add(f"IMG_{number:07}.png", contents[number % 16])


settings: list[str] = []  # KEY=VALUE, of all runs


def snakemake(folder: Path, *arguments: str, model: str = "unprocess") -> tuple[float, float, str]:
    """Run the workflow on FOLDER/photos in FOLDER/run; return seconds, Snakemake's peak MiB, and its log."""
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
        *settings,
    ]
    with (folder / "log").open("w+") as log:
        began, peak = time.perf_counter(), 0
        process = subprocess.Popen(command, stdout=log, stderr=log)
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                peak = max(peak, watched.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.05)
        seconds = time.perf_counter() - began
        log.seek(0)
        output = log.read()
    if process.wait() != 0:
        sys.exit(output[-5000:])
    return seconds, peak / 2**20, output


def files_below(folder: Path) -> dict[str, int]:
    """Count names of files and folders, inodes (shared by hard links), and bytes."""
    sizes: dict[int, int] = {}
    names = 0
    for place, folders, files in os.walk(folder):
        names += len(folders) + len(files)
        for name in folders + files:
            status = (Path(place) / name).lstat()
            sizes[status.st_ino] = status.st_size
    return {"names": names, "inodes": len(sizes), "bytes": sum(sizes.values())}


def measure(count: int, only_dry_run: bool, per_tar: int | None) -> dict:
    """Measure a dry run, a full run, and a second run without work."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_photos(folder / "photos", count, per_tar)
        seconds, memory, output = snakemake(folder, "-n", "--quiet", "rules")
        jobs = int(re.search(r"^total +(\d+)", output, re.MULTILINE)[1])
        shards = int(re.search(r"^infer +(\d+)", output, re.MULTILINE)[1])
        results = {
            "photos": count,
            "shards": shards,
            "jobs": jobs,
            "dry run, s": seconds,
            "dry run, MiB": memory,
        }
        if only_dry_run:
            return results
        seconds, memory, _ = snakemake(folder, "--quiet", "all")
        results |= {"run, s": seconds, "run, MiB": memory}
        for place in ("", ".snakemake"):
            results |= {
                f"{place or 'all'}, {key}": value
                for key, value in files_below(folder / "run" / place).items()
            }
        for rule in ("package", "report"):
            row = benchmark(folder / "run" / "results", rule)
            results |= {f"{rule}, s": float(row["s"]), f"{rule}, MiB": float(row["max_rss"])}
        results["page, MB"] = (folder / "run" / "submission" / "report.html").stat().st_size / 1e6
        results["again, s"], results["again, MiB"], output = snakemake(folder)
        assert "Nothing to be done" in output
        # start-up of a job on a cluster: read the workflow and find the job in it
        shard = next((folder / "run" / "results" / "scores").iterdir())
        results["one job's start, s"], *_ = snakemake(
            folder, f"results/scores/{shard.name}", "-n", "--quiet", "rules"
        )
        return results


def measure_copies(count: int, photo: Path) -> dict:
    """Measure seconds, peak memory and bytes per photo of each step."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photos").mkdir()
        for number in range(count):
            shutil.copy(photo, folder / "photos" / f"{number}{photo.suffix}")
        snakemake(folder, "--notemp", "--quiet", "all", model="samsung_s7")
        outputs, results = folder / "run" / "results", {"photos": count, "photo, bytes": photo.stat().st_size}
        for rule in ("preprocess/s", "infer/s", "mosaic/s", "evaluate/s", "package"):
            row = benchmark(outputs, rule)
            results |= {
                f"{rule.partition('/')[0]}, s": float(row["s"]) / count,
                f"{rule.partition('/')[0]}, MiB": float(row["max_rss"]),
            }
        for kind in ("decoded", "demosaiced", "raw"):
            results[f"{kind}, bytes"] = files_below(outputs / kind)["bytes"] / count
        results["zip, bytes"] = (folder / "run" / "submission" / "submission.zip").stat().st_size / count
        return results


# With a group for each step, Slurm gets each job by itself.
APART = ("--groups", *(f"{step}={step}" for step in ("preprocess", "infer", "mosaic", "evaluate")))


def measure_slurm(count: int) -> dict:
    """Measure submissions and seconds of full runs with `profiles/slurm`, first without groups of jobs."""
    results: dict = {"photos": count}
    for kind, arguments in (("apart", APART), ("grouped", ())):
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:  # nodes may have a /tmp of their own
            folder = Path(name)
            make_photos(folder / "photos", count, None)
            seconds, _, output = snakemake(
                folder, "--workflow-profile", str(ROOT / "profiles" / "slurm"), *arguments
            )
            results |= {
                "shards": len(list((folder / "run" / "results" / "scores").iterdir())),
                f"submissions, {kind}": output.count("has been submitted with SLURM jobid"),
                f"run, s, {kind}": seconds,
            }
    return results


def benchmark(outputs: Path, name: str) -> dict[str, str]:
    """Return Snakemake's measurements of a job, from the folder of results."""
    heading, values = (outputs / "benchmarks" / f"{name}.tsv").read_text().splitlines()
    return dict(zip(heading.split("\t"), values.split("\t")))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("counts", type=int, nargs="+", metavar="COUNT")
    parser.add_argument("--only-dry-run", action="store_true")
    parser.add_argument("--per-tar", type=int, metavar="PHOTOS", help="photos in tars of so many")
    parser.add_argument("--copies-of", type=Path, metavar="PHOTO")
    parser.add_argument("--slurm", action="store_true", help="compare jobs with and without groups")
    parser.add_argument("--settings", nargs="+", default=[], metavar="KEY=VALUE", help="of the workflow")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    arguments = parser.parse_args()
    settings.extend(arguments.settings)
    results = []
    for count in arguments.counts:
        measured = (
            measure_copies(count, arguments.copies_of)
            if arguments.copies_of
            else measure_slurm(count)
            if arguments.slurm
            else measure(count, arguments.only_dry_run, arguments.per_tar)
        )
        results.append(measured)
        if arguments.out:
            save_json(arguments.out, results)
        print(
            f"\n{count} photos",
            *(
                f"| {key} | {value:,.1f} |" if isinstance(value, float) else f"| {key} | {value:,} |"
                for key, value in results[-1].items()
            ),
            sep="\n",
        )


if __name__ == "__main__":
    main()
