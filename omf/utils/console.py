"""How programs speak to people: on stderr, with bars and colours where that is a terminal. The library alone is silent."""

import logging
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm

log = logging.getLogger("omf")
RED = "\x1b[31m{}\x1b[0m"


def configure_logging(level: int = logging.INFO) -> None:
    """Let what `log` is told be seen.

    Args:
        level: INFO, what a user wants to know; DEBUG, more of it, in lines and not in bars; WARNING, trouble only.
    """
    log.handlers = [logging.StreamHandler()]
    log.propagate = False
    log.setLevel(level)


def progress(
    items: Iterable | None = None, doing: str | None = None, *, hidden: bool = False, **options: object
) -> "tqdm":
    """A bar that tells how many a second, and the time left; on a terminal only.

    Args:
        items: to go through; none: the bar is moved by hand.
        doing: what stands before it.
        hidden: no bar, on a terminal neither.
        options: of tqdm: `unit`, `total` and others.
    """
    from tqdm import tqdm  # which `omf --help` need not wait for

    wanted = not hidden and log.level in (logging.NOTSET, logging.INFO)
    return tqdm(items, doing, disable=None if wanted else True, **options)


def label(word: str) -> str:
    """What a line of trouble begins with; red on a terminal, unless NO_COLOR is set."""
    return RED.format(word) if sys.stderr.isatty() and not os.environ.get("NO_COLOR") else word
