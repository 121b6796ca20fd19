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

Outcome = tuple[str, InputError | None]  # name of an image, and the error if it failed
ReadImage = tuple[str, Picture | InputError]  # name of an image, and the error if it could not be read

IMAGE_ERRORS = (InputError, MemoryError)  # errors of one image, after which the others continue
MAX_PENDING = 3  # groups being computed or written when the next one is submitted
MAX_THREADS = 16
THREAD_MEMORY = 32 << 20  # bytes: the stack (8 MiB on Linux) and the first objects of a thread


def stream(
    names: Iterable[str],
    read: Callable[[str], Picture],
    submit: Callable[[Sequence[Picture]], Pending],
    write: Callable[[Picture, np.ndarray], None],
    pixels_per_batch: int,
) -> Iterator[Outcome]:
    """Pass each image through `read` (ahead, in threads), `submit` (in this thread) and `write` (in threads).

    Args:
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
        pending: deque[Future[list[Outcome]]] = deque()
        for group in group_by_pixels(read_ahead(pool, read, names, threads), pixels_per_batch):
            pictures = [picture for _, picture in group if isinstance(picture, Picture)]
            try:
                results = submit(pictures) if pictures else list
                pending.append(pool.submit(write_group, group, results, write))
            except IMAGE_ERRORS as error:
                pending.append(pool.submit(fail_group, group, error))
            if len(pending) > MAX_PENDING:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


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


def read_ahead(
    pool: ThreadPoolExecutor, read: Callable[[str], Picture], names: Iterable[str], count: int
) -> Iterator[ReadImage]:
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


def group_by_pixels(pictures: Iterable[ReadImage], pixels_per_batch: int) -> Iterator[list[ReadImage]]:
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


def write_group(
    group: Sequence[ReadImage], results: Pending, write: Callable[[Picture, np.ndarray], None]
) -> list[Outcome]:
    """Wait for the results, write each, and return the outcome of each image."""
    try:
        arrays = iter(results())
    except IMAGE_ERRORS as error:
        return fail_group(group, error)
    outcomes: list[Outcome] = []
    for name, picture in group:
        problem = picture if isinstance(picture, InputError) else None
        try:
            if problem is None:
                write(picture, next(arrays))
        except IMAGE_ERRORS as error:
            problem = as_input_error(name, error)
        outcomes.append((name, problem))
    return outcomes


def fail_group(group: Sequence[ReadImage], error: Exception) -> list[Outcome]:
    """Return the outcome of a group that failed: all images without an earlier error get this one."""
    return [
        (
            name,
            picture if isinstance(picture, InputError) else InputError(f"{name}: {one_line_message(error)}"),
        )
        for name, picture in group
    ]
