"""The stream of images: reading, computing and writing overlap."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from omf.inference.base import Picture
from omf.pipeline.stream import MAX_PENDING, stream
from omf.utils.errors import InputError


def image(value: int, pixels: int = 1):
    return Picture(np.full((pixels, 1, 3), value, np.uint8), np.zeros((pixels, 1), bool))


def submit(pictures):
    return lambda: [picture.rgb[0, 0] for picture in pictures]


def test_results_are_written_and_reported_in_order():
    written = {}

    def read(name):
        time.sleep(0.01 * (int(name) % 3))  # later items are often ready first
        if int(name) % 7 == 3:
            raise InputError(f"{name}: bad")
        return image(int(name))

    results = list(
        stream(map(str, range(30)), read, submit, lambda name, answer: written.update({name: answer[0]}), 1)
    )
    assert [name for name, _ in results] == list(map(str, range(30)))
    assert [str(problem) for _, problem in results if problem] == [
        f"{number}: bad" for number in (3, 10, 17, 24)
    ]
    assert written == {str(number): number for number in range(30) if number % 7 != 3}


@pytest.mark.parametrize(("pixels_per_batch", "sizes"), [(1, [1] * 6), (4, [2, 2, 1, 1]), (100, [6])])
def test_images_are_batched_up_to_the_pixel_limit(pixels_per_batch, sizes):
    pixels, seen = [2, 2, 2, 2, 9, 1], []

    def counted(pictures):
        seen.append(len(pictures))
        return submit(pictures)

    names = list(map(str, range(6)))
    assert (
        len(
            list(
                stream(
                    names,
                    lambda name: image(0, pixels[int(name)]),
                    counted,
                    lambda *_: None,
                    pixels_per_batch,
                )
            )
        )
        == 6
    )
    assert seen == sizes


def test_only_a_few_images_are_held_in_memory():
    held = peak = 0
    lock = threading.Lock()

    def change(by):
        nonlocal held, peak
        with lock:
            held += by
            peak = max(peak, held)

    def read(name):
        change(1)
        return image(0)

    def write(name, answer):
        time.sleep(0.005)
        change(-1)

    threads = 16
    list(stream(map(str, range(200)), read, submit, write, 1))
    assert held == 0
    assert peak <= threads + MAX_PENDING + 2


@pytest.mark.parametrize("where", ["read", "submit", "write"])
def test_an_unexpected_error_ends_the_stream(where):
    def fails(*_):
        raise OSError(28, "No space left on device")

    steps = {"read": lambda name: image(0), "submit": submit, "write": lambda *_: None, where: fails}
    with pytest.raises(OSError):
        list(stream(map(str, range(50)), steps["read"], steps["submit"], steps["write"], 1))


@pytest.mark.parametrize("where", ["read", "submit", "write"])
@pytest.mark.parametrize(
    ("error", "line"), [(MemoryError(), "2: not enough memory"), (InputError("2: wrong"), "2: wrong")]
)
def test_an_error_in_one_image_does_not_affect_the_others(where, error, line):
    """Fail one image, alone or in a batch with the others."""
    written = []

    def fails(item):
        name = item if isinstance(item, str) else str(item[0][0][0, 0, 0])
        if name == "2":
            raise error

    def read(name):
        if where == "read":
            fails(name)
        return image(int(name))

    def compute(pictures):
        if where == "submit":
            fails(pictures)
        return submit(pictures)

    def write(name, _):
        if where == "write":
            fails(name)
        written.append(name)

    pixels_per_batch = 1 if where == "submit" else 10**9
    results = dict(stream("01234", read, compute, write, pixels_per_batch))
    assert list(results) == list("01234")
    assert [name for name, problem in results.items() if problem is None] == list("0134")
    assert line in str(results["2"])
    assert sorted(written) == list("0134")


@pytest.mark.parametrize("late", [False, True])
def test_a_failed_computation_is_reported_and_the_rest_continues(late):
    def fails(pictures):
        if pictures[0][0][0, 0, 0] == 2:
            raise InputError("too large")
        return submit(pictures)

    def fails_late(pictures):
        return lambda: fails(pictures)()

    written = []
    steps = stream(
        "01234",
        lambda name: image(int(name)),
        fails_late if late else fails,
        lambda name, _: written.append(name),
        1,
    )
    results = [(name, problem and str(problem)) for name, problem in steps]
    assert results == [("0", None), ("1", None), ("2", "2: too large"), ("3", None), ("4", None)]
    assert sorted(written) == list("0134")


def test_nothing_to_do():
    assert list(stream([], image, submit, lambda *_: None, 1)) == []


ALMOST_NO_MEMORY = """
import resource
from pathlib import Path
from omf.pipeline.stream import THREAD_MEMORY, stream

size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + THREAD_MEMORY // 2,) * 2)  # enough for the stack of a thread
try:
    list(stream(["a"], None, None, None, 1))
except MemoryError:
    print("refused")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc and RLIMIT_AS")
def test_threads_are_not_started_without_memory_for_them():
    run = subprocess.run(
        [sys.executable, "-c", ALMOST_NO_MEMORY], capture_output=True, text=True, timeout=300
    )
    assert run.stdout == "refused\n", run.stderr
