"""Names of the precisions of network inference. No torch here."""

from omf.utils.console import log

PRECISIONS = ("float32", "published", "float16")
FORMER_PRECISIONS = {"exact": "published", "fast": "float32"}  # names in version 0.1


def current_precision(name: str) -> str:
    """Return the current name of a precision; log a warning if it is a former name."""
    if name not in FORMER_PRECISIONS:
        return name
    log.warning(
        f"precision: {name} is now called {FORMER_PRECISIONS[name]}; the old name goes with the next version"
    )
    return FORMER_PRECISIONS[name]
