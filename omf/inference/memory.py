"""How much memory this process may still take. No torch here."""

from pathlib import Path

import psutil

# a control group's limit, what is in use, and the line of memory.stat that tells what of that can be dropped; versions 2 and 1
CGROUP_FILES = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def free_memory(system: Path = Path("/")) -> int:
    """Bytes: what the system has, or what is left of the limit that a batch system or a container sets (Linux control groups).

    Args:
        system: where `proc` and `sys` lie.
    """
    return min([psutil.virtual_memory().available, *left_in_cgroups(system)])


def left_in_cgroups(system: Path) -> list[int]:
    """Bytes left in each control group with a limit that this process is in."""
    try:
        groups = [line.split(":", 2)[1:] for line in (system / "proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return []  # not Linux
    left = []
    for controllers, path in groups:
        if controllers not in CGROUP_FILES:
            continue
        mount = system / "sys/fs/cgroup" / controllers
        group = mount / path.strip("/")
        # inside a container the path may be the host's; the container's own group is the mount itself
        for folder in (group, *group.parents):
            if folder == mount.parent:
                break
            left += left_in(folder, *CGROUP_FILES[controllers])
    return left


def left_in(folder: Path, limit_file: str, used_file: str, droppable_line: str) -> list[int]:
    """One number; or none where there is no limit."""
    try:
        limit = (folder / limit_file).read_text().strip()
        used = int((folder / used_file).read_text())
        droppable = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())[
            droppable_line
        ]
    except (OSError, KeyError, ValueError):
        return []
    return [] if limit == "max" else [int(limit) - used + int(droppable)]
