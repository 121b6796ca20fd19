"""The names of the ways to compute the networks. No torch here."""

from omf.utils.console import log

PRECISIONS = ("float32", "published", "float16")
FORMER_PRECISIONS = {"exact": "published", "fast": "float32"}  # names of 0.1


def current_precision(name: str) -> str:
    """Return the name that a precision has now, and tell those who use a former one."""
    if name not in FORMER_PRECISIONS:
        return name
    log.warning(
        f"precision: {name} is now called {FORMER_PRECISIONS[name]}; the old name goes with the next version"
    )
    return FORMER_PRECISIONS[name]
