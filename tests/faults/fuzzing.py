"""Feed damaged files to every reader, each case in a process that may die, hang or fill the memory.

    python tests/faults/fuzzing.py --cases 100000              # a table: what was accepted and what was refused
    python tests/faults/fuzzing.py --reader png --case 1234    # one of them, in this process, with its traceback

A case is made by its reader, the seed and its number alone, so it can be run again.
"""

import argparse
import faulthandler
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parent), str(HERE.parents[1])]

from readers import READERS, check_message  # noqa: E402

from omf.utils.errors import InputError  # noqa: E402

SECONDS = int(os.environ.get("OMF_FUZZ_SECONDS", "10"))  # that a case may take
START = 120  # and a process until its first case, where it imports what it needs and reads the whole files
READY = "ready"
MEMORY = 2**30  # bytes of address space that a case may ask for
SLICE = 500  # cases of one reader that a process is given at once

Work = list[tuple[str, int, int]]  # reader, first case, one after the last


def usable() -> list[str]:
    """The readers whose optional packages are here."""
    return [
        name
        for name, reader in READERS.items()
        if reader.share and (reader.needs is None or find_spec(reader.needs))
    ]


def shared_out(cases: int, readers: list[str]) -> dict[str, int]:
    """How many cases each reader gets."""
    whole = sum(READERS[name].share for name in readers)
    return {name: -(-cases * READERS[name].share // whole) for name in readers}


def seeds_of(folder: Path, reader: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / reader).iterdir())]


def write_case(seeds: list[bytes], reader: str, seed: int, case: int, folder: Path) -> Path:
    rng = np.random.default_rng([seed, zlib.crc32(reader.encode()), case])
    path = folder / f"case{READERS[reader].suffix}"
    path.write_bytes(READERS[reader].damage(seeds, rng))
    return path


def outcome(reader: str, path: Path) -> str:
    """accepted, refused, or how the promise was broken."""
    try:
        READERS[reader].read(path)
    except InputError as error:
        try:
            check_message(error, path)
        except AssertionError:
            return traceback.format_exc(chain=False)
        return "refused"
    except Exception:
        return traceback.format_exc()
    return "accepted"


