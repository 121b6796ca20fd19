"""User-facing errors, reported on a single line."""

import functools
import os
import re
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from omf.utils.console import configure_logging, label

MAX_LINE_LENGTH = 2000  # characters; a quotation from a damaged file may have millions

DEBUG = "OMF_DEBUG"  # environment variable: show tracebacks, in the jobs of a workflow too

# Extras of the package that contain optional modules
EXTRAS = {
    "gradio": "app",
    "huggingface_hub": "hub",
    "jinja2": "report",
    "matplotlib": "report",
    "skimage": "train",
    "torchmetrics": "train",
    "snakemake": "workflow",
}

# Messages of running out of memory; some do not come as an exception of its own
OUT_OF_MEMORY = (
    "allocate memory",  # PyTorch's allocator for the CPU
    "CUDA error: out of memory",  # pinned memory, and the driver's own
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "could not create a primitive",  # oneDNN
    "std::bad_alloc",
    "can't start new thread",
)

# Control characters, which break lines, control a terminal or change the writing direction, and surrogates,
# which represent the bytes of names that are not UTF-8
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: object) -> str:
    """Return a text on one line; unprintable characters, as in file names, become Python escapes."""
    return UNPRINTABLE.sub(lambda match: repr(match[0])[1:-1], str(text))


class InputError(Exception):
    """Invalid input, described on one line: the file, the fault and the remedy."""

    def __init__(self, line: str):
        line = printable(line)
        # the remedy is at the end
        super().__init__(
            line if len(line) <= MAX_LINE_LENGTH else f"{line[: MAX_LINE_LENGTH - 505]} ... {line[-500:]}"
        )


class DeviceError(Exception):
    """Failure of the GPU, after which this process can no longer use it."""


def cli_entry_point(main: Callable[[], int | None]) -> Callable[[], None]:
    """Wrap an entry point: set up logging, report any exception as one line, exit with status 1.

    SIGTERM raises SystemExit, and Ctrl-C raises KeyboardInterrupt, so that partial files are removed.
    """

    @functools.wraps(main)
    def program() -> None:
        configure_logging()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        interrupts = []

        def interrupt(*_: object) -> None:
            interrupts.append(signal.SIGINT)
            raise KeyboardInterrupt

        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            signal.signal(signal.SIGINT, interrupt)
        try:
            sys.exit(main())
        except KeyboardInterrupt:
            exit_interrupted()
        except Exception as error:
            if interrupts:  # a half-imported module, for one, raises errors of its own
                exit_interrupted()
            if os.environ.get(DEBUG):
                raise
            sys.exit(f"{label('error:')} {one_line_message(error)}")

    return program


def exit_interrupted() -> NoReturn:
    """Exit as programs do that Ctrl-C ends; the next one ends the process at once."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(128 + signal.SIGINT)


def one_line_message(error: Exception) -> str:
    """Describe an exception on one line, with the remedy if there is one."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, DeviceError):
        return f"{error}; start again: finished results are kept"
    if isinstance(error, OSError):
        return printable(f"{error.filename or 'a file'}: {error.strerror or first_line(error)}")
    if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
        return (
            f"{error.name} is not installed, which this needs;"
            f" pip install 'overexposure-mask-fusion[{EXTRAS[error.name]}]'"
        )
    if isinstance(error, MemoryError) or any(text in str(error) for text in OUT_OF_MEMORY):
        return "not enough memory; close other programs, or give it more"
    return (
        f"{type(error).__name__}: {first_line(error)} "
        f"(a bug in the program: please report it with the output of {DEBUG}=1)"
    )


def first_line(error: Exception) -> str:
    """Return the first line of an exception's message, printable."""
    return printable(str(error).strip().partition("\n")[0])
