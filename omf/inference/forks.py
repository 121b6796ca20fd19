"""Computation with PyTorch in processes that were forked. No torch here."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

FORKED_WITHOUT_EXEC = 0x40  # PF_FORKNOEXEC of Linux, among the flags of /proc/PID/stat

Result = TypeVar("Result")


def run_after_fork(function: Callable[[], Result]) -> Result:
    """Call a function that may use PyTorch on the CPU, in a thread of its own if this process was forked.

    GNU OpenMP keeps the threads of its loops for the thread that started them. In a fork, that one waits for
    threads that exist only in the parent, for ever. Another thread starts new ones, as many as the caller's
    setting says. With a setting of one thread there is no loop to share.
    """
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 1
    if threads == 1 or not was_forked():
        return function()

    def run() -> Result:
        if torch.get_num_threads() != threads:  # it is a setting of each thread
            torch.set_num_threads(threads)
        return function()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def was_forked() -> bool:
    """Return True if this process was forked and has executed no program since, or if that is unknown."""
    try:
        status = Path("/proc/self/stat").read_text(errors="replace")
    except OSError:
        return True
    return bool(int(status.rpartition(")")[2].split()[6]) & FORKED_WITHOUT_EXEC)
