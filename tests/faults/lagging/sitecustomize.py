"""On PYTHONPATH: each process sees what another one wrote into results/ and submission/ only after a while, as on a slow file server.

Folders are seen at once, and a process sees what it wrote itself. The files in a shard's folder come last: by the time that
Snakemake sees all that it waits for, they are not all there.
"""

import builtins
import io
import os
import time

LAG, LAG_IN_SHARDS = 1.0, 4.0  # seconds
FOLDERS = [
    os.path.join("work", name, "") for name in ("results", "submission")
]  # of a run in a folder "work"
own: set[str] = set()
stat, lstat, listdir, scandir, replace, opened = (
    os.stat,
    os.lstat,
    os.listdir,
    os.scandir,
    os.replace,
    io.open,
)


def hidden(path) -> bool:
    path = os.path.abspath(os.fsdecode(path))
    if path in own or not any(folder in path for folder in FOLDERS):
        return False
    try:
        state = lstat(path)
    except OSError:
        return False
    return not os.path.stat.S_ISDIR(state.st_mode) and age_of(state) < lag_of(
        path
    )  # not ctime, which a second name would change too


def age_of(state) -> float:
    return time.time() - state.st_mtime


def lag_of(path: str) -> float:
    return LAG_IN_SHARDS if os.path.basename(os.path.dirname(path)).startswith("s1") else LAG


def unless_hidden(function):
    def checked(path, *arguments, **named):
        if isinstance(path, str | bytes | os.PathLike) and hidden(path):
            raise FileNotFoundError(2, "not seen yet", os.fsdecode(path))
        return function(path, *arguments, **named)

    return checked


def replace_and_remember(source, target, **named):
    replace(source, target, **named)
    own.add(os.path.abspath(os.fsdecode(target)))


def open_and_remember(path, mode="r", *arguments, **named):
    if isinstance(path, str | bytes | os.PathLike):
        if mode[0] in "wxa":
            own.add(os.path.abspath(os.fsdecode(path)))
        elif hidden(path):
            raise FileNotFoundError(2, "not seen yet", os.fsdecode(path))
    return opened(path, mode, *arguments, **named)


class Seen:
    """What os.scandir gives, without what is hidden."""

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
