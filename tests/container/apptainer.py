"""A real Apptainer for the tests, a registry for the base image, and the image under test."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from container.clones import change_owner, make_clone
from container.engine import BASE, COMMIT, SYSTEM, Engine
from removal import remove_in_background

USER = 1000  # an ordinary user, known to the system that Apptainer runs on
UNCOMPRESSED = ("--mksquashfs-args", "-noI -noD -noF -noX")


class Apptainer:
    """Apptainer in one folder. Call it with Apptainer's arguments."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.program = folder / "debian" / "host" / "apptainer"
        self.path = f"{self.program.parent}:{os.environ['PATH']}"

    def __call__(
        self, *arguments: object, cwd: Path, user: int = 0, check: bool = True
    ) -> subprocess.CompletedProcess:
        """Run as `user` in `cwd`."""
        command = [str(self.program), *map(str, arguments)]
        environment = os.environ | {"TEST_USER": str(user)}
        result = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=900
        )
        if check and result.returncode:
            raise AssertionError(f"{' '.join(command)}\n{result.stdout[-2000:]}{result.stderr[-4000:]}")
        return result

    def build(self, image: Path, source: object, *arguments: object, cwd: Path) -> Path:
        self("build", *UNCOMPRESSED, *arguments, image, source, cwd=cwd)
        return image


@pytest.fixture(scope="session")
def apptainer() -> Iterator[Apptainer]:
    """Install Apptainer into a folder of its own."""
    if os.getuid():
        pytest.skip("needs root, to install Apptainer")
    if not shutil.which("mmdebstrap", path=SYSTEM):
        pytest.skip("needs mmdebstrap (Debian: apt install mmdebstrap)")
    folder = Path(tempfile.mkdtemp(prefix="omf-apptainer-"))
    try:
        change_owner(folder, USER)
        command = ["bash", Path(__file__).parent / "apptainer_up.sh", folder / "debian"]
        path = f"{os.environ['PATH']}:{SYSTEM}"
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PATH": path})
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        yield Apptainer(folder)
    finally:
        remove_in_background(folder)


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Run an image registry on this machine, without encryption, and yield its address."""
    program = shutil.which("docker-registry", path=SYSTEM)
    if not program:
        pytest.skip("needs docker-registry (Debian: apt install docker-registry)")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    settings = folder / "registry.yml"
    settings.write_text(
        f"version: 0.1\nhttp: {{addr: '{address}'}}\nlog: {{level: error}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/registry}}}}\n"
    )
    with (folder / "registry.log").open("wb") as log:
        server = subprocess.Popen([program, "serve", settings], stdout=log, stderr=log)
    try:
        wait_for_server(address, server)
        yield address
    finally:
        server.terminate()
        server.wait(20)


def wait_for_server(address: str, server: subprocess.Popen) -> None:
    host, port = address.split(":")
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((host, int(port))).close()
            return
        except ConnectionRefusedError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.fixture(scope="session")
def sif(apptainer: Apptainer, docker: Engine) -> Path:
    """Build containers/omf.def from a copy of this checkout, on a base image from a registry."""
    clone = change_owner(make_clone(apptainer.folder / "source"), USER)
    with registry(docker.folder) as address:
        base = f"{address}/base:local"
        docker("tag", BASE, base)
        docker("push", base)
        values = ("--build-arg", f"BASE_IMAGE={base}", "--build-arg", f"COMMIT={COMMIT}")
        return apptainer.build(
            apptainer.folder / "omf.sif", "containers/omf.def", "--no-https", *values, cwd=clone
        )
