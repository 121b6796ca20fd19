"""One-line errors."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT, run

from omf.utils.errors import MAX_LINE_LENGTH, DeviceError, InputError, one_line_message, printable


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("été in März.jpg", "été in März.jpg"),
        ("two\nlines\r.jpg", r"two\nlines\r.jpg"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("no UTF-8: \udcff", r"no UTF-8: \udcff"),
        ("\u2028", r"\u2028"),
    ],
)
def test_names_are_printed_on_one_line(text, line):
    assert printable(text) == line
    assert str(InputError(text)) == line


NO_MEMORY = "not enough memory; close other programs, or give it more"
BUG = "KeyError: 'x' (a bug in the program: please report it with the output of OMF_DEBUG=1)"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("a.jpg: empty"), "a.jpg: empty"),
        (FileNotFoundError(2, "No such file or directory", "a\nb"), r"a\nb: No such file or directory"),
        (OSError("3 requested and 0 written"), "a file: 3 requested and 0 written"),
        (MemoryError(), NO_MEMORY),
        (RuntimeError("can't start new thread"), NO_MEMORY),
        (DeviceError("the GPU failed"), "the GPU failed; start again: finished results are kept"),
        (KeyError("x"), BUG),
    ],
)
def test_every_exception_is_one_line(error, line):
    assert one_line_message(error) == line


PROGRAM = """
from omf.utils.errors import cli_entry_point
@cli_entry_point
def main():
    {0}
main()
"""


@pytest.mark.parametrize(("setting", "policy"), [([], "passive"), (["OMP_WAIT_POLICY=active"], "active")])
@pytest.mark.parametrize(
    "program", [("-m", "omf", "predict", "test_rgb/coffee.jpg"), ("scripts/train.py", "--help")]
)
def test_threads_that_wait_sleep_unless_told_otherwise(tmp_path, program, setting, policy):
    """OpenMP prints the settings that it has read."""
    command = ("env", "-u", "OMP_WAIT_POLICY", *setting, sys.executable, *program, "-o", tmp_path)
    said = run(*command, cwd=ROOT, OMP_DISPLAY_ENV="true").stderr
    assert re.findall(r"OMP_WAIT_POLICY ?= ?'(\w+)'", said) == [policy.upper()]


def test_tracebacks_are_printed_on_request_only(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM.format("1 / 0"))
    plain = run("python", tmp_path / "program.py")
    debugged = run("python", tmp_path / "program.py", OMF_DEBUG="1")
    assert (plain.returncode, plain.stderr.count("\n")) == (1, 1)
    assert plain.stderr.startswith("error: ZeroDivisionError: division by zero (a bug in the program")
    assert debugged.returncode == 1 and "Traceback" in debugged.stderr


def test_sigterm_lets_the_program_clean_up(tmp_path):
    lines = "import os, pathlib, signal; from omf.utils.files import atomic_write\n"
    lines += f"    with atomic_write(pathlib.Path({str(tmp_path)!r}, 'a')) as t: "
    lines += "t.touch(); os.kill(os.getpid(), signal.SIGTERM)"
    (tmp_path / "program.py").write_text(PROGRAM.format(lines))
    result = run("python", tmp_path / "program.py")
    assert result.returncode == 143
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"]


def test_a_long_line_keeps_its_beginning_and_its_end():
    line = str(InputError(f"a.yaml: {'x' * 10_000}; give less"))
    assert line.startswith("a.yaml: xxx") and line.endswith("xxx; give less") and " ... " in line
    assert len(line) == MAX_LINE_LENGTH


SLEEP = "time.sleep(20)"
INTERRUPTED = """
import os, signal, sys, threading, time
threading.Timer(float(sys.argv[1]), os.kill, (os.getpid(), signal.SIGINT)).start()
import omf.utils.program
{before}
from omf.utils.errors import cli_entry_point
@cli_entry_point
def main():
    {inside}
main()
"""


@pytest.mark.parametrize(
    ("before", "inside", "code"),
    [
        (SLEEP, "pass", -signal.SIGINT),  # as slow imports
        ("", SLEEP, 128 + signal.SIGINT),
        # as an import that makes another error of it
        ("", f"try: {SLEEP}\n    except KeyboardInterrupt: raise ImportError", 128 + signal.SIGINT),
    ],
)
def test_ctrl_c_is_silent(tmp_path, before, inside, code):
    (tmp_path / "program.py").write_text(INTERRUPTED.format(before=before, inside=inside))
    answer = run(sys.executable, tmp_path / "program.py", 0.2)
    assert (answer.returncode, answer.stdout, answer.stderr) == (code, "", "")


@pytest.mark.parametrize("moment", [0.3, 1.2, 2.5])
def test_ctrl_c_in_evaluate_is_silent(tmp_path, moment):
    for number in range(40):
        np.save(tmp_path / f"{number}.npy", np.full((400, 400, 4), number, np.uint16))
    command = (sys.executable, "-m", "omf", "evaluate", tmp_path, tmp_path, "--processes", "2")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes) as program:
        time.sleep(moment)
        os.killpg(program.pid, signal.SIGINT)  # as a terminal does
        output, _ = program.communicate(timeout=60)
    assert output == b"" and program.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
