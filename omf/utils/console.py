"""Console output of the commands, on stderr: log, progress bars, colours. The library is silent."""

import functools
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm

log = logging.getLogger("omf")
RED = "\x1b[31m{}\x1b[0m"


def configure_logging(level: int = logging.INFO) -> None:
    """Display the log on stderr, and keep other packages off it; for programs, since it affects the process.

    Levels: INFO for normal use, DEBUG for details, as lines instead of bars, WARNING for problems only.
    """
    log.handlers = [logging.StreamHandler()]
    log.propagate = False
    log.setLevel(level)
    # what they say about a picture does not name its file, and serious problems raise an exception too
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)


@functools.cache
def warn_once(line: str) -> None:
    """Log a warning, unless this process has logged it before."""
    log.warning(line)


def progress(
    items: Iterable | None = None, doing: str | None = None, *, hidden: bool = False, **options: object
) -> "tqdm":
    """Return a progress bar over items, or one that the caller updates; visible on a terminal only.

    `doing` is written in front of the bar; `hidden` hides it on a terminal too; options are those of tqdm.
    """
    from tqdm import tqdm  # imported late to keep `omf --help` fast

    class Bar(tqdm):
        # a lock for processes would choose their start method, and the monitor is a thread
        _lock, monitor_interval = threading.RLock(), 0

    return Bar(items, doing, disable=hidden or not shows_progress(), **options)


def shows_progress() -> bool:
    """Return True if progress bars are visible: on a terminal, without --quiet and --verbose."""
    return sys.stderr.isatty() and log.level in (logging.NOTSET, logging.INFO)


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun: 1 pair, 2 pairs."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def label(word: str) -> str:
    """Return the first word of a problem's line, in red on a terminal unless NO_COLOR is set."""
    return RED.format(word) if sys.stderr.isatty() and not os.environ.get("NO_COLOR") else word
