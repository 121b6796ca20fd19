"""NVIDIA GPUs: choice of one that this build of PyTorch can use, full float32, and errors told apart."""

import functools
import os
import socket
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch

from omf.utils.errors import OUT_OF_MEMORY, DeviceError, InputError, first_line
from omf.utils.machine import query_gpus

MIN_DRIVERS = {"12": 525, "13": 580}  # NVIDIA driver that each major version of CUDA requires
# Set by Slurm in jobs and steps that requested GPUs
GPU_JOB_VARIABLES = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_GPUS_ON_NODE")
HIDDEN = ("", "-1", "NoDevFiles")  # values of CUDA_VISIBLE_DEVICES that hide all GPUs
# cuDNN has no memory for a workspace, or no kernel for this GPU
NO_ENGINE = ("nable to find an engine", "nable to find a valid cuDNN algorithm")
FORKED = "forked subprocess"  # in the message about CUDA in a process forked from one that used it
AFTER_FORK = "CUDA can't be used after a fork; start workers by spawn, or set the device to cpu"
DEVICE_FAILURES = ("CUDA error", "cuDNN error", "CUDNN_STATUS", "CUBLAS_STATUS", *NO_ENGINE)

claims: list[socket.socket] = []


@functools.cache
def choose_gpu(number: int | None = None) -> tuple[torch.device | None, str]:
    """Choose the GPU of this process, once: `number`, that of its rank under torchrun, or an unclaimed one.

    Returns:
        The device, or None; and if there is a GPU that can't be used, the cause and the remedy.

    Raises:
        InputError: torchrun started more processes than there are GPUs.
    """
    with warnings.catch_warnings(record=True) as caught:  # PyTorch gives the cause as a warning, only once
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    if not available:
        return None, find_cause([str(warning.message) for warning in caught])
    indices = range(torch.cuda.device_count())
    if number is not None:
        if number not in indices:
            return None, f"PyTorch sees {len(indices)} GPU(s) here, numbered from cuda:0 on"
        indices = (number,)
    architectures = torch.cuda.get_arch_list()
    usable = [i for i in indices if has_kernels(torch.cuda.get_device_capability(i), architectures)]
    if not usable:
        major, minor = torch.cuda.get_device_capability(indices[0])
        return None, (
            f"{torch.cuda.get_device_name(indices[0])} has compute capability {major}.{minor}, and PyTorch"
            f" {torch.__version__} has kernels for {', '.join(architectures)}; for older GPUs:"
            f" pip install torch=={base_version()} --index-url https://download.pytorch.org/whl/cu126"
        )
    if number is None and int(os.environ.get("WORLD_SIZE", 1)) > 1:
        index = int(os.environ["LOCAL_RANK"])
        if index not in usable:
            raise InputError(
                f"process {index} of torchrun has no GPU: {len(usable)} can be used here;"
                f" start as many processes: training.num_gpus, or --nproc-per-node {len(usable)}"
            )
    else:
        index = claim_gpu(usable)
    device = torch.device("cuda", index)
    problem = try_convolution(device)
    return (None if problem else device), problem


def in_gpu_job() -> bool:
    """Return True inside a Slurm job that requested a GPU."""
    return any(map(os.environ.get, GPU_JOB_VARIABLES))


def find_cause(messages: Sequence[str]) -> str:
    """Return why PyTorch, with these warnings, sees no GPU, and the remedy; empty without a visible GPU."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in HIDDEN:
        return ""
    drivers = query_gpus("driver_version")
    if not drivers and not in_gpu_job():
        return ""
    if torch.version.cuda is None:
        return (
            f"there is a GPU, but PyTorch {torch.__version__} is a build without CUDA; install the build with"
            f" CUDA, without PIP_EXTRA_INDEX_URL: pip install --force-reinstall torch=={base_version()}"
        )
    minimum = MIN_DRIVERS.get(torch.version.cuda.partition(".")[0])
    driver = f"the driver is {drivers[0][0]}" if drivers else "no driver is visible (in Apptainer: --nv)"
    message = f" ({' '.join(messages[0].split())})" if messages else ""
    return (
        f"there is a GPU, but PyTorch {torch.__version__} can't use it{message};"
        f" it requires NVIDIA driver {minimum} or later, and {driver}"
    )


def base_version() -> str:
    """Return PyTorch's version without the suffix of its build."""
    return torch.__version__.partition("+")[0]


