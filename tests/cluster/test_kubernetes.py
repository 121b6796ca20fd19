"""A run with profiles/kubernetes: a stand-in for Kubernetes' server, and real containers for its pods."""

import io
import os
import re
import shutil
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster.kubernetes_api import Job, Kubernetes, read_objects
from conftest import ROOT, wait_for
from container.clones import PHOTOS, change_owner, copy_photos, npy, owners
from container.engine import Engine

pytestmark = pytest.mark.slow

PROFILE = ROOT / "profiles" / "kubernetes"
USER = 1234
SETTINGS = ["images=photos", "model=model", "ground_truth=", "shard_size=1"]
SUBMITTED = [f"{Path(photo).stem}.npy" for photo in PHOTOS]
MEBIBYTES = {"M": 1e6 / 2**20, "G": 1e9 / 2**20}


def make_volume(folder: Path, model: Path) -> Path:
    """Return a folder with photos and a model."""
    copy_photos(folder / "photos")
    shutil.copytree(model, folder / "model")
    return change_owner(folder, USER)


class Node:
    """A node that runs pods as containers, with what their manifests ask for.

    Attributes:
        memory: limits to set in place of those of a rule's next pod, MiB.
        full: pods of inference wait for a node.
        secrets: variables, by the name of their secret.
        logs: what each pod wrote, by the name of its Job.
    """

    def __init__(self, docker: Engine, folder: Path, volume: Path, profile: Path):
        self.docker, self.folder = docker, folder
        self.memory: dict[str, int] = {}
        self.full = False
        self.secrets: dict[str, dict[str, str]] = {}
        self.logs: dict[str, str] = {}
        role = read_objects(PROFILE / "setup.yaml")["Role"]
        self.kubernetes = Kubernetes(folder, role, self.start, self.stop)
        self.volumes = {"omf": volume, "omf-profile": profile}
        self.threads: list[threading.Thread] = []

    def arguments(self, job: Job) -> list[str]:
        """Return the arguments of `docker run` for a Job's pod."""
        pod = job.pod
        (container,) = pod["containers"]
        memory = re.fullmatch(r"(\d+)([MG])", container["resources"]["limits"]["memory"])
        limit = self.memory.pop(job.rule, int(memory[1]) * MEBIBYTES[memory[2]])
        words = ["--name", job.name, "--network", "host", "--memory", f"{limit:.0f}m"]
        words += ["--memory-swap", f"{limit:.0f}m", "--workdir", container["workingDir"]]
        words += ["--cpus", str(min(container["resources"]["limits"]["cpu"], os.cpu_count()))]
        fields = {"metadata.name": job.pod_name, "metadata.uid": job.pod_uid}
        own = {
            entry["name"]: fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
            for entry in container.get("env", [])
        }
        for source in container["envFrom"]:
            secret = source["secretRef"]
            assert secret["optional"]
            own |= self.secrets.get(secret["name"], {})
        for key, value in (self.kubernetes.environment | own).items():
            words += ["--env", f"{key}={value}"]
        paths = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        for volume in pod["volumes"]:
            place = paths[volume["name"]]
            if "emptyDir" in volume:
                words += ["--tmpfs", place]
            elif "configMap" in volume:
                assert oct(volume["configMap"]["defaultMode"]) == "0o555"
                words += ["--volume", f"{self.volumes[volume['configMap']['name']]}:{place}:ro"]
            else:
                claim = volume["persistentVolumeClaim"]["claimName"]
                words += ["--volume", f"{self.volumes[claim]}:{place}"]
        if pod.get("automountServiceAccountToken", True):
            assert pod["serviceAccountName"] == "omf"
            account = "/var/run/secrets/kubernetes.io/serviceaccount"
            words += ["--volume", f"{self.kubernetes.account}:{account}:ro"]
        return [*words, container["image"], *container["args"]]

    def start(self, job: Job) -> None:
        while self.full and job.rule == "infer":
            if job.deleted:
                job.ended(1)
                return
            time.sleep(0.1)
        done = self.docker("run", *self.arguments(job), check=False)
        self.logs[job.name] = done.stdout + done.stderr
        killed = self.docker("inspect", "--format", "{{.State.OOMKilled}}", job.name).stdout.strip()
        self.docker("rm", job.name)
        job.ended(done.returncode, "OOMKilled" if killed == "true" else "")
        if job.deleted:
            self.kubernetes.collect_garbage(job)

    def stop(self, job: Job) -> None:
        """End a pod as Kubernetes does, with the signal that the image names."""
        grace = job.pod.get("terminationGracePeriodSeconds", 30)

        def end() -> None:
            # its container may not be there yet
            while job.code is None and self.docker("stop", "--time", grace, job.name, check=False).returncode:
                time.sleep(0.1)

        threading.Thread(target=end, daemon=True).start()

    def run(self, *settings: str) -> Job:
        """Create the Job of run.yaml, with other settings."""
        found = read_objects(PROFILE / "run.yaml")["Job"]
        (container,) = found["spec"]["template"]["spec"]["containers"]
        args = container["args"]
        container["args"] = [*args[: args.index("--config") + 1], *settings]
        return self.kubernetes.create(found)

    def jobs(self, rule: str) -> list[Job]:
        return [job for job in list(self.kubernetes.jobs.values()) if job.rule == rule]

    def wait_for(self, condition: Callable[[], object], run: Job) -> None:
        deadline = time.monotonic() + 400
        while not condition():
            assert time.monotonic() < deadline and run.code is None, self.logs.get(run.name)
            time.sleep(0.1)

    def finish(self, run: Job) -> str:
        """Wait for the end of a run and return its log."""
        wait_for(lambda: run.code is not None, 400)
        assert run.code == 0, self.logs.get(run.name)
        return self.logs[run.name]


