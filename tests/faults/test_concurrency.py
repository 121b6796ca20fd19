"""Several runs at once, and file systems that show late what was written."""

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
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_the_second_run_in_a_folder_refuses(tmp_path, photos, undisturbed):
    (tmp_path / "work").mkdir()
    first = workflow(tmp_path, photos)
    wait_until(lambda: jobs_of(first))
    second = workflow(tmp_path, photos, "second.log")
    assert second.ended() == 1
    assert "Directory cannot be locked" in second.said() and "Traceback" not in second.said()
    assert first.ended() == 0, first.said()
    assert result(tmp_path / "work") == undisturbed[0]
    third = workflow(tmp_path, photos, "third.log")
    assert third.ended() == 0
    assert "Nothing to be done" in third.said()


def test_a_dry_run_beside_a_run_disturbs_nothing(tmp_path, photos, undisturbed):
    (tmp_path / "work").mkdir()
    first = workflow(tmp_path, photos)
    wait_until(lambda: jobs_of(first))
    for _ in range(2):
        dry = workflow(tmp_path, photos, "dry.log", more=("-n",))
        assert dry.ended() == 0, dry.said()
    assert first.ended() == 0, first.said()
    assert result(tmp_path / "work") == undisturbed[0]


def test_jobs_that_a_killed_run_left_behind_are_waited_for(tmp_path, photos, undisturbed):
    (tmp_path / "work").mkdir()
    (tmp_path / "slow_job").touch()
    first = workflow(tmp_path, photos, PYTHONPATH=str(HERE / "injected"), FAULT=str(tmp_path / "slow_job"))
    wait_until(lambda: not (tmp_path / "slow_job").exists())  # now it sleeps
    (job,) = [job for job in jobs_of(first) if "infer" in " ".join(job.cmdline())][-1:]
    first.process.kill()
    first.ended()
    second = workflow(tmp_path, photos, "second.log")
    wait_until(lambda: "Waiting for the jobs that a killed run left behind" in second.said())
    assert job.is_running()
    assert second.ended() == 0, second.said()
    assert result(tmp_path / "work") == undisturbed[0]


def test_a_file_system_that_lags(tmp_path, photos, undisturbed):
    """Of two photos a shard: a folder that is seen before all of its files."""
    (tmp_path / "work").mkdir()
    run = workflow(tmp_path, photos, size=2, PYTHONPATH=str(HERE / "lagging"))
    assert run.ended() == 0, run.said()
    assert result(tmp_path / "work") == undisturbed[0]


def test_two_predictions_into_one_folder(tmp_path, photos, undisturbed):
    command = [sys.executable, "-m", "omf", "predict", photos, "--model", "unprocess", "-o", tmp_path / "out"]
    runs = [Run.start(tmp_path / f"{number}.log", *command) for number in range(3)]
    assert [run.ended() for run in runs] == [0, 0, 0]
    left = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert len(left) == len(NAMES)
    assert left.items() <= undisturbed[0].items()


def test_users_who_share_weights_that_they_can_not_write(tmp_path, photos, tiny_model):
    shared = tmp_path / "shared"
    shared.mkdir()
    for branch in ("oe", "noe"):
        (shared / f"{branch}.safetensors").write_bytes((tiny_model / f"{branch}.safetensors").read_bytes())
        (shared / f"{branch}.safetensors").chmod(0o444)
    shared.chmod(0o555)
    command = [sys.executable, "-m", "omf", "predict", photos, "--device", "cpu", "--model", shared, "-o"]
    runs = [Run.start(tmp_path / f"{user}.log", *command, tmp_path / user) for user in ("one", "two")]
    assert [run.ended() for run in runs] == [0, 0], runs[0].said() + runs[1].said()
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert sorted(path.name for path in shared.iterdir()) == ["noe.safetensors", "oe.safetensors"]


def test_of_several_downloads_of_one_file_one_fetches(tmp_path):
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
    assert len(server.asked) == 1


def test_a_simulated_lag_hides_files_from_other_processes(tmp_path):
    """That the test above tests something."""
    folder = tmp_path / "work" / "results"
    folder.mkdir(parents=True)
    (folder / "a").touch()
    code = f"import os; print(os.listdir({str(folder)!r}), os.path.exists({str(folder / 'a')!r}))"
    seen = [Run.start(tmp_path / "log", sys.executable, "-c", code, PYTHONPATH=str(HERE / "lagging"))]
    seen[0].ended()
    assert seen[0].said() == "[] False\n"
    time.sleep(2)
    later = Run.start(tmp_path / "log", sys.executable, "-c", code, PYTHONPATH=str(HERE / "lagging"))
    later.ended()
    assert later.said() == "['a'] True\n"
