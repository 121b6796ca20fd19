"""The workflow on a real single-node Slurm cluster, started here, with accounting and two mock GPUs."""

import fcntl
import getpass
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from conftest import PHOTOS, ROOT, draw_few_scenes, run
from container.clones import copy_photos, make_clone
from workflow_runs import finish, raw_files, read_json

from omf.pipeline.shards import assign_shards

HERE = Path(__file__).parent
STEPS = ("preprocess", "infer", "mosaic", "evaluate")
DAEMONS = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd")
MISSING = [
    daemon for daemon in DAEMONS if not shutil.which(daemon, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to start Slurm"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("slurm")
    # two would use the same ports; another worker of the tests may have one
    lock = (Path(tempfile.gettempdir()) / "omf-slurm.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    for parent in (folder, *folder.parents):
        if parent.is_relative_to(tempfile.gettempdir()) and parent != Path(tempfile.gettempdir()):
            parent.chmod(0o755)  # the database runs as another user
    try:
        # the daemons keep running, so do not wait for the end of their output
        with (folder.parent / "slurm_up.log").open("w+") as log:
            done = subprocess.run(["bash", HERE / "slurm_up.sh", folder], stdout=log, stderr=log, timeout=200)
            log.seek(0)
            assert done.returncode == 0, log.read()
        yield
    finally:
        run("bash", HERE / "slurm_down.sh", folder)
        lock.close()


# The GPUs are none: infer requests one, on a node with a feature, and runs on the CPU. Groups are those of a
# run with GPUs.
MOCK_GPU = (
    *("--set-resources", "infer:gpu=1", "infer:constraint=matrix_units"),
    *("--groups", "preprocess=shard_{shard}_decode", "infer=shard_{shard}_infer"),
)
INJECTED = {"PYTHONPATH": f"{HERE / 'injected'}:{ROOT}"}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> dict:
    folder = copy_photos(tmp_path_factory.mktemp("samples") / "photos", PHOTOS)
    settings = {"images": folder, "model": tiny_model, "ground_truth": ROOT / "test_raw"}
    return settings | {"shard_size": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, settings: dict) -> dict[str, bytes]:
    """Return the RAW files of a run without Slurm."""
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(folder, **settings | {"shard_size": 256})
    return raw_files(folder / "submission")


def submit(
    folder: Path, settings: dict, *arguments: str, program: Path = ROOT, **environment: str
) -> subprocess.Popen:
    """Start the workflow with the Slurm profile, an account, and frequent status checks."""
    command = [
        *("timeout", "-k", "5", "400", sys.executable, HERE / "impatient.py"),
        *("--snakefile", program / "Snakefile", "--directory", folder),
        *("--workflow-profile", program / "profiles" / "slurm"),
        *("--default-resources", "slurm_account=project"),
        *("--slurm-init-seconds-before-status-checks", "1"),
        *arguments,
        *("--config", *(f"{key}={value}" for key, value in settings.items())),
    ]
    folder.mkdir(exist_ok=True)
    with (folder / "log").open("w") as log:
        # the plugin needs USER, which every login sets
        environment = os.environ | {"USER": getpass.getuser()} | environment
        return subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, env=environment)


def wait_for_end(process: subprocess.Popen, folder: Path, code: int = 0) -> str:
    """Wait for the workflow, assert that it ends with this exit code, and return its log."""
    process.wait()
    log = (folder / "log").read_text()
    assert process.returncode == code, log
    return log


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S")


def queue(state: str) -> dict[str, str]:
    """Return the jobs in a state: {number: Snakemake's name}."""
    lines = run("squeue", "--noheader", "--states", state, "--format", "%i %k").stdout.splitlines()
    return dict(line.split(" ", 1) for line in lines)


def accounted(since: str) -> list[dict[str, str]]:
    """Return Slurm's accounting records of Snakemake's jobs since then, in order of submission."""
    columns = ["JobIDRaw", "Comment", "State", "AllocTRES", "Timelimit", "Start", "End"]
    options = ("--allocations", "--parsable2", "--noheader", "--starttime", since)
    listed = run("sacct", *options, "--format", ",".join(columns)).stdout
    jobs = [dict(zip(columns, line.split("|"))) for line in listed.splitlines()]
    return [job for job in jobs if job["Comment"]]  # the cluster's own trial has none


def wait_for(condition: Callable[[], object], process: subprocess.Popen, folder: Path) -> object:
    """Poll while the workflow runs, and return the first true value."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if value := condition():
            return value
        time.sleep(0.1)
    process.terminate()
    process.wait()
    pytest.fail(f"condition not reached: {(folder / 'log').read_text()}")


def node(state: str) -> None:
    name = run("hostname", "-s").stdout.strip()
    assert run("scontrol", "update", f"NodeName={name}", f"State={state}", "Reason=test").returncode == 0


def test_a_cancelled_job_and_a_drained_node_during_a_run(cluster, tmp_path, settings, undisturbed):
    began, folder = now(), tmp_path / "run"
    process = submit(folder, settings | {"shard_size": 2}, *MOCK_GPU)
    number, name = wait_for(
        lambda: next((job for job in queue("R").items() if job[1].endswith("_infer_infer")), None),
        process,
        folder,
    )
    assert run("scancel", number).returncode == 0
    node("drain")
    # running jobs end, and the next ones wait for the node
    wait_for(lambda: queue("PD") and not queue("R,CG"), process, folder)
    waiting = queue("PD")
    time.sleep(5)
    assert queue("PD").keys() >= waiting.keys() and not queue("R")
    node("resume")
    wait_for_end(process, folder)
    assert raw_files(folder / "submission") == undisturbed
    assert (folder / "submission" / "scores.txt").is_file()
    jobs = accounted(began)
    # only infer requests a GPU, and at most two jobs have one at a time
    inference = [job for job in jobs if job["Comment"].endswith("_infer_infer")]
    assert all(("gres/gpu=1" in job["AllocTRES"]) == (job in inference) for job in jobs)
    spans = sorted((job["Start"], job["End"]) for job in inference)
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[2:]))
    # the cancelled job was resubmitted with twice the time and memory
    first, second = [job for job in inference if job["Comment"] == name]
    assert first["JobIDRaw"] == number and first["State"].startswith("CANCELLED")
    assert second["State"] == "COMPLETED"
    assert "mem=8000M" in first["AllocTRES"] and "mem=16000M" in second["AllocTRES"]
    assert (first["Timelimit"], second["Timelimit"]) == ("00:11:00", "00:22:00")
    # all others ran once, each after its dependencies; the steps after inference were one job
    done = {job["Comment"]: job for job in jobs if job["State"] == "COMPLETED"}
    assert len(done) == len(jobs) - 1
    shards = [path.stem for path in (folder / "results" / "scores").iterdir()]
    assert len(done) == 3 * len(shards) + 2
    for shard in shards:
        groups = ("decode_preprocess", "infer_infer", "evaluate_mosaic")
        steps = [*(done[f"rule_shard_{shard}_{group}"] for group in groups), done["rule_report"]]
        assert all(before["End"] <= after["Start"] for before, after in pairwise(steps))


def test_the_jobs_of_a_shard_are_submitted_as_one(cluster, tmp_path, settings, undisturbed):
    """One shard exceeds its memory at first, and the last step of another one fails."""
    shards = sorted(assign_shards([Path(name).stem for name in PHOTOS], 1))
    large, broken, *others = shards
    began, folder = now(), tmp_path / "run"
    memory = [f"{step}:mem_mb=1200*attempt" for step in STEPS]
    faults = {"LARGE": large, "BROKEN": broken}
    options = ("--retries", "1", "--set-resources", *memory)
    log = wait_for_end(submit(folder, settings, *options, **INJECTED, **faults), folder, code=1)
    assert "error: broken by a test" in log
    jobs = accounted(began)
    of = {shard: [job for job in jobs if f"shard_{shard}_" in job["Comment"]] for shard in shards}
    assert sum(map(len, of.values())) == len(jobs)
    assert [len(of[shard]) for shard in shards] == [2, 2, *(1 for _ in others)]
    # the most cores and memory of a step, and the time of all
    for job in (of[large][0], *(of[shard][0] for shard in others)):
        assert {"cpu=8", "mem=1200M"} <= set(job["AllocTRES"].split(",")), job
        assert job["Timelimit"] == "00:44:00"
    first, second = of[large]
    assert f"StepId={first['JobIDRaw']}.0 exceeded memory limit" in log
    assert (first["State"], second["State"]) == ("FAILED", "COMPLETED")
    assert "mem=2400M" in second["AllocTRES"] and second["Timelimit"] == "01:28:00"
    assert [job["State"] for job in of[broken]] == ["FAILED", "FAILED"]
    results = folder / "results"
    assert sorted(path.stem for path in (results / "scores").iterdir()) == sorted([large, *others])
    assert not [path for path in results.glob(f"*/{broken}*") if path.parent.name not in ("plan", "logs")]
    for step in STEPS:
        assert (results / "logs" / step / f"{broken}.log").is_file()
        assert (results / "benchmarks" / step / f"{others[0]}.tsv").is_file()
    for temporary in ("decoded", "demosaiced"):
        assert not list((results / temporary).glob("*"))

    began = now()
    wait_for_end(submit(folder, settings), folder)
    again = [job["Comment"] for job in accounted(began) if job["Start"] >= began]
    assert len(again) == 3 and f"shard_{broken}_" in again[0]  # then package and report
    assert raw_files(folder / "submission") == undisturbed


def test_a_run_waits_for_the_group_of_a_killed_run(cluster, tmp_path, settings, undisturbed):
    """Also between two jobs of the group, when none of them runs."""
    settings = settings | {"shard_size": 256}
    began, folder = now(), tmp_path / "run"
    process = submit(folder, settings)
    wait_for(lambda: list((folder / "results" / "photos").glob("*.json")), process, folder)
    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()
    process.wait()
    (number,) = queue("R")
    log = wait_for_end(submit(folder, settings), folder)
    assert "Waiting for the jobs that a killed run left behind." in log
    left, *jobs = accounted(began)
    assert left["JobIDRaw"] == number and left["State"] == "COMPLETED"
    assert sorted(job["Comment"] for job in jobs) == ["rule_package", "rule_report"]  # nothing is done twice
    assert all(left["End"] <= job["Start"] for job in jobs)
    assert raw_files(folder / "submission") == undisturbed


def test_a_job_whose_gpu_cannot_be_used_fails_at_once(cluster, tmp_path, settings):
    process = submit(tmp_path, settings | {"device": "auto", "shard_size": 256}, "--retries", "0")
    log = wait_for_end(process, tmp_path, code=1)
    assert "Error in rule infer" in log
    assert "error: device auto: there is a GPU, but PyTorch" in log
    assert "results/logs/infer/s" in log
    assert not queue("R,PD")
    assert not (tmp_path / "submission" / "submission.zip").exists()


def test_training_has_all_gpus_on_one_node_and_one_task(cluster, tmp_path):
    """Slurm starts one task, in which torchrun starts a process for each GPU; here they run on the CPU."""
    began, clone = now(), make_clone(tmp_path / "clone")
    draw_few_scenes(clone)
    training = "{name: cluster, num_gpus: 2, batch_size: 2, patch_size: 40, iterations: {demosaic: 4}}"
    options = ("results/training/cluster/demosaic.done", "--set-resources", "train_network:gpu=2")
    wait_for_end(submit(clone, {"training": training, "device": "cpu"}, *options, program=clone), clone)
    (job,) = [job for job in accounted(began) if job["Comment"].startswith("rule_train_network")]
    assert job["State"] == "COMPLETED"
    assert {"gres/gpu=2", "node=1", "cpu=8"} <= set(job["AllocTRES"].split(","))
    trained = (clone / "results" / "logs" / "train" / "demosaic.log").read_text()
    assert "demosaic: 2 x CPU" in trained
    assert trained.count("demosaic 4 of 4") == 1


def test_jobs_in_the_image(cluster, apptainer, sif, tmp_path):
    """Run as described in docs/cluster.md, in a real Apptainer."""
    clone = make_clone(tmp_path / "clone")
    (clone / "containers" / "omf.sif").hardlink_to(sif)
    began = now()
    options = (*MOCK_GPU, "--profile", str(clone / "profiles" / "apptainer"))
    environment = {"PATH": apptainer.path, "PYTHONPATH": str(clone)}
    wait_for_end(submit(clone, {"device": "cpu"}, *options, program=clone, **environment), clone)
    assert (clone / "submission" / "scores.txt").is_file()
    (made_by,) = read_json(clone, "provenance")["environments"]
    assert made_by["image"].startswith("overexposure-mask-fusion")
    jobs = accounted(began)
    assert sum("gres/gpu=1" in job["AllocTRES"] for job in jobs) == 1
    assert len(jobs) == 5  # check_problems needs no job
