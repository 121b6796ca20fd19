"""Selection and configuration of the device that runs the networks."""

import ctypes
import fcntl
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from omf.utils.errors import InputError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
MAX_KEPT_BYTES = 2**25  # glibc's maximum; larger buffers would also leave larger holes


def pick_device(name: str) -> torch.device:
    """Return the device of a name, and configure PyTorch for it.

    Args:
        name: auto (a GPU if available), cpu or cuda.

    Raises:
        InputError: cuda was requested, but there is no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device cuda: torch sees no GPU here; check nvidia-smi, or set the device to auto or cpu"
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # TF32's 10 bits are as coarse as a count
    else:
        keep_freed_memory()
        # With one thread PyTorch uses another algorithm, and the last bits differ. In the forked worker of a
        # DataLoader, however, more threads would hang.
        if torch.get_num_threads() == 1 and torch.utils.data.get_worker_info() is None:
            torch.set_num_threads(2)
    return torch.device(name)


def keep_freed_memory() -> None:
    """Make this process keep freed buffers of up to 32 MiB each for its next tensors.

    By default glibc returns them to the system at once, and a network on the CPU then spends much of its
    time on requesting and clearing pages. Other C libraries are not configured.
    """
    if mallopt := libc_function("mallopt"):
        mallopt(M_MMAP_THRESHOLD, MAX_KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, -1)  # never


def release_freed_memory() -> None:
    """Return the freed memory that `keep_freed_memory` retains to the system, once."""
    if malloc_trim := libc_function("malloc_trim"):
        malloc_trim(0)


def libc_function(name: str) -> Callable | None:
    """Return a function of the C library, or None if the library does not have it."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None


def device_label(device: torch.device) -> str:
    """Describe a device: the name of a GPU, or the number of CPU threads in use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def claim_gpu() -> None:
    """Select a GPU that no other process has claimed; if all are claimed, choose one by process ID."""
    names = [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())]
    torch.cuda.set_device(claim(names, Path(tempfile.gettempdir())))


def claim(names: Sequence[str], folder: Path) -> int:
    """Lock the first name that is free, until this process ends.

    Args:
        names: names of the GPUs.
        folder: folder of the lock files, one per name.

    Returns:
        Index of the name; by process ID if other processes have locked all of them.
    """
    for index, name in enumerate(names):
        path = folder / f"omf-gpu-{name}"
        if not path.exists():
            path.touch()
        # read-only access suffices for a lock, and works for files of other users
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return index  # the file stays open and therefore locked
        except OSError:
            os.close(file)
    return os.getpid() % len(names)
