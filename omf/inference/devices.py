"""Selection and configuration of the device that runs the networks."""

import ctypes
import platform
from collections.abc import Callable

import torch

from omf.inference.arguments import check_device
from omf.inference.gpu import choose_gpu, in_gpu_job
from omf.utils.console import log
from omf.utils.errors import InputError
from omf.utils.machine import processor_name

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
MAX_KEPT_BYTES = 2**25  # glibc's maximum; larger buffers would also leave larger holes


def pick_device(name: str, own_process: bool = False) -> torch.device:
    """Return the device of a name.

    Args:
        name: cpu, cuda, cuda:N or auto: a GPU if there is one, else the CPU, but not in a job with a GPU.
        own_process: True to configure the process for the CPU, if that is the device; for programs.

    Raises:
        InputError: the name is none of these, or it requires a GPU and none can be used.
    """
    name = check_device(name)
    kind, _, index = name.partition(":")
    device, problem = choose_gpu(int(index) if index else None) if kind != "cpu" else (None, "")
    if device:
        return device
    if kind == "cuda" or (problem and in_gpu_job()):
        raise InputError(
            f"device {name}: {problem or 'PyTorch sees no GPU here; check nvidia-smi'};"
            " to run without a GPU, set the device to cpu"
        )
    if problem:
        log.warning(f"running on the CPU: {problem}")
    if own_process:
        keep_freed_memory()
        if torch.get_num_threads() == 1:  # PyTorch has another algorithm for it, whose last bits differ
            torch.set_num_threads(2)
    return torch.device("cpu")


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


def has_bfloat16(device: torch.device) -> bool:
    """Return True if a device has instructions that multiply bfloat16: others emulate it.

    Below compute capability 8.0, PyTorch reports bfloat16 as supported, but cuDNN has no convolutions in it.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bfloat16_instructions() != ""


def bfloat16_instructions() -> str:
    """Return the name of the widest instructions of this processor that multiply bfloat16; empty: none."""
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return ""
    if torch.cpu._is_amx_tile_supported():
        return "AMX"
    if torch.cpu._is_avx512_bf16_supported():
        return "AVX512_BF16"
    # on x86 oneDNN supports it, emulated, with any AVX-512
    return "BF16" if platform.machine().lower() in ("aarch64", "arm64") else ""


def training_precision(device: torch.device) -> torch.dtype:
    """Return the dtype of autocast in training: bfloat16 where the device multiplies it, else float32."""
    return torch.bfloat16 if has_bfloat16(device) else torch.float32


def device_label(device: torch.device) -> str:
    """Describe a device: the name of a GPU, or threads, processor and instructions of a CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    instructions = bfloat16_instructions() or torch.backends.cpu.get_cpu_capability()
    return f"CPU, {torch.get_num_threads()} threads, {processor_name()} with {instructions}"
