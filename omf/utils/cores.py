"""CPU cores that this process may use. No torch here."""

import os


def available_cores() -> int:
    """Return the number of cores that this process may use: in a batch job, those of the job."""
    return len(os.sched_getaffinity(0))
