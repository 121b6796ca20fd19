"""Feed damaged files to every reader, in worker processes that may die, hang or run out of memory.

    python tests/faults/fuzzing.py --cases 100000            # print a table of accepted and refused cases
    python tests/faults/fuzzing.py --reader png --case 1234  # run one case in this process, with traceback

A case depends only on its reader, the seed and its number, so it can be repeated.
"""

import argparse
import faulthandler
import multiprocessing
import resource
import sys
import tempfile
import time
import traceback
import zlib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parent), str(HERE.parents[1])]

from readers import READERS, check_message  # noqa: E402

from omf.utils.errors import InputError  # noqa: E402

SPAWN = multiprocessing.get_context("spawn")
SECONDS = 10  # time limit of a case
START = 120  # s until the first case of a process: imports, and reading the undamaged files
READY, VALID = "ready", ("accepted", "refused")
MEMORY = 2**30  # limit of additional address space of a case, bytes
SLICE = 500  # cases per job

Work = list[tuple[str, int, int]]  # reader, first case, one past the last case


def usable() -> list[str]:
    """Return the readers whose optional packages are installed."""
    return [
        name
        for name, reader in READERS.items()
        if reader.share and (reader.needs is None or find_spec(reader.needs))
    ]


def split_cases(cases: int, readers: list[str]) -> dict[str, int]:
    """Return the number of cases of each reader, in proportion to its share."""
    total = sum(READERS[name].share for name in readers)
    return {name: -(-cases * READERS[name].share // total) for name in readers}


def load_seeds(folder: Path, reader: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / reader).iterdir())]


def write_case(seeds: list[bytes], reader: str, seed: int, case: int, folder: Path) -> Path:
    rng = np.random.default_rng([seed, zlib.crc32(reader.encode()), case])
    path = folder / f"case{READERS[reader].suffix}"
    path.write_bytes(READERS[reader].damage(seeds, rng))
    return path


def outcome(reader: str, path: Path) -> str:
    """Return "accepted", "refused", or the traceback of a violation."""
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
    """Return a memory figure of this process in bytes: VmRSS, VmHWM (peak of VmRSS) or VmSize."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{key}:")[1].split()[0]) * 1024


def work(results: Connection, jobs: Work, seed: int, seeds_folder: Path, seconds: int) -> None:
    """Run jobs in a worker process, and send READY before the cases of each and the result of each case."""
    faulthandler.enable()
    with tempfile.TemporaryDirectory(dir=seeds_folder) as folder:
        for reader, first, last in jobs:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
            seeds = load_seeds(seeds_folder, reader)
            # warm up on the undamaged files, so that imports, threads and tables do not count for a case
            for seed_file in seeds if READERS[reader].share else ():
                path = Path(folder) / f"undamaged{READERS[reader].suffix}"
                path.write_bytes(seed_file)
                outcome(reader, path)
            resource.setrlimit(resource.RLIMIT_AS, (memory("VmSize") + MEMORY, resource.RLIM_INFINITY))
            results.send(READY)
            for case in range(first, last):
                path = write_case(seeds, reader, seed, case, Path(folder))
                Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
                before, started = memory("VmRSS"), time.perf_counter()
                faulthandler.dump_traceback_later(seconds - 1)
                result = outcome(reader, path)
                faulthandler.cancel_dump_traceback_later()
                results.send((result, time.perf_counter() - started, memory("VmHWM") - before))


def run_jobs(jobs: Work, seed: int, seeds_folder: Path) -> Iterator[tuple[str, int, str, float, int]]:
    """Yield (reader, case, outcome, seconds, bytes) for all jobs, replacing processes that die or hang."""
    jobs = list(jobs)
    while jobs:
        receiver, sender = SPAWN.Pipe(duplex=False)
        worker = SPAWN.Process(target=work, args=(sender, jobs, seed, seeds_folder, SECONDS))
        worker.start()
        sender.close()  # so that the end of the worker ends the pipe
        try:
            while jobs:
                reader, first, last = jobs[0]
                case = first
                assert receive(receiver, START) == READY
                for case in range(first, last):
                    yield reader, case, *receive(receiver, SECONDS)
                del jobs[0]
            return
        except TimeoutError:
            failure = f"hung for {SECONDS} s"
        except EOFError:
            failure = "died"
            worker.join()
        finally:
            worker.kill()
            worker.join()
        yield reader, case, f"{failure} (exit code {worker.exitcode})", float("nan"), 0
        jobs[:1] = [(reader, case + 1, last)] if case + 1 < last else []


def receive(receiver: Connection, timeout: float) -> object:
    if not receiver.poll(timeout):
        raise TimeoutError
    return receiver.recv()


def fuzz(cases: dict[str, int], seed: int, processes: int) -> dict[str, list[tuple[int, str, float, int]]]:
    """Run all cases; return (case, outcome, seconds, bytes) per reader."""
    results = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        from seeds import write_seeds  # imports torch, which only some readers need

        write_seeds(Path(folder), list(cases))
        slices = [
            (name, first, min(first + SLICE, count))
            for name, count in cases.items()
            for first in range(0, count, SLICE)
        ]

        def collect(jobs: Work) -> None:
            for reader, *result in run_jobs(jobs, seed, Path(folder)):
                results[reader].append(tuple(result))
                if result[1] not in VALID:
                    print(
                        f"{reader} --seed {seed} --case {result[0]}: {result[1]}", file=sys.stderr, flush=True
                    )

        with ThreadPoolExecutor(processes) as pool:
            list(pool.map(collect, (slices[n::processes] for n in range(processes))))
    return results


def table(results: dict[str, list[tuple[int, str, float, int]]]) -> str:
    """Return a Markdown table with a row per reader."""
    lines = [
        "| reader | cases | accepted | refused | failed | slowest (s) | largest growth (MB) |",
        "|---|---|---|---|---|---|---|",
    ]
    total = np.zeros(4, int)
    for reader, cases in results.items():
        outcomes = [result[1] for result in cases]
        accepted, refused = outcomes.count("accepted"), outcomes.count("refused")
        counts = np.array([len(cases), accepted, refused, len(cases) - accepted - refused])
        total += counts
        slowest = np.nanmax([result[2] for result in cases])
        largest = max(result[3] for result in cases) / 1e6
        lines.append(f"| {reader} | {' | '.join(map(str, counts))} | {slowest:.2f} | {largest:.0f} |")
    return "\n".join([*lines, f"| all | {' | '.join(map(str, total))} | | |"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=10_000, help="total number of cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", choices=READERS, action="append", help="only this one; may be repeated")
    parser.add_argument("--case", type=int, help="run this case in this process and keep its file here")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    readers = arguments.reader or usable()
    if arguments.case is not None:
        from seeds import write_seeds

        reader = readers[0]
        with tempfile.TemporaryDirectory() as folder:
            write_seeds(Path(folder), [reader])
            seeds = load_seeds(Path(folder), reader)
        path = write_case(seeds, reader, arguments.seed, arguments.case, Path.cwd())
        print(f"{path}: {path.stat().st_size} bytes", file=sys.stderr)
        READERS[reader].read(path)
        return 0
    results = fuzz(split_cases(arguments.cases, readers), arguments.seed, arguments.processes)
    print(table(results))
    return int(any(result[1] not in VALID for cases in results.values() for result in cases))


if __name__ == "__main__":
    sys.exit(main())
