"""Cores, and limits of control groups, in imitations of /proc and /sys."""

import os
import platform
import sys
from pathlib import Path

import psutil
import pytest
from conftest import control_group, run

from omf.utils.machine import available_cores, free_in_cgroups, free_memory, processor_name

GIB = 2**30
VERSION_2 = ("memory.max", "memory.current", "inactive_file")


def write_group(folder: Path, limit: str, used: int, reclaimable: int, names: tuple = VERSION_2) -> None:
    """Write the files of a control group."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in zip(names, (limit, used)):
        (folder / name).write_text(f"{content}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {reclaimable}\n")


def write_membership(system: Path, lines: str) -> None:
    """Write the list of control groups of the process."""
    (system / "proc/self").mkdir(parents=True)
    (system / "proc/self/cgroup").write_text(lines)


def test_limit_of_a_batch_system_in_version_2(tmp_path):
    write_membership(tmp_path, "0::/slurm/job_7/step_0\n")
    job = tmp_path / "sys/fs/cgroup/slurm/job_7"
    write_group(job, "1000", 400, 150)
    write_group(job / "step_0", "max", 300, 100)
    assert free_in_cgroups(tmp_path) == [1000 - 400 + 150]
    assert free_memory(tmp_path) == 750


def test_limit_of_a_container_with_the_path_of_the_host(tmp_path):
    write_membership(tmp_path, "5:devices:/docker/abc\n4:memory:/docker/abc\n0::/\n")
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    write_group(tmp_path / "sys/fs/cgroup/memory", "2000", 500, 0, names)
    assert free_in_cgroups(tmp_path) == [1500]


@pytest.mark.parametrize("lines", ["0::/\n", "4:memory:/gone\n", "", "3:cpu:/a:b\n"])
def test_no_limit(tmp_path, lines):
    write_membership(tmp_path, lines)
    assert free_in_cgroups(tmp_path) == []
    assert 0.5 < free_memory(tmp_path) / psutil.virtual_memory().available < 2


def test_systems_other_than_linux(tmp_path):
    assert free_in_cgroups(tmp_path) == []


def run_python(code: str, *arguments: object) -> str:
    """Run code in another process; return what it prints."""
    return run(sys.executable, "-c", code, *arguments).stdout


def test_a_real_control_group():
    """Join a group in a process."""
    code = "import os, pathlib, sys; pathlib.Path(sys.argv[1], 'cgroup.procs').write_text(str(os.getpid()));"
    code += "from omf.utils.machine import free_memory; print(free_memory())"
    with control_group(GIB) as group:
        assert 0.9 * GIB < int(run_python(code, group)) <= GIB


def test_only_the_cores_of_the_process_count():
    """In a batch job `os.cpu_count` counts those of the whole machine."""
    if available_cores() < 2:
        pytest.skip("needs two cores")
    first = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{first}]); from omf.utils.machine import available_cores;"
    assert run_python(f"{code} print(available_cores())") == "1\n"


@pytest.mark.parametrize(
    ("listed", "name"),
    [
        ("processor\t: 0\nmodel name\t: AMD  EPYC\nflags\t: fpu\n", "AMD EPYC"),
        ("processor\t: 0\nCPU part\t: 0xd40\n", platform.machine()),  # ARM
        (None, platform.machine()),
    ],
)
def test_the_name_of_the_processor(tmp_path, listed, name):
    if listed is not None:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/cpuinfo").write_text(listed)
    assert processor_name(tmp_path) == name
