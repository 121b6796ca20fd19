"""A run removes and replaces no file of the user."""

from pathlib import Path

import pytest
from container.clones import copy_photos
from workflow_runs import finish, refusal

SETTINGS = {"images": "photos", "ground_truth": "", "model": "unprocess", "device": "cpu"}
REFUSED = "exists, and is not from an earlier run of this command"


@pytest.fixture(autouse=True)
def photo(tmp_path) -> None:
    copy_photos(tmp_path / "photos", ["coffee.jpg"])


def contents(folder: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".snakemake" not in path.parts
    }


def check_refused(folder: Path, name: str, *arguments: object) -> None:
    """Assert that a run ends with a line about a file, and changes no file."""
    before = contents(folder)
    assert f"{name}: {REFUSED}" in refusal(folder, *arguments, **SETTINGS)
    assert contents(folder) == before


def test_files_of_the_user_stop_a_run_before_anything_is_removed(tmp_path):
    for place in ("submission/report.html", "results/report/my.svg"):
        file = tmp_path / place
        file.parent.mkdir(parents=True)
        file.write_text("mine")
        check_refused(tmp_path, place)
        file.unlink()
    submission = tmp_path / "submission"
    (submission / "coffee.npy").symlink_to(tmp_path / "nowhere")  # no output that is declared
    check_refused(tmp_path, "submission/coffee.npy")
    (submission / "coffee.npy").unlink()
    (submission / "my_chart.png").write_text("mine")
    finish(tmp_path, **SETTINGS)

    readme = submission / "readme.txt"
    readme.write_text(readme.read_text() + "what I added\n")
    assert "Nothing to be done" in finish(tmp_path, **SETTINGS).stderr
    check_refused(tmp_path, "submission/readme.txt", "--forcerun", "package")
    readme.rename(submission / "mine.txt")
    finish(tmp_path, "--forcerun", "package", "report", **SETTINGS)
    assert (submission / "my_chart.png").read_text() == "mine"
    assert (submission / "mine.txt").exists() and readme.exists()


def test_a_hook_is_required(tmp_path):
    assert "--no-hooks: a hook protects your files" in refusal(tmp_path, "--no-hooks", **SETTINGS)
