"""The stream of images: reading, computing and writing overlap."""

import sys
import time

import numpy as np
import pytest
from conftest import run

from omf.inference.base import Picture
from omf.pipeline import stream as streams
from omf.pipeline.stream import MAX_PENDING, stream
from omf.utils.errors import InputError


def image(name: str, pixels: int = 1) -> Picture:
    return Picture(np.full((pixels, 1, 3), int(name), np.uint8), np.zeros((pixels, 1), bool), name)


def submit(pictures):
    return lambda: [picture.rgb[0, 0] for picture in pictures]


def ignore(picture, result) -> None:
    pass


def test_results_are_written_and_reported_in_order():
    written = {}

    def read(name):
        time.sleep(0.01 * (int(name) % 3))  # later items are often ready first
        if int(name) % 7 == 3:
            raise InputError(f"{name}: bad")
        return image(name)

    def write(picture, result):
        written[picture.name] = result[0]

    results = list(stream(map(str, range(30)), read, submit, write, 1))
    assert [name for name, _ in results] == list(map(str, range(30)))
    assert [str(problem) for _, problem in results if problem] == [f"{n}: bad" for n in (3, 10, 17, 24)]
    assert written == {str(number): number for number in range(30) if number % 7 != 3}


@pytest.mark.parametrize(("pixels_per_batch", "sizes"), [(1, [1] * 6), (4, [2, 2, 1, 1]), (100, [6])])
def test_images_are_batched_up_to_the_pixel_limit(pixels_per_batch, sizes):
    pixels, seen = [2, 2, 2, 2, 9, 1], []

    def counted(pictures):
        seen.append(len(pictures))
        return submit(pictures)

    steps = stream("012345", lambda name: image(name, pixels[int(name)]), counted, ignore, pixels_per_batch)
    assert len(list(steps)) == 6
    assert seen == sizes


@pytest.mark.parametrize("threads", [1, 8])
def test_only_a_few_images_are_held_in_memory(monkeypatch, threads):
    monkeypatch.setattr(streams, "available_cores", lambda: threads)
    read, submitted, written, peaks = [], [], [], []

    def note_read(name):
        read.append(name)
        return image(name)

    def note_submitted(pictures):
        submitted.append(pictures)
        peaks.append((len(read) - len(written), len(submitted) - len(written)))
        return submit(pictures)

    def note_written(picture, result):
        time.sleep(0.005)
        written.append(picture.name)

    assert len(list(stream(map(str, range(100)), note_read, note_submitted, note_written, 1))) == 100
    held, pending = map(max, zip(*peaks))
    assert held <= threads + MAX_PENDING + 2
    assert pending <= MAX_PENDING + 1


@pytest.mark.parametrize("step", ["read", "submit", "write"])
def test_an_unexpected_error_ends_the_stream(step):
    def fails(*_):
        raise OSError(28, "No space left on device")

    steps = {"read": image, "submit": submit, "write": ignore} | {step: fails}
    with pytest.raises(OSError):
        list(stream(map(str, range(50)), *steps.values(), 1))


@pytest.mark.parametrize("step", ["read", "submit", "results", "write"])
@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "2: not enough memory; close other programs, or give it more"),
        (InputError("2: wrong"), "2: wrong"),
    ],
)
def test_an_error_in_one_image_does_not_affect_the_others(step, error, line):
    """Fail one image: where it is computed alone, else in a batch with the others."""
    written = []

    def check(name, now):
        if (name, now) == ("2", step):
            raise error

    def read(name):
        check(name, "read")
        return image(name)

    def compute(pictures):
        check(pictures[0].name, "submit")

        def results():
            check(pictures[0].name, "results")
            return submit(pictures)()

        return results

    def write(picture, result):
        check(picture.name, "write")
        written.append(picture.name)

    alone = step in ("submit", "results")
    if alone and isinstance(error, InputError):
        line = f"2: {line}"  # an error of a batch names none of its images
    results = dict(stream("01234", read, compute, write, 1 if alone else 10**9))
    assert list(results) == list("01234")
    assert {name: str(problem) for name, problem in results.items() if problem} == {"2": line}
    assert sorted(written) == list("0134")


def test_a_batch_without_a_picture_is_not_computed():
    def fails(name):
        raise InputError(f"{name}: bad")

    assert [str(problem) for _, problem in stream("01", fails, None, ignore, 1)] == ["0: bad", "1: bad"]
    assert list(stream([], image, None, ignore, 1)) == []


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
    answer = run(sys.executable, "-c", ALMOST_NO_MEMORY)
    assert answer.stdout == "refused\n", answer.stderr
