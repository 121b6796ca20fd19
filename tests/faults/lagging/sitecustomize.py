"""Simulation of a slow file server through PYTHONPATH.

A process sees files that others wrote to results/ and submission/ only after a delay. Folders, and its own
files, are visible immediately. Files in the folder of a shard appear last: when Snakemake sees everything
that it waits for, some of them are still invisible.
"""

import builtins
import io
import os
import time

LAG, LAG_IN_SHARDS = 1.0, 4.0  # seconds
FOLDERS = [os.path.join("work", name, "") for name in ("results", "submission")]  # runs use a folder "work"
own_files: set[str] = set()
stat, lstat, listdir, scandir, replace = os.stat, os.lstat, os.listdir, os.scandir, os.replace
opened = io.open


def hidden(path) -> bool:
    path = os.path.abspath(os.fsdecode(path))
    if path in own_files or not any(folder in path for folder in FOLDERS):
        return False
    try:
        state = lstat(path)
    except OSError:
        return False
    age = time.time() - state.st_mtime  # not ctime, which a hard link changes
    in_shard = os.path.basename(os.path.dirname(path)).startswith("s1")
    return not os.path.stat.S_ISDIR(state.st_mode) and age < (LAG_IN_SHARDS if in_shard else LAG)


def unless_hidden(function):
    def checked(path, *arguments, **named):
        if isinstance(path, str | bytes | os.PathLike) and hidden(path):
            raise FileNotFoundError(2, "not seen yet", os.fsdecode(path))
        return function(path, *arguments, **named)

    return checked


def replace_and_remember(source, target, **named):
    replace(source, target, **named)
    own_files.add(os.path.abspath(os.fsdecode(target)))


def open_and_remember(path, mode="r", *arguments, **named):
    if isinstance(path, str | bytes | os.PathLike):
        if mode[0] in "wxa":
            own_files.add(os.path.abspath(os.fsdecode(path)))
        elif hidden(path):
            raise FileNotFoundError(2, "not seen yet", os.fsdecode(path))
    return opened(path, mode, *arguments, **named)


class Seen:
    """Result of os.scandir without hidden files."""

    def __init__(self, path="."):
        with scandir(path) as entries:
            self.entries = iter([entry for entry in entries if not hidden(entry.path)])

    def __iter__(self):
        return self.entries

    def __next__(self):
        return next(self.entries)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def close(self):
        pass


os.stat, os.lstat = unless_hidden(stat), unless_hidden(lstat)
os.listdir = lambda path=".": [
    name for name in listdir(path) if isinstance(path, int) or not hidden(os.path.join(path, name))
]
os.scandir = lambda path=".": scandir(path) if isinstance(path, int) else Seen(path)
os.replace = replace_and_remember
builtins.open = io.open = open_and_remember
