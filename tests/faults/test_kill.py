"""Runs killed at random moments: rerunning the same command completes with the same bytes."""

import os
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import PHOTOS
from runs import PREDICT, Run, complete, jobs_of, photos, raw_files, result, undisturbed, workflow  # noqa: F401

pytestmark = pytest.mark.slow

MOMENTS = {False: 1, True: 20}  # per way to kill the workflow; keys: --thorough
MOMENTS_OF_PREDICT = {False: 10, True: 100}


def check_no_partial_files(work: Path, expected_files: dict[str, bytes]) -> None:
    """Assert that every output file has its final content."""
    for path in (work / "results" / "raw").glob("*/[!.]*.npy"):
        assert path.read_bytes() == expected_files[path.name]
    assert result(work).items() <= expected_files.items()


def kill_all(run: Run, rng: np.random.Generator) -> None:
    """Kill all processes, as when the machine goes down."""
    os.killpg(run.process.pid, signal.SIGKILL)


def signal_main(run: Run, rng: np.random.Generator, number: signal.Signals) -> None:
    """Signal Snakemake only; its jobs continue."""
    run.process.send_signal(number)


def signal_job(run: Run, rng: np.random.Generator, number: signal.Signals) -> None:
    while run.process.poll() is None:
        if jobs := jobs_of(run):
            try:
                jobs[rng.integers(len(jobs))].send_signal(number)
                break
            except psutil.NoSuchProcess:
                pass
        time.sleep(0.01)


def lose_power(run: Run, rng: np.random.Generator) -> None:
    """Kill all, and truncate the newest files (also Snakemake's own) at a random byte."""
    kill_all(run, rng)
    run.wait()
    folders = [run.log.parent / "work" / name for name in ("results", "submission", ".snakemake")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)[-4:]:
        if path.stat().st_nlink > 1:  # a hard link: do not change the other name
            path.write_bytes(path.read_bytes()[: rng.integers(path.stat().st_size)])
        else:
            os.truncate(path, rng.integers(path.stat().st_size + 1))


WAYS = {
    "kill_all": kill_all,
    "kill_main": partial(signal_main, number=signal.SIGKILL),
    "terminate_main": partial(signal_main, number=signal.SIGTERM),
    "kill_job": partial(signal_job, number=signal.SIGKILL),
    "terminate_job": partial(signal_job, number=signal.SIGTERM),
    "lose_power": lose_power,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_killed_workflow_resumes(tmp_path, photos, undisturbed, thorough, way):
    expected_files, seconds = undisturbed
    for moment in range(MOMENTS[thorough]):
        folder = tmp_path / str(moment)
        folder.mkdir()
        rng = np.random.default_rng([moment, list(WAYS).index(way)])
        run = workflow(folder, photos)
        time.sleep(rng.uniform(0, seconds))
        WAYS[way](run, rng)
        run.wait()
        if way != "lose_power":
            check_no_partial_files(folder / "work", expected_files)
        done = {
            path.parent.name
            for path in (folder / "work" / "results" / "raw").glob("*/*.npy")
            if path.read_bytes() == expected_files[path.name]
        }
        again = complete(folder, photos)
        assert result(folder / "work") == expected_files
        if way != "lose_power":
            # finished shards are not recomputed
            assert again.count("rule infer:") <= len(PHOTOS) - len(done), again
        shutil.rmtree(folder)


def test_a_killed_omf_predict_leaves_no_partial_files(tmp_path, undisturbed, photos, thorough):
    expected = raw_files(undisturbed[0])
    command = (*PREDICT, photos, "--model", "unprocess", "-o")
    began = time.monotonic()
    Run.start(tmp_path / "log", *command, tmp_path / "first").succeed()
    seconds = time.monotonic() - began
    rng = np.random.default_rng(0)
    caught = 0
    for moment in range(MOMENTS_OF_PREDICT[thorough]):
        out = tmp_path / f"out{moment}"
        run = Run.start(tmp_path / "log", *command, out)
        time.sleep(rng.uniform(0.3, 1) * seconds)
        run.process.send_signal(signal.SIGKILL if moment % 2 else signal.SIGTERM)
        code = run.wait()
        outputs = {path.name: path.read_bytes() for path in out.glob("*")}
        if code == 128 + signal.SIGTERM:
            assert not [name for name in outputs if name.endswith(".part")]  # temporary files were removed
        named = {name: content for name, content in outputs.items() if not name.startswith(".")}
        assert named.items() <= expected.items()
        caught += 0 < len(named) < len(expected)
        Run.start(tmp_path / "log", *command, out).succeed()
        assert {path.name: path.read_bytes() for path in out.glob("*.npy")} == expected
    assert not thorough or caught > 0
