"""Overlapped reading, computation and writing of images. No torch here."""

import mmap
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np

from omf.inference.base import Pending, Picture
from omf.utils.errors import InputError, one_line_message
from omf.utils.machine import available_cores

IMAGE_ERRORS = (InputError, MemoryError)  # errors of one image, after which the others continue
MAX_PENDING = 3  # groups being computed or written when the next one is submitted
MAX_THREADS = 16
THREAD_MEMORY = 32 << 20  # bytes: the stack (8 MiB on Linux) and the first objects of a thread


def stream(
    names: Iterable[str],
    read: Callable[[str], Picture],
    submit: Callable[[Sequence[Picture]], Pending],
    write: Callable[[str, np.ndarray], None],
    pixels_per_batch: int,
) -> Iterator[tuple[str, InputError | None]]:
    """Pass each image through `read` (ahead, in threads), `submit` (in this thread) and `write` (in threads).

    Args:
        names: names of the images.
        read: reads an image; may raise InputError, and the image is then skipped.
        submit: computes several images; may raise InputError, at once or when the results are requested.
        write: writes the result of one image; may raise InputError.
        pixels_per_batch: maximum number of pixels per call of `submit`; a single image may have more.

    Yields:
        Each name once it is written, in the given order, with None, or with the error if the image could not
        be read, computed or written. Running out of memory counts as such an error.
    """
    threads = min(available_cores(), MAX_THREADS)
    require_memory(threads * THREAD_MEMORY)
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[tuple[dict[str, InputError | None], Future]] = deque()

        def finish_oldest() -> Iterator[tuple[str, InputError | None]]:
            outcome, written = pending.popleft()
            try:
                outcome |= written.result()
            except IMAGE_ERRORS as error:
                outcome = mark_failed(outcome, error)
            yield from outcome.items()

        for group in group_by_pixels(read_ahead(pool, read, names, threads), pixels_per_batch):
            outcome = {name: picture if isinstance(picture, InputError) else None for name, picture in group}
            pictures = {name: picture for name, picture in group if outcome[name] is None}
            results: Pending = list  # no pictures, no results
            try:
                if pictures:
                    results = submit(list(pictures.values()))
            except IMAGE_ERRORS as error:
                outcome, pictures = mark_failed(outcome, error), {}
            pending.append((outcome, pool.submit(write_all, list(pictures), results, write)))
            if len(pending) > MAX_PENDING:
                yield from finish_oldest()
        while pending:
            yield from finish_oldest()


def require_memory(size: int) -> None:
    """Raise MemoryError unless `size` bytes are free.

    A thread that finds no memory for its first objects never tells `Thread.start`, which waits for ever.
    """
    try:
        mmap.mmap(-1, size).close()
    except OSError as error:
        raise MemoryError from error


def as_input_error(name: object, error: Exception) -> InputError:
    """Return the error as an InputError about one image; an InputError names its image already."""
    return error if isinstance(error, InputError) else InputError(f"{name}: {one_line_message(error)}")


def mark_failed(outcome: dict[str, InputError | None], error: Exception) -> dict[str, InputError | None]:
    """Return the outcome of a group that failed: all images without an earlier error get this one."""
    return {
        name: earlier or InputError(f"{name}: {one_line_message(error)}") for name, earlier in outcome.items()
    }


def read_ahead(
    pool: ThreadPoolExecutor, read: Callable[[str], Picture], names: Iterable[str], count: int
) -> Iterator[tuple[str, Picture | InputError]]:
    """Yield each name with its picture or the InputError of reading it; threads read up to `count` ahead."""
    remaining, reading = iter(names), deque()
    while True:
        reading.extend((name, pool.submit(read, name)) for name in islice(remaining, count - len(reading)))
        if not reading:
            return
        name, picture = reading.popleft()
        try:
            yield name, picture.result()
        except IMAGE_ERRORS as error:
            yield name, as_input_error(name, error)


def group_by_pixels(
    pictures: Iterable[tuple[str, Picture | InputError]], pixels_per_batch: int
) -> Iterator[list[tuple[str, Picture | InputError]]]:
    """Yield groups of consecutive pictures, each of at most `pixels_per_batch` pixels or a single picture."""
    group, pixels = [], 0
    for name, picture in pictures:
        size = 0 if isinstance(picture, InputError) else picture.mask.size
        if group and pixels + size > pixels_per_batch:
            yield group
            group, pixels = [], 0
        group.append((name, picture))
        pixels += size
    if group:
        yield group


def write_all(
    names: Sequence[str], results: Pending, write: Callable[[str, np.ndarray], None]
) -> dict[str, InputError | None]:
    """Wait for the results, write each, and return the error of each name, or None if it was written."""
    outcome: dict[str, InputError | None] = {}
    for name, array in zip(names, results()):
        try:
            write(name, array)
            outcome[name] = None
        except IMAGE_ERRORS as error:
            outcome[name] = as_input_error(name, error)
    return outcome
