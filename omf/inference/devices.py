"""The device that the networks run on."""

import ctypes
import fcntl
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from omf.utils.errors import InputError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
MAX_KEPT_BYTES = 2**25  # bytes; the most that glibc takes, and larger buffers would leave larger holes


def pick_device(name: str) -> torch.device:
    """`auto` (a GPU if there is one), `cpu` or `cuda`. Raises InputError for a GPU that is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device cuda: torch sees no GPU here; check nvidia-smi, or set the device to auto or cpu"
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # not TF32, whose 10 bits are as coarse as a count
    else:
        keep_freed_memory()
        # for one thread PyTorch takes another algorithm, and the last bits differ; but in a loader's forked worker more would hang
        if torch.get_num_threads() == 1 and torch.utils.data.get_worker_info() is None:
            torch.set_num_threads(2)
    return torch.device(name)


def keep_freed_memory() -> None:
    """Let this process keep the buffers that it frees, up to 32 MiB each, for its next tensors.

    glibc gives them back to the system at once, and a network on the CPU then spends much of its time on getting and
    clearing pages. Other C libraries are left as they are.
    """
    if mallopt := of_glibc("mallopt"):
        mallopt(M_MMAP_THRESHOLD, MAX_KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, -1)  # never


def give_back_freed_memory() -> None:
    """Once, for what will not be needed again: see `keep_freed_memory`."""
    if malloc_trim := of_glibc("malloc_trim"):
        malloc_trim(0)


def of_glibc(name: str) -> Callable | None:
    """A function of the C library; None where it is another library that has no such function."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None


def device_label(device: torch.device) -> str:
    """The device in words: a GPU's name, or how many threads of the CPU are used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def claim_gpu() -> None:
    """Make a GPU that no other process has claimed the current one; where all are taken, this process's number decides."""
    names = [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())]
    torch.cuda.set_device(claim(names, Path(tempfile.gettempdir())))


def claim(names: Sequence[str], folder: Path) -> int:
    """The place of the first name whose file in `folder` no process has locked; it is locked until this process ends."""
    for place, name in enumerate(names):
        path = folder / f"omf-gpu-{name}"
        if not path.exists():
            path.touch()
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # which suffices, also for a file of another user
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return place  # the file stays open, and so locked
        except OSError:
            os.close(file)
    return os.getpid() % len(names)
