"""A private Docker engine for the tests, and the images under test."""

import ast
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from removal import remove_in_background

ROOT = Path(__file__).parent.parent.parent
DOCKER = "/usr/bin/docker"  # the client of this daemon; another on PATH may lack features
SYSTEM = "/usr/sbin:/usr/bin:/sbin:/bin"
BASE = "base:local"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Engine:
    """Docker on a private socket, with all its data in one folder. Call it with Docker's arguments."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = {
            "DOCKER_HOST": f"unix://{folder}/socket",
            "DOCKER_CONFIG": str(folder / "config"),
            "DOCKER_BUILDKIT": "1",
        }
        self.daemon: subprocess.Popen | None = None

    def start(self) -> None:
        command = ["dockerd", "--host", self.environment["DOCKER_HOST"], "--storage-driver=overlay2"]
        command += [
            f"--{option}={self.folder}/{name}"
            for option, name in (("data-root", "data"), ("exec-root", "exec"), ("pidfile", "pid"))
        ]
        command += ["--iptables=false", "--ip6tables=false", "--bridge=none"]
        environment = os.environ | {"PATH": f"{os.environ['PATH']}:{SYSTEM}"}
        with (self.folder / "log").open("wb") as log:
            self.daemon = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        deadline = time.monotonic() + 60
        while self("version", check=False).returncode:
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"dockerd doesn't come up:\n{(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop the daemon and remove all its data."""
        if self.daemon and self.daemon.poll() is None:
            for container in self("ps", "-q", check=False).stdout.split():
                self("kill", container, check=False)
            self.daemon.send_signal(signal.SIGTERM)
            self.daemon.wait(60)
        subprocess.run(
            ["umount", self.folder / "exec" / "netns" / "default"], stderr=subprocess.DEVNULL, check=False
        )
        remove_in_background(self.folder)

    def __call__(self, *arguments: object, check: bool = True) -> subprocess.CompletedProcess:
        command = [DOCKER, *map(str, arguments)]
        result = subprocess.run(
            command, env=os.environ | self.environment, capture_output=True, text=True, timeout=900
        )
        if check and result.returncode:
            raise AssertionError(f"{' '.join(command)}\n{result.stdout[-2000:]}{result.stderr[-4000:]}")
        return result

    def build(self, name: str, context: Path, *arguments: object) -> subprocess.CompletedProcess:
        return self("build", "--progress=plain", "--network=host", "--tag", name, *arguments, context)

    def run(
        self, folder: Path, image: str, *command: object, options: tuple = (), check: bool = True
    ) -> subprocess.CompletedProcess:
        """Run `docker run` as described in the README."""
        return self("run", "--rm", *options, "--volume", f"{folder}:/data", image, *command, check=check)


def reason_to_skip() -> str | None:
    """Return why the engine cannot run here, or None."""
    if os.getuid():
        return "needs root, for a Docker engine of its own"
    programs = ("dockerd", "docker", "mmdebstrap")
    missing = [program for program in programs if not shutil.which(program, path=SYSTEM)]
    return f"needs {', '.join(missing)} (Debian: apt install docker.io mmdebstrap)" if missing else None


@pytest.fixture(scope="session")
def docker() -> Iterator[Engine]:
    """Start the engine and import the image BASE: Debian with this machine's pip settings."""
    reason = reason_to_skip()
    if reason:
        pytest.skip(reason)
    with ExitStack() as cleanup:
        engine = Engine(Path(tempfile.mkdtemp(prefix="omf-docker-")))
        cleanup.callback(engine.stop)
        engine.start()
        root = engine.folder / "debian"
        environment = os.environ | {"PATH": f"{os.environ['PATH']}:{SYSTEM}"}
        subprocess.run(
            ["mmdebstrap", "--variant=minbase", "bookworm", root],
            env=environment,
            check=True,
            capture_output=True,
        )
        copy_pip_settings(root, cleanup)
        archive = engine.folder / "debian.tar"
        subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
        engine("import", archive, BASE)
        archive.unlink()
        remove_in_background(root)
        yield engine


@pytest.fixture(scope="session")
def image(docker) -> str:
    """Build the image of containers/Dockerfile from this checkout."""
    build_image(docker, "omf:plain", ROOT)
    return "omf:plain"


def build_image(docker: Engine, name: str, context: Path, *arguments: object) -> None:
    values = ("--build-arg", f"BASE_IMAGE={BASE}", "--build-arg", f"COMMIT={COMMIT}")
    docker.build(name, context, "--file", context / "containers" / "Dockerfile", *values, *arguments)


def copy_pip_settings(root: Path, cleanup: ExitStack) -> None:
    """Copy this machine's pip settings to the system in `root`: copy files, serve local folders over HTTP."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    # the environment comes first in the list and takes precedence
    settings = {
        key.rpartition(".")[2]: ast.literal_eval(value)
        for key, _, value in (line.partition("=") for line in reversed(listed.splitlines()))
    }
    settings.setdefault("cert", os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or "")
    files = root / "etc" / "pip"
    files.mkdir()
    lines = ["[global]"]
    for option, value in settings.items():
        copied = value
        if option in ("cert", "constraint"):
            for number, path in enumerate(value.split()):
                shutil.copy(path, files / f"{option}{number}")
            copied = " ".join(f"/etc/pip/{option}{number}" for number, _ in enumerate(value.split()))
        elif option in ("find-links", "index-url", "extra-index-url"):
            copied = " ".join(
                cleanup.enter_context(served(place, option != "find-links")) for place in value.split()
            )
        if copied:
            lines.append(f"{option} = {copied}")
    (root / "etc" / "pip.conf").write_text("\n".join(lines) + "\n")


@contextmanager
def served(place: str, is_index: bool) -> Iterator[str]:
    """Return the address of a package source for pip; serve it on 127.0.0.1 if it is a local folder."""
    folder = Path(place.removeprefix("file://"))
    if not folder.is_dir():
        yield place
        return
    # an index links to files beside it, so serve its parent folder
    handler = functools.partial(Quiet, directory=str(folder.parent if is_index else folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{folder.name if is_index else ''}"
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass
