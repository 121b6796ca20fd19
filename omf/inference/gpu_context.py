"""Context of work on a GPU: full float32, and errors told apart."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch

from omf.utils.errors import OUT_OF_MEMORY, DeviceError, InputError, first_line

# cuDNN has no memory for a workspace, or no kernel for this GPU
NO_ENGINE = ("nable to find an engine", "nable to find a valid cuDNN algorithm")
FORKED = "forked subprocess"  # in the message about CUDA in a process forked from one that used it
AFTER_FORK = "CUDA can't be used after a fork; start workers by spawn, or set the device to cpu"
DEVICE_FAILURES = ("CUDA error", "cuDNN error", "CUDNN_STATUS", "CUBLAS_STATUS", *NO_ENGINE)


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

    Raises:
        InputError: the process was forked from one that had used CUDA.
    """
    try:
        yield
    except RuntimeError as error:
        if FORKED in str(error):
            raise InputError(AFTER_FORK) from error
        if is_device_failure(error):
            raise DeviceError(f"the GPU failed ({first_line(error)})") from error
        raise


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


def is_out_of_memory(error: Exception) -> bool:
    """Return True if memory ran out, or may have."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or contains(
        error, (*OUT_OF_MEMORY, *NO_ENGINE)
    )


def lacks_engine(error: Exception) -> bool:
    """Return True if cuDNN found no way to run a layer, which lack of memory is only one reason for."""
    return contains(error, NO_ENGINE)


def is_device_failure(error: Exception) -> bool:
    """Return True if a GPU failed, so that this process can't compute other photos either."""
    return isinstance(error, torch.AcceleratorError) or contains(error, DEVICE_FAILURES)


def contains(error: Exception, texts: Sequence[str]) -> bool:
    return any(text in str(error) for text in texts)
