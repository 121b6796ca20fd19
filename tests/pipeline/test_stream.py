import threading
import time

import numpy as np
import pytest

from omf.inference.base import Picture
from omf.pipeline.stream import UNDER_WAY, stream
from omf.utils.errors import InputError


def picture(value: int, pixels: int = 1):
    return Picture(np.full((pixels, 1, 3), value, np.uint8), np.zeros((pixels, 1), bool))


def submit(pictures):
    return lambda: [picture.rgb[0, 0] for picture in pictures]


def test_everything_is_written_and_told_in_order():
    written = {}

    def read(name):
        time.sleep(0.01 * (int(name) % 3))  # later ones are often ready first
        if int(name) % 7 == 3:
            raise InputError(f"{name}: bad")
        return picture(int(name))

    told = list(
        stream(map(str, range(30)), read, submit, lambda name, answer: written.update({name: answer[0]}), 1)
    )
    assert [name for name, _ in told] == list(map(str, range(30)))
    assert [str(problem) for _, problem in told if problem] == [
        f"{number}: bad" for number in (3, 10, 17, 24)
    ]
    assert written == {str(number): number for number in range(30) if number % 7 != 3}


@pytest.mark.parametrize(("pixels_per_batch", "sizes"), [(1, [1] * 6), (4, [2, 2, 1, 1]), (100, [6])])
def test_pictures_are_computed_together_up_to_the_capacity(pixels_per_batch, sizes):
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
                    lambda name: picture(0, pixels[int(name)]),
                    counted,
                    lambda *_: None,
                    pixels_per_batch,
                )
            )
        )
        == 6
    )
    assert seen == sizes


def test_no_more_than_a_few_pictures_are_held():
    held = most = 0
    lock = threading.Lock()

    def change(by):
        nonlocal held, most
        with lock:
            held += by
            most = max(most, held)

    def read(name):
        change(1)
        return picture(0)

    def write(name, answer):
        time.sleep(0.005)
        change(-1)

    threads = 16
    list(stream(map(str, range(200)), read, submit, write, 1))
    assert held == 0
    assert most <= threads + UNDER_WAY + 2


@pytest.mark.parametrize("where", ["read", "submit", "write"])
def test_an_error_ends_it(where):
    def fails(*_):
        raise OSError(28, "No space left on device")

    steps = {"read": lambda name: picture(0), "submit": submit, "write": lambda *_: None, where: fails}
    with pytest.raises(OSError):
        list(stream(map(str, range(50)), steps["read"], steps["submit"], steps["write"], 1))


@pytest.mark.parametrize("where", ["read", "submit", "write"])
@pytest.mark.parametrize(
    ("error", "line"), [(MemoryError(), "2: not enough memory"), (InputError("2: wrong"), "2: wrong")]
)
def test_an_error_of_one_leaves_the_others_alone(where, error, line):
    """Also of those that were computed together with it."""
    written = []

    def fails(what):
        which = what if isinstance(what, str) else str(what[0][0][0, 0, 0])
        if which == "2":
            raise error

    def read(name):
        if where == "read":
            fails(name)
        return picture(int(name))

    def compute(pictures):
        if where == "submit":
            fails(pictures)
        return submit(pictures)

    def write(name, _):
        if where == "write":
            fails(name)
        written.append(name)

    together = 1 if where == "submit" else 10**9
    told = dict(stream("01234", read, compute, write, together))
    assert list(told) == list("01234")
    assert [name for name, problem in told.items() if problem is None] == list("0134")
    assert line in str(told["2"])
    assert sorted(written) == list("0134")


@pytest.mark.parametrize("late", [False, True])
def test_what_can_not_be_computed_is_told_and_the_rest_goes_on(late):
    def fails(pictures):
        if pictures[0][0][0, 0, 0] == 2:
            raise InputError("too large")
        return submit(pictures)

    def fails_late(pictures):
        return lambda: fails(pictures)()

    written = []
    steps = stream(
        "01234",
        lambda name: picture(int(name)),
        fails_late if late else fails,
        lambda name, _: written.append(name),
        1,
    )
    told = [(name, problem and str(problem)) for name, problem in steps]
    assert told == [("0", None), ("1", None), ("2", "2: too large"), ("3", None), ("4", None)]
    assert sorted(written) == list("0134")


def test_nothing_to_do():
    assert list(stream([], picture, submit, lambda *_: None, 1)) == []
