"""The profile for Kubernetes: its files, and its scripts with a stand-in for Kubernetes' server."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cluster.kubernetes_api import Job, Kubernetes, check_strictly, read_objects
from conftest import ROOT
from workflow_runs import finish

PROFILE = ROOT / "profiles" / "kubernetes"
JOB = {"type": "single", "rule": "train_network", "threads": 7}
UID = "5d8e3a4c-1f0b-4a7e-9c56-0d2f6b1e7a90"
RESOURCES = {"mem_mb": 8000, "runtime": 11, "gpu": 1}


class Scripts:
    """A copy of the profile's scripts, as pods with the account of a stand-in would run them."""

    def __init__(self, folder: Path):
        self.folder, self.started, self.stopped = folder / "profile", [], []
        shutil.copytree(PROFILE, self.folder)
        role = read_objects(PROFILE / "setup.yaml")["Role"]
        self.kubernetes = Kubernetes(folder / "server", role, self.started.append, self.stopped.append)
        self.edit("api.py", "/var/run/secrets/kubernetes.io/serviceaccount", str(self.kubernetes.account))
        # seconds in place of a minute
        self.edit("api.py", "backoff_factor=1,", "backoff_factor=0.01,")

    def edit(self, name: str, old: str, new: str) -> None:
        file = self.folder / name
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def call(self, script: str, *arguments: object) -> subprocess.CompletedProcess:
        environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        environment |= {"POD_NAME": "omf-run-x7k2p", "POD_UID": UID} | self.kubernetes.environment
        command = [self.folder / script, *map(str, arguments)]
        cwd = Path(arguments[0]).parent if script == "submit.py" else None
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)

    def try_to_submit(
        self, folder: Path | None = None, job: dict = JOB, **resources: object
    ) -> subprocess.CompletedProcess:
        script = (folder or self.folder.parent) / "snakejob.sh"
        properties = json.dumps(job | {"resources": RESOURCES | resources})
        script.write_text(f"#!/bin/sh\n# properties = {properties}\n")
        return self.call("submit.py", script)

    def submit(self, *arguments: object, **others: object) -> Job:
        answer = self.try_to_submit(*arguments, **others)
        assert answer.returncode == 0, answer.stderr
        return self.kubernetes.jobs[answer.stdout.strip()]

    def status(self, job: Job) -> tuple[str, str]:
        """Return what status.py prints to stdout and stderr."""
        answer = self.call("status.py", job.name)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout, answer.stderr


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[Scripts]:
    scripts = Scripts(tmp_path)
    yield scripts
    scripts.kubernetes.close()


def test_a_dry_run_with_the_profile(tmp_path):
    said = finish(tmp_path, "-n", "--workflow-profile", PROFILE).stdout
    infer = re.search(r"rule infer:.*?^$", said, re.MULTILINE | re.DOTALL)[0]
    assert "threads: 7" in infer and "mem_mb=8000," in infer and "gpu=1," in infer


def test_the_objects_are_valid_and_fit_together():
    setup = read_objects(PROFILE / "setup.yaml")
    run = read_objects(PROFILE / "run.yaml")["Job"]
    for found in (*setup.values(), run):
        check_strictly(found)
    account = setup["ServiceAccount"]["metadata"]["name"]
    assert run["spec"]["template"]["spec"]["serviceAccountName"] == account
    binding = setup["RoleBinding"]
    assert [subject["name"] for subject in binding["subjects"]] == [account]
    assert binding["roleRef"]["name"] == setup["Role"]["metadata"]["name"]
    job = yaml.safe_load((PROFILE / "job.yaml").read_text())
    (ours,), (theirs,) = (found["spec"]["template"]["spec"]["containers"] for found in (run, job))
    assert ours["image"] == theirs["image"] and ours["envFrom"] == theirs["envFrom"]
    claims = [
        [volume for volume in found["spec"]["template"]["spec"]["volumes"] if volume["name"] == "data"]
        for found in (run, job)
    ]
    assert claims[0] == claims[1]
    claim = claims[0][0]["persistentVolumeClaim"]["claimName"]
    assert claim == setup["PersistentVolumeClaim"]["metadata"]["name"]
    assert {"name": "data", "mountPath": "/data"} in ours["volumeMounts"] + theirs["volumeMounts"]


