"""Snakemake with its modules loaded, which takes longer than most plans: each call is a fork of one process.

Run as a program, it reads calls from stdin, a line of JSON each, and prints their exit codes.
"""

import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# what the workflow imports, except the project's own modules: tests run copies of these
LOADED = (
    "imagecodecs",
    "PIL.Image",
    "pydantic",
    "simplejpeg",
    "smart_open",
    "tifffile",
)
PROGRAM = Path(sys.executable).parent / "snakemake"


@functools.cache
def server() -> subprocess.Popen:
    """Return the process to fork from, which ends with this one."""
    # Python's own variables are those of each call: a search path would stay with all calls after the first
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, __file__], env=environment, text=True, **pipes)


def run_warm(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run Snakemake as `conftest.run` would, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("stdout", "stderr")]
        call = {"arguments": arguments, "cwd": cwd, "files": files, "environment": os.environ | environment}
        print(json.dumps(call, default=str), file=server().stdin, flush=True)
        code = int(server().stdout.readline())
        return subprocess.CompletedProcess(arguments, code, *(file.read_text() for file in files))


def enter(arguments: list, cwd: str, files: list[str], environment: dict[str, str]) -> None:
    """Make this process what a new one of Snakemake would be."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in environment
    sys.argv = [str(PROGRAM), *map(str, arguments)]
    sys.path[:1] = [str(PROGRAM.parent), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]


def serve() -> None:
    from snakemake.cli import get_argument_parser, main

    get_argument_parser()  # loads the plugins
    for module in LOADED:
        importlib.import_module(module)
    for call in sys.stdin:
        child = os.fork()
        if not child:
            enter(**json.loads(call))
            sys.exit(main())
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
