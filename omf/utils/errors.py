"""What a user is meant to see of errors: one line."""

import functools
import os
import re
import signal
import sys
from collections.abc import Callable

from omf.utils.console import configure_logging, label

MAX_LINE_LENGTH = 2000  # characters of a line that is read; what a damaged file quotes may have millions

DEBUG = "OMF_DEBUG"  # environment variable: show where an error came from; in the jobs of a workflow too

# control characters, which would break lines, command a terminal or turn the order of letters, and what stands for bytes of a
# name that are no UTF-8
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: object) -> str:
    """The text on one line: what can't be printed, which names of files may hold, is written as Python's escapes."""
    return UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], str(text))


class InputError(Exception):
    """A wrong input, told in one line: which file, what is wrong, what would be right."""

    def __init__(self, line: str):
        line = printable(line)
        # the end tells what would be right
        super().__init__(
            line if len(line) <= MAX_LINE_LENGTH else f"{line[: MAX_LINE_LENGTH - 505]} ... {line[-500:]}"
        )


class DeviceError(Exception):
    """A GPU that failed while it computed: nothing more can be done with it in this process."""


def cli_entry_point(main: Callable[[], int | None]) -> Callable[[], None]:
    """Make a program of `main`: it speaks, whatever stops it is told in one line, and the exit code is 1.

    A signal to end (SIGTERM) ends it as Ctrl-C does, so that half-written files are removed.
    """

    @functools.wraps(main)
    def program() -> None:
        configure_logging()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        try:
            sys.exit(main())
        except KeyboardInterrupt:
            sys.exit(128 + signal.SIGINT)
        except Exception as error:
            if os.environ.get(DEBUG):
                raise
            sys.exit(f"{label('error:')} {in_one_line(error)}")

    return program


def in_one_line(error: Exception) -> str:
    """What stopped a program, and what to do about it."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, DeviceError):
        return f"{error}; start again: what is finished stays"
    if isinstance(error, OSError):
        return printable(f"{error.filename or 'a file'}: {error.strerror or first_line(error)}")
    if isinstance(error, MemoryError):
        return "not enough memory; close other programs, or give it more"
    return f"{type(error).__name__}: {first_line(error)} (a fault of the program: please report it with what {DEBUG}=1 shows)"


def first_line(error: Exception) -> str:
    return printable(str(error).strip().partition("\n")[0])
