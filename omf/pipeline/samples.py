"""Samples: several plausible RAW of each photo, NAME_1, NAME_2 and so on, in place of one. No torch here."""

import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeVar

Value = TypeVar("Value")


def name_samples(named: Mapping[str, Value], samples: int) -> dict[str, Value]:
    """Return what belongs to photos, by the names of their samples; by their own names if `samples` is 0.

    The names are unique, since the last underscore ends the photo's own.
    """
    if not samples:
        return dict(named)
    return {f"{name}_{number}": value for name, value in named.items() for number in range(1, samples + 1)}


def read_once(read: Callable[[str], Value]) -> Callable[[str], Value]:
    """Return a function that reads a photo at its first sample only; threads may share it."""
    lock, cached = threading.Lock(), lru_cache(2)(read)  # threads may be at the next photo already

    def read_cached(name: str) -> Value:
        with lock:
            return cached(name)

    return read_cached
