"""Stand-in for the command `apptainer`, as Snakemake calls it: the rules run in a Docker image instead.

The container is set up as by Apptainer: a read-only image; the given home, the current folder, /tmp and all
binds at their own paths; the caller's user; the caller's environment except PATH.
"""

import argparse
import json
import os
import sys
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--version", action="version", version="apptainer version 1.3.4")
commands = parser.add_subparsers(dest="command", required=True)
execute = commands.add_parser("exec")
execute.add_argument("--home", required=True)
execute.add_argument("--nv", action="store_true")
execute.add_argument("--bind", action="append", default=[])
execute.add_argument("image")
execute.add_argument("arguments", nargs=argparse.REMAINDER)
arguments = parser.parse_args()
here = str(Path.cwd())

with Path(os.environ["STAND_IN_CALLS"]).open("a") as calls:
    calls.write(json.dumps(vars(arguments)) + "\n")
if not Path(arguments.image).is_file():
    sys.exit(f"FATAL: could not open image {arguments.image}")

command = [
    "/usr/bin/docker",
    "run",
    "--rm",
    "--read-only",
    "--cap-drop",
    "ALL",
    "--user",
    f"{os.getuid()}:{os.getgid()}",
]
for place in {arguments.home, here, "/tmp", *arguments.bind}:
    command += ["--volume", place if ":" in place else f"{place}:{place}"]
for name in os.environ.keys() - {"PATH", "HOME"}:
    command += ["--env", name]
command += ["--env", f"HOME={arguments.home}", "--workdir", here, "--entrypoint", arguments.arguments[0]]
os.execv(command[0], [*command, os.environ["STAND_IN_IMAGE"], *arguments.arguments[1:]])
