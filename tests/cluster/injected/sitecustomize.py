"""Fault injection through PYTHONPATH.

The last step of the shard that BROKEN names fails. Inference of the one that LARGE names needs much memory.
"""

import os
import sys
import time

COMMAND = " ".join(sys.orig_argv)


def runs(step: str, variable: str) -> bool:
    """Return True if this process is the step of the shard that an environment variable names."""
    shard = os.environ.get(variable, "none")
    return f"scripts/{step}.py" in COMMAND and f"/{shard}.json" in COMMAND


if runs("evaluate", "BROKEN"):
    sys.exit("error: broken by a test")
if runs("infer", "LARGE"):
    ballast = os.urandom(1000) * 1_400_000  # bytes
    time.sleep(5)  # Slurm measures each second
