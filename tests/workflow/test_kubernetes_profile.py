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
from cluster.kubernetes_api import Kubernetes, check_strictly, read_objects
from conftest import ROOT, snakemake

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

    def call(self, script: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess:
        environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        environment |= {"POD_NAME": "omf-run-x7k2p", "POD_UID": UID}
        return subprocess.run(
            [self.folder / script, *map(str, arguments)],
            cwd=cwd or self.folder.parent,
            env=environment | self.kubernetes.environment,
            capture_output=True,
            text=True,
        )

    def submit(
        self, cwd: Path | None = None, job: dict = JOB, **resources: object
    ) -> subprocess.CompletedProcess:
        folder = cwd or self.folder.parent
        folder.mkdir(exist_ok=True)
        script = folder / "snakejob.sh"
        properties = json.dumps(job | {"resources": RESOURCES | resources})
        script.write_text(f"#!/bin/sh\n# properties = {properties}\n")
        return self.call("submit.py", script, cwd=folder)


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[Scripts]:
    scripts = Scripts(tmp_path)
    yield scripts
    scripts.kubernetes.close()


def test_a_dry_run_with_the_profile(tmp_path):
    result = snakemake(tmp_path, "-n", "--workflow-profile", PROFILE)
    assert result.returncode == 0, result.stdout + result.stderr
    infer = re.search(r"rule infer:.*?^$", result.stdout, re.MULTILINE | re.DOTALL)[0]
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


def test_a_job_is_submitted_with_its_limits(scripts):
    folder = scripts.folder.parent / 'a b\'s: $name "ü"'
    names = [scripts.submit(folder).stdout for _ in range(2)]
    assert names[0] != names[1]
    job = scripts.kubernetes.jobs[names[0].strip()]
    assert job.name.startswith("train-network-") and job.rule == "train_network"
    assert job.limits == {"cpu": 7, "memory": "8000M", "nvidia.com/gpu": 1}
    assert job.pod["activeDeadlineSeconds"] == 660
    (owner,) = job.manifest["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Pod", "omf-run-x7k2p", UID)
    (container,) = job.pod["containers"]
    assert container["args"] == ["sh", str(folder / "snakejob.sh")]
    assert container["workingDir"] == str(folder)


def test_a_group_and_a_job_without_gpu(scripts):
    group = {"type": "group", "groupid": "shard_s01", "threads": 3}
    answer = scripts.submit(job=group, gpu=0)
    assert answer.returncode == 0, answer.stderr
    (job,) = scripts.kubernetes.jobs.values()
    assert job.name.startswith("shard-s01-") and job.rule == "shard_s01"
    assert job.limits == {"cpu": 3, "memory": "8000M", "nvidia.com/gpu": 0}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("volumeMounts:", "volumeMount:", "volumeMount"),
        ("backoffLimit: 0 ", "backoffLimit: none", "backoffLimit|integer"),
        ("$gpus", "$gpu", r"'gpu': it may have the words \$name, "),
        ("kind: Job", "kind: {Job", "mapping"),
    ],
)
def test_an_error_in_the_template_is_told(scripts, old, new, message):
    scripts.edit("job.yaml", old, new)
    answer = scripts.submit()
    assert answer.returncode == 1 and not scripts.kubernetes.jobs
    assert answer.stderr.startswith("error: ") and re.search(message, answer.stderr), answer.stderr
    assert answer.stdout == ""


def test_status_follows_the_pod(scripts):
    name = scripts.submit().stdout.strip()
    job = scripts.kubernetes.jobs[name]
    assert scripts.call("status.py", name).stdout == "running\n"
    job.ended(0)
    assert scripts.call("status.py", name).stdout == "success\n"
    job.ended(137, "OOMKilled")
    answer = scripts.call("status.py", name)
    assert answer.stdout == "failed\n" and answer.stderr == f"{name} failed: OOMKilled\n"


def test_a_deleted_job_has_failed_once_its_pod_has_ended(scripts):
    names = [scripts.submit().stdout.strip() for _ in range(2)]
    answer = scripts.call("cancel.py", *names, "deleted-before")
    assert answer.returncode == 0, answer.stderr
    assert [job.name for job in scripts.stopped] == names
    assert scripts.call("status.py", names[0]).stdout == "running\n"
    scripts.kubernetes.jobs[names[0]].ended(130)
    answer = scripts.call("status.py", names[0])
    assert answer.stdout == "failed\n" and answer.stderr == f"{names[0]} was deleted\n"


def test_a_busy_server_is_asked_again(scripts):
    scripts.kubernetes.busy = 6
    name = scripts.submit().stdout.strip()
    assert list(scripts.kubernetes.jobs) == [name]
    scripts.kubernetes.busy = 100
    answer = scripts.call("status.py", name)
    assert answer.returncode == 0 and answer.stdout == "running\n"
    assert answer.stderr.startswith("Kubernetes does not answer: ") and answer.stderr.count("\n") == 1
    answer = scripts.submit()
    assert answer.returncode == 1 and answer.stderr.startswith("error: Kubernetes does not answer: ")


def test_what_the_account_may_not_do_is_told(scripts):
    name = scripts.submit().stdout.strip()
    scripts.kubernetes.rules = []
    for script, argument in (("status.py", name), ("cancel.py", name)):
        answer = scripts.call(script, argument)
        assert answer.returncode == 1
        assert answer.stderr.startswith("error: Kubernetes: jobs is forbidden: ")


def test_outside_of_a_pod_one_line_says_so(scripts):
    shutil.rmtree(scripts.kubernetes.account)
    answer = scripts.submit()
    assert answer.returncode == 1
    assert re.fullmatch(r"error: .*: not there; run Snakemake in a pod, as run.yaml does\n", answer.stderr)
