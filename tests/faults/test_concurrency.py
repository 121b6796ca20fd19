"""Concurrent runs, and file systems with delayed visibility of writes."""

import hashlib
import shutil
import sys
import threading
import time

import numpy as np
import pytest
from conftest import wait_for
from runs import (  # noqa: F401
    INJECTED,
    LAGGING,
    PREDICT,
    Run,
    files_in,
    jobs_of,
    photos,
    raw_files,
    result,
    undisturbed,
    workflow,
)
from weights_server import serving

from omf.models.download import fetch
from omf.models.registry import WeightsFile

pytestmark = pytest.mark.slow


def test_other_runs_in_the_same_folder_do_not_disturb_a_run(tmp_path, photos, undisturbed):
    first = workflow(tmp_path, photos)
    wait_for(lambda: jobs_of(first))
    second = workflow(tmp_path, photos, "second.log")
    dry = [workflow(tmp_path, photos, f"dry{number}.log", more=("-n",)) for number in range(2)]
    assert second.wait() == 1
    assert "Directory cannot be locked" in second.output() and "Traceback" not in second.output()
    for run in (*dry, first):
        run.succeed()
    assert result(tmp_path / "work") == undisturbed[0]
    assert "Nothing to be done" in workflow(tmp_path, photos, "third.log").succeed().output()


def test_a_run_waits_for_orphaned_jobs_of_a_killed_run(tmp_path, photos, undisturbed):
    fault = tmp_path / "slow_job"
    fault.touch()
    first = workflow(tmp_path, photos, size=256, PYTHONPATH=INJECTED, FAULT=str(fault))
    wait_for(lambda: not fault.exists())  # the job waits now
    (job,) = [job for job in jobs_of(first) if "infer" in " ".join(job.cmdline())][-1:]
    first.process.kill()
    first.wait()
    second = workflow(tmp_path, photos, "second.log", size=256)
    wait_for(lambda: "Waiting for the jobs that a killed run left behind" in second.output())
    assert job.is_running()
    fault.touch()  # releases it
    second.succeed()
    assert result(tmp_path / "work") == undisturbed[0]


def test_a_file_system_with_delayed_visibility(tmp_path, photos, undisturbed):
    """Run with two photos per shard, where a folder becomes visible before all of its files."""
    workflow(tmp_path, photos, size=2, PYTHONPATH=LAGGING).succeed()
    assert result(tmp_path / "work") == undisturbed[0]


def test_a_file_system_without_locks(tmp_path, photos, undisturbed):
    workflow(tmp_path, photos, size=256, PYTHONPATH=INJECTED, FAULT="no_locks").succeed()
    assert result(tmp_path / "work") == undisturbed[0]


def test_three_predictions_into_one_folder(tmp_path, photos, undisturbed):
    command = (*PREDICT, photos, "--model", "unprocess", "-o", tmp_path / "out")
    for run in [Run.start(tmp_path / f"{number}.log", *command) for number in range(3)]:
        run.succeed()
    assert files_in(tmp_path / "out") == raw_files(undisturbed[0])


def test_users_sharing_read_only_weights(tmp_path, photos, tiny_model):
    shared = shutil.copytree(tiny_model, tmp_path / "shared")
    for path in (*shared.iterdir(), shared):
        path.chmod(0o555)
    command = (*PREDICT, photos, "--device", "cpu", "--model", shared, "-o")
    for run in [Run.start(tmp_path / f"{user}.log", *command, tmp_path / user) for user in ("one", "two")]:
        run.succeed()
    assert len(files_in(tmp_path / "one")) == 4
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two")
    assert set(files_in(shared)) == {"noe.safetensors", "oe.safetensors"}


def test_concurrent_downloads_fetch_a_file_once(tmp_path):
    content = np.random.default_rng(0).bytes(3_000_000)
    with serving({"/weights.pt": content}) as server:
        digest, url = hashlib.sha256(content).hexdigest(), server.url("/weights.pt")
        file = WeightsFile(tmp_path / "weights.pt", digest, len(content), url)
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

    def seen() -> str:
        return Run.start(tmp_path / "log", sys.executable, "-c", code, PYTHONPATH=LAGGING).succeed().output()

    assert seen() == "[] False\n"
    time.sleep(2)
    assert seen() == "['a'] True\n"