def test_jobs_and_groups_are_submitted_with_their_limits(scripts):
    folder = scripts.folder.parent / 'a b\'s: $name "ü"'
    folder.mkdir()
    job, again = (scripts.submit(folder) for _ in range(2))
    assert job.name != again.name
    assert job.name.startswith("train-network-") and job.rule == "train_network"
    assert job.limits == {"cpu": 7, "memory": "8000M", "nvidia.com/gpu": 1}
    assert job.pod["activeDeadlineSeconds"] == 660
    (owner,) = job.manifest["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Pod", "omf-run-x7k2p", UID)
    (container,) = job.pod["containers"]
    assert container["args"] == ["sh", str(folder / "snakejob.sh")]
    assert container["workingDir"] == str(folder)

    group = scripts.submit(job={"type": "group", "groupid": "shard_s01", "threads": 3}, gpu=0)
    assert group.name.startswith("shard-s01-") and group.rule == "shard_s01"
    assert group.limits == {"cpu": 3, "memory": "8000M", "nvidia.com/gpu": 0}


def test_an_error_in_the_template_is_told(scripts):
    template = (scripts.folder / "job.yaml").read_text()
    for old, new, message in (
        ("volumeMounts:", "volumeMount:", "volumeMount"),
        ("backoffLimit: 0 ", "backoffLimit: none", "backoffLimit|integer"),
        ("$gpus", "$gpu", r"'gpu': it may have the words \$name, "),
        ("kind: Job", "kind: {Job", "mapping"),
    ):
        scripts.edit("job.yaml", old, new)
        answer = scripts.try_to_submit()
        assert answer.returncode == 1 and not scripts.kubernetes.jobs
        assert answer.stderr.startswith("error: ") and re.search(message, answer.stderr), answer.stderr
        assert answer.stdout == ""
        (scripts.folder / "job.yaml").write_text(template)


def test_status_follows_the_pod(scripts):
    job, deleted = scripts.submit(), scripts.submit()
    assert scripts.status(job) == ("running\n", "")
    job.ended(0)
    assert scripts.status(job) == ("success\n", "")
    job.ended(137, "OOMKilled")
    assert scripts.status(job) == ("failed\n", f"{job.name} failed: OOMKilled\n")
    # a deleted job has failed once its pod has ended
    answer = scripts.call("cancel.py", deleted.name, "deleted-before")
    assert answer.returncode == 0, answer.stderr
    assert scripts.stopped == [deleted]
    assert scripts.status(deleted) == ("running\n", "")
    deleted.ended(130)
    assert scripts.status(deleted) == ("failed\n", f"{deleted.name} was deleted\n")


def test_a_server_that_is_busy_or_refuses(scripts):
    scripts.kubernetes.busy = 6
    job = scripts.submit()
    assert list(scripts.kubernetes.jobs) == [job.name]
    scripts.kubernetes.busy = 100
    status, message = scripts.status(job)
    assert status == "running\n"
    assert message.startswith("Kubernetes does not answer: ") and message.count("\n") == 1
    answer = scripts.try_to_submit()
    assert answer.returncode == 1 and answer.stderr.startswith("error: Kubernetes does not answer: ")

    scripts.kubernetes.busy, scripts.kubernetes.rules = 0, []
    for script in ("status.py", "cancel.py"):
        answer = scripts.call(script, job.name)
        assert answer.returncode == 1
        assert answer.stderr.startswith("error: Kubernetes: jobs is forbidden: ")
    shutil.rmtree(scripts.kubernetes.account)
    answer = scripts.try_to_submit()
    assert answer.returncode == 1
    assert re.fullmatch(r"error: .*: not there; run Snakemake in a pod, as run.yaml does\n", answer.stderr)