def has_kernels(capability: tuple[int, int], architectures: Sequence[str]) -> bool:
    """Return True if a build of PyTorch has kernels for a GPU of a compute capability.

    Architectures are such as sm_80, or compute_90 for a portable kernel.
    """
    parts = (name.rstrip("af").partition("_") for name in architectures)  # sm_90a: with extensions
    versions = [(kind, int(number)) for kind, _, number in parts]
    major, minor = capability
    return any(
        number // 10 == major and number % 10 <= minor if kind == "sm" else number <= 10 * major + minor
        for kind, number in versions
    )


def try_convolution(device: torch.device) -> str:
    """Run a small convolution on a GPU; return the cause and the remedy if it fails, else an empty text."""
    try:
        with torch.inference_mode():
            x, weight = torch.ones(1, 4, 16, 16, device=device), torch.ones(8, 4, 3, 3, device=device)
            torch.nn.functional.conv2d(x, weight)
        torch.cuda.synchronize(device)
    except RuntimeError as error:
        cause = first_line(error)
        if FORKED in cause:
            return AFTER_FORK
        remedy = (
            "other programs take its memory, see nvidia-smi"
            if is_out_of_memory(error)
            else "update the driver, or run on the CPU"
        )
        return f"{device} fails at a small convolution ({cause}); {remedy}"
    return ""


def claim_gpu(indices: Sequence[int]) -> int:
    """Return one of the GPUs that no other process has claimed, that with most free memory first."""
    names = {i: str(torch.cuda.get_device_properties(i).uuid) for i in indices}
    free = query_gpus("uuid", "memory.free") if len(names) > 1 else []
    free_of = {uuid.removeprefix("GPU-"): float(memory) for uuid, memory in free if memory.isdecimal()}
    ordered = sorted(names, key=lambda i: -free_of.get(names[i].removeprefix("GPU-"), 0))
    return ordered[claim([names[i] for i in ordered])]


def claim(names: Sequence[str]) -> int:
    """Claim the first name that no other process has claimed, until this process ends, and return its index.

    If all are claimed, the process ID decides. A claim is an abstract Unix socket: unlike a lock file, it
    needs no folder, no permission of other users, and disappears with its process. Other network namespaces,
    as those of Docker's containers, don't see it; there CUDA_VISIBLE_DEVICES must tell GPUs apart.
    """
    for index, name in enumerate(names):
        holder = socket.socket(socket.AF_UNIX)
        try:
            holder.bind(f"\0omf-gpu-{name}")
        except OSError:
            holder.close()
            continue
        claims.append(holder)
        return index
    return os.getpid() % len(names)


class IeeeFloat32:
    """Context without TF32: a GPU computes float32 as such, since TF32's 10 bits are as coarse as a count.

    PyTorch's settings apply to the whole process: threads share this context, and the last one to leave it
    restores the settings of the caller.
    """

    def __init__(self):
        self.lock, self.users, self.former = threading.Lock(), 0, ("", "")

    def __enter__(self) -> None:
        with self.lock:
            if not self.users:
                self.former = tuple(part.fp32_precision for part in self.operations())
                for part in self.operations():
                    part.fp32_precision = "ieee"
            self.users += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.users -= 1
            if not self.users:
                for part, precision in zip(self.operations(), self.former):
                    part.fp32_precision = precision

    @staticmethod
    def operations() -> tuple:
        return torch.backends.cudnn.conv, torch.backends.cuda.matmul


ieee_float32 = IeeeFloat32()


@contextmanager
def on_device(device: torch.device) -> Iterator[None]:
    """Run on a device, in IEEE float32 and without autocast; restores the caller's device and settings."""
    on_gpu = device.type == "cuda"
    with (
        gpu_errors(),
        torch.autocast(device.type, enabled=False),
        torch.cuda.device(device) if on_gpu else nullcontext(),
        ieee_float32 if on_gpu else nullcontext(),
    ):
        yield


@contextmanager
def gpu_errors() -> Iterator[None]:
    """Raise a GPU failure as DeviceError: afterwards this process cannot compute other photos either.

    Raises InputError in a process that was forked from one that had used CUDA.
    """
    try:
        yield
    except RuntimeError as error:
        if FORKED in str(error):
            raise InputError(AFTER_FORK) from error
        if isinstance(error, torch.AcceleratorError) or contains(error, DEVICE_FAILURES):
            raise DeviceError(f"the GPU failed ({first_line(error)})") from error
        raise


def is_out_of_memory(error: Exception) -> bool:
    """Return True if memory ran out, or may have."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or contains(error, OUT_OF_MEMORY) or lacks_engine(error)


def lacks_engine(error: Exception) -> bool:
    """Return True if cuDNN found no way to run a layer, which lack of memory is only one reason for."""
    return contains(error, NO_ENGINE)


def contains(error: Exception, texts: Sequence[str]) -> bool:
    return any(text in str(error) for text in texts)
