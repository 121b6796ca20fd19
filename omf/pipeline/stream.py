"""Reading, computing and writing at the same time. No torch here."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np

from omf.inference.base import Pending, Picture
from omf.utils.errors import InputError, in_one_line

OF_A_PICTURE = (InputError, MemoryError)  # errors that leave other pictures alone
UNDER_WAY = 3  # groups that are computed or written while the next one is begun
MAX_THREADS = 16


def stream(
    names: Iterable[str],
    read: Callable[[str], Picture],
    submit: Callable[[Sequence[Picture]], Pending],
    write: Callable[[str, np.ndarray], None],
    pixels_per_batch: int,
) -> Iterator[tuple[str, InputError | None]]:
    """Take each name through `read` (in threads, ahead), `submit` (here) and `write` (in threads).

    Args:
        names: of pictures.
        read: may raise InputError; the picture is then left out.
        submit: computes several pictures; may raise InputError, then or when its answers are asked for.
        write: what came of one; may raise InputError.
        pixels_per_batch: pixels to give to `submit` at once; a single picture may have more.

    Yields:
        Each name once it is written, in the given order, with the error of one that could not be read, computed or written. Not
        enough memory is such an error, too.
    """
    threads = min(os.cpu_count() or 1, MAX_THREADS)
    with ThreadPoolExecutor(threads) as pool:
        under_way: deque[tuple[dict[str, InputError | None], Future]] = deque()

        def oldest() -> Iterator[tuple[str, InputError | None]]:
            outcome, written = under_way.popleft()
            try:
                outcome |= written.result()
            except OF_A_PICTURE as error:
                outcome = failed(outcome, error)
            yield from outcome.items()

        for group in grouped(ahead(pool, read, names, threads), pixels_per_batch):
            outcome = {name: picture if isinstance(picture, InputError) else None for name, picture in group}
            pictures = {name: picture for name, picture in group if outcome[name] is None}
            answers: Pending = list
            try:
                if pictures:
                    answers = submit(list(pictures.values()))
            except OF_A_PICTURE as error:
                outcome, pictures = failed(outcome, error), {}
            under_way.append((outcome, pool.submit(write_all, list(pictures), answers, write)))
            if len(under_way) > UNDER_WAY:
                yield from oldest()
        while under_way:
            yield from oldest()


def as_input_error(name: object, error: Exception) -> InputError:
    """The error as one of a picture; a line about an input names it already."""
    return error if isinstance(error, InputError) else InputError(f"{name}: {in_one_line(error)}")


def failed(outcome: dict[str, InputError | None], error: Exception) -> dict[str, InputError | None]:
    """What became of a group that can't be computed: each picture that could be read has the error."""
    return {name: before or InputError(f"{name}: {in_one_line(error)}") for name, before in outcome.items()}


def ahead(
    pool: ThreadPoolExecutor, read: Callable[[str], Picture], names: Iterable[str], count: int
) -> Iterator[tuple[str, Picture | InputError]]:
    """Each name with what `read` gives, or the InputError that it raises; the next `count` are being read meanwhile."""
    left, reading = iter(names), deque()
    while True:
        reading.extend((name, pool.submit(read, name)) for name in islice(left, count - len(reading)))
        if not reading:
            return
        name, picture = reading.popleft()
        try:
            yield name, picture.result()
        except OF_A_PICTURE as error:
            yield name, as_input_error(name, error)


def grouped(
    pictures: Iterable[tuple[str, Picture | InputError]], pixels_per_batch: int
) -> Iterator[list[tuple[str, Picture | InputError]]]:
    """Lists of one picture, or of more that have no more than `pixels_per_batch` pixels in all."""
    group, pixels = [], 0
    for name, picture in pictures:
        more = 0 if isinstance(picture, InputError) else picture.mask.size
        if group and pixels + more > pixels_per_batch:
            yield group
            group, pixels = [], 0
        group.append((name, picture))
        pixels += more
    if group:
        yield group


def write_all(
    names: Sequence[str], answers: Pending, write: Callable[[str, np.ndarray], None]
) -> dict[str, InputError | None]:
    """Wait for the answers and write each; what became of it."""
    outcome: dict[str, InputError | None] = {}
    for name, array in zip(names, answers()):
        try:
            write(name, array)
            outcome[name] = None
        except OF_A_PICTURE as error:
            outcome[name] = as_input_error(name, error)
    return outcome
