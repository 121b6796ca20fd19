"""Files that a command wrote are told from all others, which it never replaces."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from omf.utils import written
from omf.utils.errors import InputError, printable
from omf.utils.files import atomic_write, check_is_file, save_npy, save_text, unique_files
from omf.utils.written import LIST, begin_command, check_replaceable, is_own, remove_own, set_aside

NAMES = ["a.txt", "two\nlines", "\udcff\udc80", "é", "e\u0301", " ", "-o", "x" * 255]
REFUSED = r"exists, and is not from an earlier run of this command \(or was changed since\); move it"


@pytest.fixture(autouse=True)
def command(monkeypatch):
    """Run a test as a command."""
    monkeypatch.setattr(written, "command", written.Command("test"))


def state_of(path: Path) -> tuple:
    status = path.lstat()
    return status.st_ino, status.st_mode, status.st_mtime_ns, path.read_bytes() if path.is_file() else b""


def replaced(path: Path, text: str = "new") -> bool:
    """Return True if a file can be replaced; assert that it is as it was otherwise."""
    before = state_of(path)
    try:
        save_text(path, text)
    except InputError as error:
        assert str(error).startswith(printable(path))
        assert state_of(path) == before
        assert not list(path.parent.glob(".*.part"))
        return False
    return path.read_text() == text


@pytest.mark.parametrize("name", NAMES)
def test_own_files_are_replaced_and_others_are_not(tmp_path, name):
    own, other = tmp_path / name, tmp_path / "other" / name
    save_text(own, "old")
    written.lists.clear()  # as another process, which does not know what this one does
    assert replaced(own)
    assert replaced(own, "newer")
    other.parent.mkdir()
    other.write_text("the user's")
    assert not replaced(other)


CHANGES = {  # of a file, with the path of another one beside it
    "edited": lambda path, other: path.write_text("edited"),
    "edited, of the same size": lambda path, other: path.write_text("OLD"),
    "appended to": lambda path, other: path.open("a").write("more"),
    "cut short": lambda path, other: os.truncate(path, 2),
    "replaced by another file": lambda path, other: (path.unlink(), path.write_text("OLD")),
    "replaced by an own file": lambda path, other: (save_text(other, "own too"), other.replace(path)),
    "a symbolic link to an own file": lambda path, other: (path.rename(other), path.symlink_to(other)),
    "a broken link": lambda path, other: (path.unlink(), path.symlink_to("nowhere")),
    "a folder": lambda path, other: (path.unlink(), path.mkdir()),
    "a pipe": lambda path, other: (path.unlink(), os.mkfifo(path)),
    "read-only and edited": lambda path, other: (path.write_text("edited"), path.chmod(0o444)),
    "of another command": lambda path, other: (path.unlink(), save_by_another(path)),
}


def save_by_another(path: Path) -> None:
    begin_command("another")
    save_text(path, "OLD")
    begin_command("test")


@pytest.mark.parametrize("change", CHANGES)
def test_changed_files_are_the_users(tmp_path, change):
    path = tmp_path / "a.txt"
    save_text(path, "old")
    CHANGES[change](path, tmp_path / "b")
    assert not replaced(path)
    remove_own(path)
    assert os.path.lexists(path)


def test_unchanged_files_are_own(tmp_path):
    path = tmp_path / "a.txt"
    save_text(path, "old")
    path.chmod(0o444)
    tmp_path.chmod(0o755)
    assert replaced(path)
    os.link(path, tmp_path / "link")
    assert is_own(path) and not is_own(tmp_path / "link")
    remove_own(path)
    assert not path.exists()


def test_a_copied_folder_holds_own_files(tmp_path):
    save_text(tmp_path / "out" / "a.txt", "some text")
    shutil.copytree(tmp_path / "out", tmp_path / "copy", copy_function=shutil.copyfile)
    path = tmp_path / "copy" / "a.txt"
    assert replaced(path)
    assert not replaced(Path(shutil.copyfile(path, tmp_path / "a.txt")), "other")


def test_a_file_is_replaced_by_what_begins_with_it(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("some text")
    assert not replaced(path, "other text")
    assert not replaced(path, "some")  # shorter
    assert replaced(path, "some text")
    assert replaced(path, "other text")  # since then it is known
    path.write_text("other")  # cut short by a power failure
    assert replaced(path, "other text")


@pytest.mark.parametrize("place", [0, 2**19, 2**20 - 1])
def test_large_files_are_known_by_size_and_samples(tmp_path, place):
    path, content = tmp_path / "a", bytearray(2**20)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    assert is_own(path)
    os.utime(path, (0, 0))  # as Snakemake sets the time of its outputs
    assert is_own(path)
    content[place] = 1
    path.write_bytes(content)
    assert not is_own(path)


def test_outside_of_commands_files_are_replaced_as_by_any_library(tmp_path):
    begin_command("")
    (tmp_path / "a").write_text("any")
    check_is_file(tmp_path / "a", "a file")
    assert replaced(tmp_path / "a")
    assert not (tmp_path / LIST).exists()


def test_inputs_are_never_replaced_even_if_they_are_own(tmp_path):
    begin_command("test")
    path, other = tmp_path / "a.txt", tmp_path / "b.txt"
    for own in (path, other):
        save_text(own, "old")
    os.link(path, tmp_path / "hard.txt")
    (tmp_path / "soft.txt").symlink_to(path)
    check_is_file(path, "a file")
    for name in ("a.txt", "hard.txt", "soft.txt"):
        with pytest.raises(InputError, match="is an input, and would be overwritten"):
            check_replaceable(tmp_path / name)
        assert not replaced(tmp_path / name, "old")
    assert replaced(other)
    begin_command("test")
    assert replaced(path)


def test_other_processes_see_the_marks(tmp_path):
    """As several commands that write to one folder."""
    code = "from pathlib import Path; from omf.utils.files import save_text; import sys\n"
    code += "from omf.utils.written import begin_command; begin_command('test')\n"
    code += "for n in range(50): save_text(Path(sys.argv[1]) / f'{n}', sys.argv[2])"
    processes = [subprocess.Popen([sys.executable, "-c", code, tmp_path, text]) for text in "abc"]
    assert [process.wait() for process in processes] == [0, 0, 0]
    for number in range(50):
        assert replaced(tmp_path / str(number))


def test_a_list_that_cannot_be_written_or_is_damaged_refuses(tmp_path):
    (tmp_path / LIST).mkdir()
    save_text(tmp_path / "a", "old")
    assert not replaced(tmp_path / "a")
    (tmp_path / LIST).rmdir()
    save_text(tmp_path / "b", "old")
    (tmp_path / LIST).write_bytes((tmp_path / LIST).read_bytes()[:-5])  # a power failure
    written.lists.clear()
    assert not replaced(tmp_path / "b")
    (tmp_path / LIST).write_bytes(os.urandom(100))
    assert not replaced(tmp_path / "b")


def test_state_of_the_program_is_replaced(tmp_path):
    (tmp_path / "a").write_text("any")
    save_text(tmp_path / "a", "new", own=True)
    assert (tmp_path / "a").read_text() == "new"


def test_a_file_that_appears_while_another_is_written_is_kept(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(InputError, match=REFUSED), atomic_write(path) as temporary:
        temporary.write_text("new")
        path.write_text("meanwhile")
    assert path.read_text() == "meanwhile" and list(tmp_path.iterdir()) == [path]


def test_set_aside_finds_free_names(tmp_path):
    for number in range(3):
        (tmp_path / "a").write_text(str(number))
        set_aside(tmp_path / "a")
    texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert texts == {"a.old": "0", "a.old2": "1", "a.old3": "2"}


def test_one_file_named_by_several_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("link").symlink_to("folder")
    a = tmp_path / "folder" / "a"
    same = [Path("folder/a"), Path("./folder/a"), a, Path("folder/../folder/a"), Path("link/a")]
    assert unique_files([Path("b"), *same, Path("c"), Path("b")]) == [Path("b"), Path("folder/a"), Path("c")]
    a.write_text("x")
    (tmp_path / "folder" / "z").symlink_to(a)  # a name of its own
    assert unique_files([a, tmp_path / "folder" / "z"]) == [a, tmp_path / "folder" / "z"]


def test_npy_files_too(tmp_path):
    save_npy(tmp_path / "a.npy", [1])
    save_npy(tmp_path / "a.npy", [2])
    shutil.copyfile(tmp_path / "a.npy", tmp_path / "b.npy")
    with pytest.raises(InputError, match=REFUSED):
        save_npy(tmp_path / "b.npy", [3])
