"""A Docker engine of the tests' own, and the images that they look at."""

import ast
import functools
import json
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
from container.recipes import read_definition

ROOT = Path(__file__).parent.parent.parent
DOCKER = "/usr/bin/docker"  # beside its daemon; another one on the PATH may lack what this needs
SYSTEM = "/usr/sbin:/usr/bin:/sbin:/bin"
BASE = "base:local"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Engine:
    """Docker on a private socket, with all that it keeps in one folder. Call it with Docker's arguments."""

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
        """Leave nothing behind."""
        if self.daemon and self.daemon.poll() is None:
            for container in self("ps", "-q", check=False).stdout.split():
                self("kill", container, check=False)
            self.daemon.send_signal(signal.SIGTERM)
            self.daemon.wait(60)
        subprocess.run(
            ["umount", self.folder / "exec" / "netns" / "default"], stderr=subprocess.DEVNULL, check=False
        )
        shutil.rmtree(self.folder)

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
        """`docker run`, as the README has it."""
        return self("run", "--rm", *options, "--volume", f"{folder}:/data", image, *command, check=check)


def missing() -> str | None:
    """Why there can be no engine here."""
    if os.getuid():
        return "needs root, for a Docker engine of its own"
    programs = ("dockerd", "docker", "debootstrap")
    absent = [program for program in programs if not shutil.which(program, path=SYSTEM)]
    return f"needs {', '.join(absent)} (Debian: apt install docker.io debootstrap)" if absent else None


@pytest.fixture(scope="session")
def docker() -> Iterator[Engine]:
    """The engine, with the image BASE: Debian, and the settings that this machine's pip has."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    with ExitStack() as last:
        engine = Engine(Path(tempfile.mkdtemp(prefix="omf-docker-")))
        last.callback(engine.stop)
        engine.start()
        root = engine.folder / "debian"
        environment = os.environ | {"PATH": f"{os.environ['PATH']}:{SYSTEM}"}
        subprocess.run(
            ["debootstrap", "--variant=minbase", "bookworm", root],
            env=environment,
            check=True,
            capture_output=True,
        )
        carry_pip_settings(root, last)
        packed = engine.folder / "debian.tar"
        subprocess.run(["tar", "-C", root, "-cf", packed, "."], check=True)
        engine("import", packed, BASE)
        packed.unlink()
        shutil.rmtree(root)
        yield engine


@pytest.fixture(scope="session")
def image(docker) -> str:
    """The image that containers/Dockerfile makes of this checkout."""
    build_image(docker, "omf:plain", ROOT)
    return "omf:plain"


def build_image(docker: Engine, name: str, context: Path, *arguments: object) -> None:
    values = ("--build-arg", f"BASE_IMAGE={BASE}", "--build-arg", f"COMMIT={COMMIT}")
    docker.build(name, context, "--file", context / "containers" / "Dockerfile", *values, *arguments)


@pytest.fixture(scope="session")
def definition_image(docker) -> str:
    """What containers/omf.def makes of this checkout. Docker stands in for Apptainer, step by step as that does it."""
    definition = read_definition(
        (ROOT / "containers" / "omf.def").read_text(), BASE_IMAGE=BASE, COMMIT=COMMIT
    )
    context = docker.folder / "definition"
    for destination, source in definition.files.items():
        (context / "root" / destination[1:]).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-fLr", ROOT / source, f"{context}/root{destination}"], check=True)
    scripts = context / "root" / ".singularity.d"
    scripts.mkdir()
    for section in ("post", "environment", "runscript", "test"):
        (scripts / section).write_text("\n".join(definition.sections[section]) + "\n")
    (context / "Dockerfile").write_text(
        f"FROM {definition.header['from']}\nCOPY root /\nRUN /bin/sh -ex /.singularity.d/post\n"
    )
    docker.build("omf:definition", context)
    return "omf:definition"


def stand_in_for_apptainer(docker: Engine, image: str, clone: Path, folder: Path) -> dict[str, str]:
    """Put a stand-in for the command `apptainer` into `folder`, and for the image into the clone; the environment that it needs."""
    (clone / "containers" / "omf.sif").touch()
    program = folder / "bin" / "apptainer"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} {Path(__file__).parent / "apptainer_stand_in.py"} "$@"\n'
    )
    program.chmod(0o755)
    environment = {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(clone)}
    return (
        docker.environment | environment | {"STAND_IN_IMAGE": image, "STAND_IN_CALLS": str(folder / "calls")}
    )


def calls(folder: Path) -> list[dict]:
    """What the stand-in was called with: home, nv, bind, image, arguments."""
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


def carry_pip_settings(root: Path, last: ExitStack) -> None:
    """Give the system in `root` this machine's pip settings: files are copied, local folders served during the tests."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    # the environment comes first in the list, and wins
    settings = {
        key.rpartition(".")[2]: ast.literal_eval(value)
        for key, _, value in (line.partition("=") for line in reversed(listed.splitlines()))
    }
    settings.setdefault("cert", os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or "")
    files = root / "etc" / "pip"
    files.mkdir()
    lines = ["[global]"]
    for option, value in settings.items():
        carried = value
        if option in ("cert", "constraint"):
            for number, path in enumerate(value.split()):
                shutil.copy(path, files / f"{option}{number}")
            carried = " ".join(f"/etc/pip/{option}{number}" for number, _ in enumerate(value.split()))
        elif option in ("find-links", "index-url", "extra-index-url"):
            carried = " ".join(
                last.enter_context(served(place, option != "find-links")) for place in value.split()
            )
        if carried:
            lines.append(f"{option} = {carried}")
    (root / "etc" / "pip.conf").write_text("\n".join(lines) + "\n")


@contextmanager
def served(place: str, is_index: bool) -> Iterator[str]:
    """The address of a place that pip looks into; a local folder is given out on this machine alone."""
    folder = Path(place.removeprefix("file://"))
    if not folder.is_dir():
        yield place
        return
    # an index links to files beside it
    handler = functools.partial(Quiet, directory=str(folder.parent if is_index else folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{folder.name if is_index else ''}"
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass
