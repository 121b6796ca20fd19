"""A run removes and replaces no file of the user."""

import shutil
from pathlib import Path

import pytest
from conftest import ROOT, snakemake

REFUSED = "exists, and is not from an earlier run of this command"


@pytest.fixture(autouse=True)
def photo(tmp_path) -> None:
    (tmp_path / "photos").mkdir()
    shutil.copy(ROOT / "test_rgb" / "coffee.jpg", tmp_path / "photos")


def run(folder: Path, *arguments: object):
    return snakemake(folder, *arguments, images="photos", ground_truth="", model="unprocess", device="cpu")


def contents(folder: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".snakemake" not in path.parts
    }


def stopped(folder: Path, name: str, *arguments: object) -> bool:
    """Return True if a run ends with a line about a file; assert that it changes no file."""
    before = contents(folder)
    answer = run(folder, *arguments)
    assert contents(folder) == before
    assert "Traceback" not in answer.stderr
    return answer.returncode == 1 and f"{name}: {REFUSED}" in answer.stderr


def test_files_of_the_user_stop_a_run_before_anything_is_removed(tmp_path):
    for place in ("submission/report.html", "results/report/my.svg"):
        file = tmp_path / place
        file.parent.mkdir(parents=True)
        file.write_text("mine")
        assert stopped(tmp_path, place)
        file.unlink()
    (tmp_path / "submission" / "coffee.npy").symlink_to(tmp_path / "nowhere")  # no output that is declared
    assert stopped(tmp_path, "submission/coffee.npy")
    (tmp_path / "submission" / "coffee.npy").unlink()
    (tmp_path / "submission" / "my_chart.png").write_text("mine")
    answer = run(tmp_path)
    assert answer.returncode == 0, answer.stderr

    readme = tmp_path / "submission" / "readme.txt"
    readme.write_text(readme.read_text() + "what I added\n")
    assert "Nothing to be done" in run(tmp_path).stderr
    assert stopped(tmp_path, "submission/readme.txt", "--forcerun", "package")
    readme.rename(readme.with_name("mine.txt"))
    answer = run(tmp_path, "--forcerun", "package", "report")
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "submission" / "my_chart.png").read_text() == "mine"
    assert readme.with_name("mine.txt").exists() and readme.exists()


def test_a_hook_is_required(tmp_path):
    answer = run(tmp_path, "--no-hooks")
    assert answer.returncode == 1 and "--no-hooks: a hook protects your files" in answer.stderr
