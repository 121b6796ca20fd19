"""Fault injection through PYTHONPATH: the file FAULT selects the fault; most happen once and delete it."""

import errno
import fcntl
import os
import sys
import time
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path

FAULT = Path(os.environ.get("FAULT", "none"))  # the file exists until the fault has happened


class Patch(MetaPathFinder):
    """Import hook that patches `omf.inference.fusion` after loading."""

    def find_spec(self, name, path, target=None):
        if name != "omf.inference.fusion":
            return None
        spec = PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def patched(module):
            execute(module)
            break_down(module)

        spec.loader.exec_module = patched
        return spec


def break_down(module) -> None:
    import torch

    compute = module.Fusion.fuse_at_once
    calls = []

    def fuse_at_once(self, pictures, postprocess):
        calls.append(1)
        if len(calls) == 3 and FAULT.exists():
            FAULT.unlink()
            raise torch.AcceleratorError(
                "CUDA error: an illegal memory access was encountered\n"
                "CUDA kernel errors might be asynchronous"
            )
        return compute(self, pictures, postprocess)

    module.Fusion.fuse_at_once = fuse_at_once


if FAULT.name == "gpu_fails":
    sys.meta_path.insert(0, Patch())
elif FAULT.name == "slow_job" and "scripts/infer.py" in " ".join(sys.orig_argv) and FAULT.exists():
    FAULT.unlink()
    until = time.monotonic() + 300
    while not FAULT.exists() and time.monotonic() < until:  # the test releases the job
        time.sleep(0.1)
elif FAULT.name == "cgroup.procs" and "scripts/infer.py" in " ".join(sys.orig_argv):
    FAULT.write_text(str(os.getpid()))
elif FAULT.name == "no_locks":

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    fcntl.flock = no_locks