def memory(key: str) -> int:
    """Bytes of this process: VmRSS, VmHWM (the peak of it) or VmSize."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{key}:")[1].split()[0]) * 1024


def work(jobs: Work, seed: int, seeds_folder: Path) -> None:
    """In a process of its own: a line of JSON for each case."""
    faulthandler.enable()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries may print
    with tempfile.TemporaryDirectory(dir=seeds_folder) as folder:
        for reader, first, last in jobs:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
            seeds = seeds_of(seeds_folder, reader)
            for whole in (
                seeds if READERS[reader].share else ()
            ):  # imports, threads and tables are not what a case takes
                path = Path(folder) / f"whole{READERS[reader].suffix}"
                path.write_bytes(whole)
                outcome(reader, path)
            resource.setrlimit(resource.RLIMIT_AS, (memory("VmSize") + MEMORY, resource.RLIM_INFINITY))
            answers.write(json.dumps(READY) + "\n")
            for case in range(first, last):
                path = write_case(seeds, reader, seed, case, Path(folder))
                Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
                before, started = memory("VmRSS"), time.perf_counter()
                faulthandler.dump_traceback_later(SECONDS - 1)
                found = outcome(reader, path)
                faulthandler.cancel_dump_traceback_later()
                answers.write(
                    json.dumps([found, time.perf_counter() - started, memory("VmHWM") - before]) + "\n"
                )


def attended(jobs: Work, seed: int, seeds_folder: Path) -> Iterator[tuple[str, int, str, float, int]]:
    """(reader, case, outcome, seconds, bytes) of all jobs; a process that dies or hangs is replaced."""
    while jobs:
        with tempfile.TemporaryFile() as stderr:
            command = [
                sys.executable,
                __file__,
                "--work",
                json.dumps(jobs),
                "--seed",
                str(seed),
                "--seeds",
                str(seeds_folder),
            ]
            worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr)
            try:
                broken = yield from listen(worker, jobs)
            finally:
                worker.kill()
                worker.wait()
            if not broken:
                return
            reader, case, how = broken
            stderr.seek(0)
            said = stderr.read().decode(errors="replace")[-3000:]
        yield reader, case, f"{how} (exit code {worker.returncode})\n{said}", float("nan"), 0
        at = next(n for n, (name, first, last) in enumerate(jobs) if name == reader and first <= case < last)
        jobs = (
            [(reader, case + 1, jobs[at][2]), *jobs[at + 1 :]] if case + 1 < jobs[at][2] else jobs[at + 1 :]
        )


def listen(worker: subprocess.Popen, jobs: Work) -> Iterator[tuple[str, int, str, float, int]]:
    """Pass on what a process answers. Returns the case at which it died or hung, and which of both."""
    rest = b""

    def answer(patience: float) -> object:
        nonlocal rest
        while b"\n" not in rest:
            if not select.select([worker.stdout], [], [], patience)[0]:
                raise TimeoutError
            if not (read := os.read(worker.stdout.fileno(), 2**16)):
                worker.wait()
                raise EOFError
            rest += read
        line, _, rest = rest.partition(b"\n")
        return json.loads(line)

    for reader, first, last in jobs:
        case = first
        try:
            assert answer(START) == READY
            for case in range(first, last):
                yield reader, case, *answer(SECONDS)
        except TimeoutError:
            return reader, case, f"hung for {SECONDS} s"
        except EOFError:
            return reader, case, "died"
    return None


def fuzz(cases: dict[str, int], seed: int, processes: int) -> dict[str, list[tuple[int, str, float, int]]]:
    """(case, outcome, seconds, bytes) of all cases of each reader."""
    results = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        from seeds import write_seeds  # torch, which only some readers need

        write_seeds(Path(folder), list(cases))
        slices = [
            (name, first, min(first + SLICE, count))
            for name, count in cases.items()
            for first in range(0, count, SLICE)
        ]

        def follow(jobs: Work) -> None:
            for reader, *result in attended(jobs, seed, Path(folder)):
                results[reader].append(tuple(result))
                if result[1] not in ("accepted", "refused"):
                    print(
                        f"{reader} --seed {seed} --case {result[0]}: {result[1]}", file=sys.stderr, flush=True
                    )

        with ThreadPoolExecutor(processes) as pool:
            list(pool.map(follow, (slices[n::processes] for n in range(processes))))
    return results


def table(results: dict[str, list[tuple[int, str, float, int]]]) -> str:
    """In Markdown, a row for each reader."""
    lines = [
        "| reader | cases | accepted | refused | failed | slowest (s) | largest growth (MB) |",
        "|---|---|---|---|---|---|---|",
    ]
    total = np.zeros(4, int)
    for reader, found in results.items():
        outcomes = [result[1] for result in found]
        accepted, refused = outcomes.count("accepted"), outcomes.count("refused")
        counts = np.array([len(found), accepted, refused, len(found) - accepted - refused])
        total += counts
        slowest, largest = (
            np.nanmax([result[2] for result in found]),
            max(result[3] for result in found) / 1e6,
        )
        lines.append(f"| {reader} | {' | '.join(map(str, counts))} | {slowest:.2f} | {largest:.0f} |")
    return "\n".join([*lines, f"| all | {' | '.join(map(str, total))} | | |"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=10_000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--reader", choices=READERS, action="append", help="this one only; may be given several times"
    )
    parser.add_argument(
        "--case", type=int, help="run this one here, and leave its file in the working folder"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--seeds", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    readers = arguments.reader or usable()
    if arguments.work:
        work(json.loads(arguments.work), arguments.seed, arguments.seeds)
        return 0
    if arguments.case is not None:
        from seeds import write_seeds

        with tempfile.TemporaryDirectory() as folder:
            write_seeds(Path(folder), readers)
            path = write_case(
                seeds_of(Path(folder), readers[0]), readers[0], arguments.seed, arguments.case, Path.cwd()
            )
        print(f"{path}: {path.stat().st_size} bytes", file=sys.stderr)
        READERS[readers[0]].read(path)
        return 0
    results = fuzz(shared_out(arguments.cases, readers), arguments.seed, arguments.processes)
    print(table(results))
    return int(
        any(result[1] not in ("accepted", "refused") for found in results.values() for result in found)
    )


if __name__ == "__main__":
    sys.exit(main())