@pytest.fixture
def node(docker, image, tmp_path, tiny_model) -> Iterator[Node]:
    profile = tmp_path / "profile"
    shutil.copytree(PROFILE, profile)
    for file in profile.iterdir():
        file.chmod(0o555)
    config = profile / "config.yaml"
    text = config.read_text()
    assert "status-checks: 30" in text
    config.write_text(text.replace("status-checks: 30", "status-checks: 1"))
    for name in re.findall("image: ([^ ]+)", (PROFILE / "job.yaml").read_text()):
        docker("tag", image, name)
    node = Node(docker, tmp_path / "node", make_volume(tmp_path / "volume", tiny_model), profile)
    yield node
    node.kubernetes.close()
    for name in docker("ps", "--quiet").stdout.split():
        docker("kill", name, check=False)


@pytest.fixture(scope="module")
def plain(docker, image, tmp_path_factory, tiny_model) -> dict[str, bytes]:
    """Return the RAW files of a run without Kubernetes."""
    volume = make_volume(tmp_path_factory.mktemp("plain") / "volume", tiny_model)
    docker.run(volume, image, "./test", "--config", *SETTINGS)
    return npy(volume)


def test_a_run_with_a_job_out_of_memory_and_a_deleted_one(node, plain):
    node.memory["shard_s1"] = 20
    run = node.run(*SETTINGS)
    node.wait_for(lambda: node.jobs("infer"), run)
    (deleted, *_) = node.jobs("infer")
    node.kubernetes.delete(deleted.name)
    log = node.finish(run)

    volume = node.volumes["omf"]
    assert list(npy(volume)) == SUBMITTED and npy(volume) == plain
    assert (volume / "submission" / "submission.zip").is_file()
    assert owners(volume) == {(USER, USER)}
    assert f"{deleted.name} was deleted" in log
    killed = node.jobs("shard_s1")[0]
    assert f"{killed.name} failed: OOMKilled" in log
    # these two were submitted again, with more of everything
    assert {job.name for job in node.kubernetes.jobs.values() if job.code} >= {killed.name}
    expected = {"infer": ([8000, 8000, 16000], 1), "shard_s1": ([6000, 12000], 0), "shard_s0": ([6000], 0)}
    for rule, (memory, gpus) in expected.items():
        limits = [job.limits for job in node.jobs(rule)]
        assert sorted(int(limit["memory"].removesuffix("M")) for limit in limits) == memory
        assert {limit["nvidia.com/gpu"] for limit in limits} == {gpus}
    seconds = sorted(job.pod["activeDeadlineSeconds"] for job in node.jobs("infer"))
    assert seconds == [seconds[0], seconds[0], 2 * seconds[0]]
    for rule, number in {"preprocess": 2, "package": 1, "report": 1}.items():
        assert [job.code for job in node.jobs(rule)] == [0] * number


def test_a_run_that_is_deleted_ends_its_jobs_and_can_be_resumed(node):
    """Snakemake deletes the jobs; Kubernetes those that it can't, since they belong to the pod of the run."""
    log = node.volumes["omf"] / ".snakemake" / "log"

    def submitted(times: int) -> bool:
        """Return True once Snakemake knows that it has submitted all inference jobs so often."""
        names = [job.name for job in node.jobs("infer")]
        text = "".join(file.read_text() for file in log.glob("*.log"))
        return len(names) == times * len(PHOTOS) and all(name in text for name in names)

    node.full = True
    for times, answers in enumerate((True, False), start=1):
        run = node.run(*SETTINGS)
        node.wait_for(lambda times=times: submitted(times), run)
        node.kubernetes.busy = 0 if answers else 10**6
        node.kubernetes.delete(run.name)
        wait_for(lambda: all(job.code is not None for job in list(node.kubernetes.jobs.values())), 100)
        node.kubernetes.busy = 0
        assert run.code not in (0, 137), node.logs  # 137: killed
        assert all(job.deleted for job in node.jobs("infer"))
    node.full = False
    node.finish(node.run(*SETTINGS))
    assert list(npy(node.volumes["omf"])) == SUBMITTED
    assert len(node.jobs("preprocess")) == len(PHOTOS)  # what was finished is kept


def test_photos_and_raw_in_object_storage(node, plain, bucket):
    """The settings of run.yaml, with a bucket that exists; the volume has the small files only."""
    volume = node.volumes["omf"]
    photos = volume / "photos"
    bucket.file_system.put(str(photos), f"{bucket.name}/photos", recursive=True)
    shutil.rmtree(photos)
    node.secrets["omf-storage"] = {key: value for key, value in os.environ.items() if key.startswith("AWS_")}
    others = ("ground_truth=", "model=model", "device=cpu", "output_format=webdataset", "shard_size=1")
    node.finish(node.run(f"images={bucket.url}/photos", f"output={bucket.url}/raw", *others))
    bucket.file_system.invalidate_cache()
    written = {}
    for path in bucket.file_system.ls(f"{bucket.name}/raw", detail=False):
        with tarfile.open(fileobj=io.BytesIO(bucket.file_system.cat(path))) as tar:
            members = (member for member in tar if member.name.endswith(".npy"))
            written |= {member.name: tar.extractfile(member).read() for member in members}
    assert len(written) == len(PHOTOS) and written == plain
    assert not [*volume.rglob("*.npy"), *volume.rglob("*.tar"), *volume.glob("results/de*/*/*")]
    assert (volume / "submission" / "report.html").is_file()
    # one for each shard
    assert sorted({job.rule for job in node.kubernetes.jobs.values()}) == [
        *("package", "report", "run", "shard_s0", "shard_s1"),
    ]
