import pytest
from conftest import run

from omf.utils.errors import MAX_LINE_LENGTH, DeviceError, InputError, in_one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("été in März.jpg", "été in März.jpg"),
        ("two\nlines\r.jpg", r"two\nlines\r.jpg"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("no UTF-8: \udcff", r"no UTF-8: \udcff"),
        ("\u2028", r"\u2028"),
    ],
)
def test_names_are_shown_on_one_line(text, shown):
    assert printable(text) == shown
    assert str(InputError(text)) == shown


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("a.jpg: empty"), "a.jpg: empty"),
        (FileNotFoundError(2, "No such file or directory", "a\nb"), r"a\nb: No such file or directory"),
        (OSError("3 requested and 0 written"), "a file: 3 requested and 0 written"),
        (MemoryError(), "not enough memory; close other programs, or give it more"),
        (DeviceError("the GPU failed"), "the GPU failed; start again: what is finished stays"),
        (
            KeyError("x"),
            "KeyError: 'x' (a fault of the program: please report it with what OMF_DEBUG=1 shows)",
        ),
    ],
)
def test_whatever_stops_a_program_is_one_line(error, line):
    assert in_one_line(error) == line


PROGRAM = """
from omf.utils.errors import cli_entry_point
@cli_entry_point
def main():
    {0}
main()
"""


def test_a_traceback_is_shown_on_request_only(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM.format("1 / 0"))
    told, debugged = (run("python", tmp_path / "program.py", **more) for more in ({}, {"OMF_DEBUG": "1"}))
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)
    assert told.stderr.startswith("error: ZeroDivisionError: division by zero (a fault of the program")
    assert debugged.returncode == 1 and "Traceback" in debugged.stderr


def test_a_signal_to_end_lets_the_program_clean_up(tmp_path):
    lines = "import os, signal; from omf.utils.files import save_npy, atomic_write; from pathlib import Path\n    "
    lines += f"with atomic_write(Path({str(tmp_path)!r}) / 'a') as t: t.touch(); os.kill(os.getpid(), signal.SIGTERM)"
    (tmp_path / "program.py").write_text(PROGRAM.format(lines))
    result = run("python", tmp_path / "program.py")
    assert result.returncode == 143
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"]


def test_a_line_that_quotes_a_long_text_keeps_its_beginning_and_its_end():
    line = str(InputError(f"a.yaml: {'x' * 10_000}; give less"))
    assert line.startswith("a.yaml: xxx") and line.endswith("xxx; give less") and " ... " in line
    assert len(line) == MAX_LINE_LENGTH
