"""A real S3 server on 127.0.0.1 for the tests: a Ceph cluster of one node with its object gateway."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from socket import create_server
from typing import TYPE_CHECKING, NamedTuple

import pytest
from storage.unreliable import Unreliable

if TYPE_CHECKING:
    from s3fs import S3FileSystem

SYSTEM = "/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = ("ceph-mon", "ceph-osd", "ceph", "radosgw", "radosgw-admin", "setpriv")
PATIENCE = 60  # s; a loaded machine is slow


class S3Server:
    """Ceph on 127.0.0.1 (a monitor, an object store, the gateway that speaks S3), with all data in a folder.

    The daemons need no root. They end with `stop`, or when the thread that started them does.
    """

    access_key = "omf-test"
    secret_key = "a secret of the tests"

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="omf-s3-"))
        self.settings = self.folder / "ceph.conf"
        self.environment = {"PATH": SYSTEM, "CEPH_CONF": str(self.settings)}
        self.port = free_port()
        self.daemons: list[subprocess.Popen] = []

    def start(self) -> None:
        """Start the daemons and wait until the gateway answers.

        Raises RuntimeError if a daemon or a command fails.
        """
        folder, cluster = self.folder, str(uuid.uuid4())
        monitor = f"[v2:127.0.0.1:{free_port()}]"
        keys, monitors = folder / "keys", folder / "monitors"
        self.settings.write_text(settings(folder, cluster, monitor, self.port))
        keys.touch()
        (folder / "osd").mkdir()
        for name in ("mon.", "client.admin", "osd.0"):
            allowed = ("--cap", "mon", "allow *", "--cap", "osd", "allow *")
            self.call("ceph-authtool", keys, "--gen-key", "--name", name, *allowed)
        self.call("monmaptool", "--create", "--fsid", cluster, "--addv", "a", monitor, monitors)
        self.call("ceph-mon", "--id", "a", "--mkfs", "--monmap", monitors, "--keyring", keys)
        self.begin("ceph-mon", "--id", "a")
        store = str(uuid.uuid4())
        self.call("ceph", "osd", "new", store)
        self.call("ceph-osd", "--id", "0", "--mkfs", "--osd-uuid", store)
        self.begin("ceph-osd", "--id", "0")
        secrets = ("--access-key", self.access_key, "--secret-key", self.secret_key)
        self.call("radosgw-admin", "user", "create", "--uid", "test", "--display-name", "test", *secrets)
        self.begin("radosgw", "--name", "client.admin")
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            ended = [daemon.args for daemon in self.daemons if daemon.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"the S3 server doesn't come up; ended: {ended}\n{self.logs()}")
            time.sleep(0.05)

    def answers(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except ConnectionError:
            return False
        finally:
            connection.close()

    def call(self, *command: object) -> None:
        """Run a command of Ceph to its end."""
        words = list(map(str, command))
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        try:
            subprocess.run(words, env=self.environment, timeout=PATIENCE, check=True, **output)
        except subprocess.SubprocessError as error:
            raise RuntimeError(f"{error}\n{error.stdout}\n{self.logs()}") from error

    def begin(self, *command: str) -> None:
        """Start a daemon that the kernel kills if this process dies, however it dies."""
        words = ["setpriv", "--pdeathsig", "KILL", *command, "-f"]
        with (self.folder / f"{command[0]}.out").open("w") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            # Ctrl-C ends the tests, and those the daemons
            daemon = subprocess.Popen(words, env=self.environment, start_new_session=True, **streams)
        self.daemons.append(daemon)

    def logs(self) -> str:
        """Return the last lines that each daemon wrote."""
        paths = sorted([*self.folder.glob("*.out"), *self.folder.glob("*.log")])
        return "\n".join(f"{path.name}:\n{path.read_text(errors='replace')[-2000:]}" for path in paths)

    def stop(self) -> None:
        """Kill the daemons and remove their data."""
        for daemon in reversed(self.daemons):
            if daemon.poll() is None:
                os.killpg(daemon.pid, signal.SIGKILL)  # nothing here has to be saved
            daemon.wait()
        shutil.rmtree(self.folder)


def settings(folder: Path, cluster: str, monitor: str, port: int) -> str:
    """Return Ceph's settings: one copy of everything, no waiting for others, all files in the folder."""
    return f"""
[global]
fsid = {cluster}
mon host = {monitor}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr1 = false
keyring = {folder}/keys
run dir = {folder}
admin socket =
log file = {folder}/$name.log
mon data = {folder}/mon
osd data = {folder}/osd
osd objectstore = bluestore
bluestore block size = 10737418240
bluestore fsck on mkfs = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail crit = 0
paxos propose interval = 0.05
paxos min wait = 0.01
[client]
objecter tick interval = 0.2
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw run sync thread = false
"""


def free_port() -> int:
    with create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def reason_to_skip() -> str | None:
    """Return why the server cannot run here, or None."""
    missing = [program for program in PROGRAMS if not shutil.which(program, path=SYSTEM)]
    return f"needs {', '.join(missing)} (Debian: apt install radosgw ceph-mon ceph-osd)" if missing else None


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    reason = reason_to_skip()
    if reason:
        pytest.skip(reason)
    server = S3Server()
    try:
        server.start()
        yield server
    finally:
        server.stop()


class Bucket(NamedTuple):
    url: str  # s3://NAME
    file_system: "S3FileSystem"

    @property
    def name(self) -> str:
        return self.url.removeprefix("s3://")


@pytest.fixture
def s3_environment(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Point whatever uses S3, in this process and those that it starts, to the server."""
    s3fs = pytest.importorskip("s3fs")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3_server.port}",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    # fsspec keeps file systems, with the environment of their first use
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def unreliable(
    s3_server: S3Server, s3_environment: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Unreliable]:
    """Point whatever uses S3 to a proxy before the server. Ask for it before `bucket`."""
    with Unreliable(s3_server.port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


@pytest.fixture
def bucket(s3_environment: None) -> Bucket:
    """Return a new bucket, and a file system with no listing kept of it."""
    import s3fs

    file_system = s3fs.S3FileSystem()
    name = f"test-{uuid.uuid4()}"
    file_system.mkdir(name)
    return Bucket(f"s3://{name}", file_system)
