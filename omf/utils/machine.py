"""Cores, memory and GPUs that this process may use. No torch here."""

import os
import platform
import re
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil

# Files of a control group (versions 2 and 1): its limit, its usage, and the line of memory.stat that contains
# the part of the usage that the kernel can reclaim
CGROUP_FILES = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def available_cores() -> int:
    """Return the number of cores that this process may use: in a batch job, those of the job."""
    return len(os.sched_getaffinity(0))


def processor_name(system: Path = Path("/")) -> str:
    """Return the name of the processor, or its architecture if Linux, in `proc` of `system`, has no name."""
    with suppress(OSError):
        if found := re.search(r"^model name\s*:\s*(.+)$", (system / "proc/cpuinfo").read_text(), re.M):
            return " ".join(found[1].split())
    return platform.machine()


def free_memory(system: Path = Path("/")) -> int:
    """Return the available memory in bytes, within the limits of batch systems and containers.

    Linux control groups, in `proc` and `sys` of the folder `system`, set such limits.
    """
    return min([psutil.virtual_memory().available, *free_in_cgroups(system)])


def free_in_cgroups(system: Path) -> list[int]:
    """Return the bytes available in each control group of this process that has a limit."""
    try:
        groups = [line.split(":", 2)[1:] for line in (system / "proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return []  # not Linux
    free = []
    for controllers, path in groups:
        if controllers not in CGROUP_FILES:
            continue
        limit, used, reclaimable = CGROUP_FILES[controllers]
        mount = system / "sys/fs/cgroup" / controllers
        group = mount / path.strip("/")
        # inside a container the path may be that of the host; the container's own group is the mount itself
        for folder in (group, *group.parents):
            if folder == mount.parent:
                break
            with suppress(OSError, KeyError, ValueError):  # no limit: "max"
                statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                unused = int((folder / limit).read_text()) - int((folder / used).read_text())
                free.append(unused + int(statistics[reclaimable]))
    return free


def query_gpus(*columns: str) -> list[list[str]]:
    """Return properties of each GPU of this machine, visible to this process or not; memory in MiB.

    They are those of `nvidia-smi --help-query-gpu`. Empty without GPU, driver or nvidia-smi.
    """
    command = ("nvidia-smi", f"--query-gpu={','.join(columns)}", "--format=csv,noheader,nounits")
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [[value.strip() for value in line.split(",")] for line in listed.splitlines() if line.strip()]


def count_gpus() -> int:
    """Return the number of GPUs that CUDA_VISIBLE_DEVICES leaves visible, of those of this machine."""
    count = len(query_gpus("uuid"))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return count
    return min(count, sum(bool(name.strip()) for name in visible.split(",")))
