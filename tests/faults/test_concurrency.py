"""Concurrent runs, and file systems with delayed visibility of writes."""

import hashlib
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from runs import NAMES, Run, jobs_of, photos, result, undisturbed, workflow  # noqa: F401
from weights_server import serving

from omf.models.download import fetch
from omf.models.registry import WeightsFile

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


def wait_until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_run_in_the_same_folder_is_refused(tmp_path, photos, undisturbed):
    (tmp_path / "work").mkdir()
    first = workflow(tmp_path, photos)
    wait_until(lambda: jobs_of(first))
    second = workflow(tmp_path, photos, "second.log")
    assert second.wait() == 1
    assert "Directory cannot be locked" in second.output() and "Traceback" not in second.output()
    assert first.wait() == 0, first.output()
    assert result(tmp_path / "work") == undisturbed[0]
    third = workflow(tmp_path, photos, "third.log")
    assert third.wait() == 0
    assert "Nothing to be done" in third.output()


def test_a_dry_run_does_not_disturb_a_run(tmp_path, photos, undisturbed):
    (tmp_path / "work").mkdir()
    first = workflow(tmp_path, photos)
    wait_until(lambda: jobs_of(first))
    for _ in range(2):
        dry = workflow(tmp_path, photos, "dry.log", more=("-n",))
        assert dry.wait() == 0, dry.output()
    assert first.wait() == 0, first.output()
    assert result(tmp_path / "work") == undisturbed[0]


def test_a_run_waits_for_orphaned_jobs_of_a_killed_run(tmp_path, photos, undisturbed):
    (tmp_path / "work").mkdir()
    (tmp_path / "slow_job").touch()
    first = workflow(tmp_path, photos, PYTHONPATH=str(HERE / "injected"), FAULT=str(tmp_path / "slow_job"))
    wait_until(lambda: not (tmp_path / "slow_job").exists())  # the job is asleep now
    (job,) = [job for job in jobs_of(first) if "infer" in " ".join(job.cmdline())][-1:]
    first.process.kill()
    first.wait()
    second = workflow(tmp_path, photos, "second.log")
    wait_until(lambda: "Waiting for the jobs that a killed run left behind" in second.output())
    assert job.is_running()
    assert second.wait() == 0, second.output()
    assert result(tmp_path / "work") == undisturbed[0]


def test_a_file_system_with_delayed_visibility(tmp_path, photos, undisturbed):
    """Run with two photos per shard, where a folder becomes visible before all of its files."""
    (tmp_path / "work").mkdir()
    run = workflow(tmp_path, photos, size=2, PYTHONPATH=str(HERE / "lagging"))
    assert run.wait() == 0, run.output()
    assert result(tmp_path / "work") == undisturbed[0]


def test_a_file_system_without_locks(tmp_path, photos, undisturbed):
    (tmp_path / "work").mkdir()
    run = workflow(
        tmp_path, photos, size=256, PYTHONPATH=str(HERE / "injected"), FAULT=str(tmp_path / "no_locks")
    )
    assert run.wait() == 0, run.output()
    assert result(tmp_path / "work") == undisturbed[0]


def test_three_predictions_into_one_folder(tmp_path, photos, undisturbed):
    command = [sys.executable, "-m", "omf", "predict", photos, "--model", "unprocess", "-o", tmp_path / "out"]
    runs = [Run.start(tmp_path / f"{number}.log", *command) for number in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    outputs = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("[!.]*")}
    assert len(outputs) == len(NAMES)
    assert outputs.items() <= undisturbed[0].items()


def test_users_sharing_read_only_weights(tmp_path, photos, tiny_model):
    shared = tmp_path / "shared"
    shared.mkdir()
    for branch in ("oe", "noe"):
        (shared / f"{branch}.safetensors").write_bytes((tiny_model / f"{branch}.safetensors").read_bytes())
        (shared / f"{branch}.safetensors").chmod(0o444)
    shared.chmod(0o555)
    command = [sys.executable, "-m", "omf", "predict", photos, "--device", "cpu", "--model", shared, "-o"]
    runs = [Run.start(tmp_path / f"{user}.log", *command, tmp_path / user) for user in ("one", "two")]
    assert [run.wait() for run in runs] == [0, 0], runs[0].output() + runs[1].output()
    for path in (tmp_path / "one").glob("[!.]*"):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert sorted(path.name for path in shared.iterdir()) == ["noe.safetensors", "oe.safetensors"]


def test_concurrent_downloads_fetch_a_file_once(tmp_path):
    content = np.random.default_rng(0).bytes(3_000_000)
    with serving({"/weights.pt": content}) as server:
        file = WeightsFile(
            tmp_path / "weights.pt",
            hashlib.sha256(content).hexdigest(),
            len(content),
            server.url("/weights.pt"),
        )
        fetched = []
        threads = [threading.Thread(target=lambda: fetched.append(fetch(file, "model"))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(fetched) == [False, False, False, True]
    assert file.path.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pt"]
    assert len(server.ranges_requested) == 1


def test_a_simulated_lag_hides_files_from_other_processes(tmp_path):
    """Check the simulation that the tests above rely on."""
    folder = tmp_path / "work" / "results"
    folder.mkdir(parents=True)
    (folder / "a").touch()
    code = f"import os; print(os.listdir({str(folder)!r}), os.path.exists({str(folder / 'a')!r}))"
    immediately = Run.start(tmp_path / "log", sys.executable, "-c", code, PYTHONPATH=str(HERE / "lagging"))
    immediately.wait()
    assert immediately.output() == "[] False\n"
    time.sleep(2)
    later = Run.start(tmp_path / "log", sys.executable, "-c", code, PYTHONPATH=str(HERE / "lagging"))
    later.wait()
    assert later.output() == "['a'] True\n"
