"""Runs that are killed at random moments: the same command again finishes, with the same bytes."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from runs import NAMES, Run, jobs_of, photos, result, undisturbed, workflow  # noqa: F401

pytestmark = pytest.mark.slow

MOMENTS = {False: 1, True: 20}  # of each way to kill the workflow
MOMENTS_OF_PREDICT = {False: 10, True: 100}


def nothing_partial(work: Path, whole: dict[str, bytes]) -> None:
    for path in (work / "results" / "raw").glob("*/*.npy"):
        if not path.name.startswith("."):
            assert path.read_bytes() == whole[path.name]
    for name, content in result(work).items():
        assert content == whole[name], name


def kill_all(run: Run, rng: np.random.Generator) -> None:
    """As when the machine goes down."""
    os.killpg(run.process.pid, signal.SIGKILL)
    run.ended()


def kill_main(run: Run, rng: np.random.Generator) -> None:
    """Its jobs go on without it."""
    run.process.kill()
    run.ended()


def end_main(run: Run, rng: np.random.Generator) -> None:
    run.process.terminate()
    run.ended()


def signal_job(run: Run, rng: np.random.Generator, number: signal.Signals) -> None:
    while run.process.poll() is None:
        if jobs := jobs_of(run):
            try:
                jobs[rng.integers(len(jobs))].send_signal(number)
                break
            except psutil.NoSuchProcess:
                pass
        time.sleep(0.01)
    run.ended()


def kill_job(run: Run, rng: np.random.Generator) -> None:
    signal_job(run, rng, signal.SIGKILL)


def end_job(run: Run, rng: np.random.Generator) -> None:
    signal_job(run, rng, signal.SIGTERM)


def lose_power(run: Run, rng: np.random.Generator) -> None:
    """What was written last is cut off: the newest files, at the end of any byte; Snakemake's own too."""
    kill_all(run, rng)
    work = run.log.parent / "work"
    files = [
        path
        for folder in ("results", "submission", ".snakemake")
        for path in (work / folder).rglob("*")
        if path.is_file()
    ]
    for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)[-4:]:
        if path.stat().st_nlink > 1:  # the same file under another name too
            path.write_bytes(path.read_bytes()[: rng.integers(path.stat().st_size)])
        else:
            os.truncate(path, rng.integers(path.stat().st_size + 1))


WAYS = [kill_all, kill_main, end_main, kill_job, end_job, lose_power]


@pytest.mark.parametrize("way", WAYS)
def test_a_workflow_that_is_killed_goes_on_where_it_was(
    tmp_path, photos, undisturbed, thorough, way: Callable
):
    whole, seconds = undisturbed
    for moment in range(MOMENTS[thorough]):
        folder = tmp_path / str(moment)
        (folder / "work").mkdir(parents=True)
        rng = np.random.default_rng([moment, WAYS.index(way)])
        run = workflow(folder, photos)
        time.sleep(rng.uniform(0, seconds))
        way(run, rng)
        if way is not lose_power:
            nothing_partial(folder / "work", whole)
        done = {
            path.parent.name
            for path in (folder / "work" / "results" / "raw").glob("*/*.npy")
            if path.read_bytes() == whole[path.name]
        }
        again = workflow(folder, photos)
        assert again.ended() == 0, again.said()
        assert result(folder / "work") == whole
        if way is not lose_power:
            # what was finished is not done again
            assert again.said().count("rule infer:") <= len(NAMES) - len(done), again.said()
        shutil.rmtree(folder)


def test_omf_predict_that_is_killed_leaves_nothing_partial(tmp_path, undisturbed, photos, thorough):
    whole, _ = undisturbed
    expected = {name: content for name, content in whole.items() if name.endswith(".npy") and "/" not in name}
    command = [sys.executable, "-m", "omf", "predict", photos, "--model", "unprocess", "-o"]
    began = time.monotonic()
    assert Run.start(tmp_path / "log", *command, tmp_path / "first").ended() == 0
    seconds = time.monotonic() - began
    rng = np.random.default_rng(0)
    caught = 0
    for moment in range(MOMENTS_OF_PREDICT[thorough]):
        out = tmp_path / f"out{moment}"
        run = Run.start(tmp_path / "log", *command, out)
        time.sleep(rng.uniform(0.3, 1) * seconds)
        run.process.send_signal(signal.SIGKILL if moment % 2 else signal.SIGTERM)
        code = run.ended()
        left = {path.name: path.read_bytes() for path in out.glob("*")}
        if code == 128 + signal.SIGTERM:
            assert not [name for name in left if name.startswith(".")]  # it cleans up
        named = {name: content for name, content in left.items() if not name.startswith(".")}
        assert named.items() <= expected.items()
        caught += 0 < len(named) < len(expected)
        assert Run.start(tmp_path / "log", *command, out).ended() == 0
        assert {path.name: path.read_bytes() for path in out.glob("*.npy")} == expected
    assert not thorough or caught > 0
