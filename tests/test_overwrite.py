"""No command writes over a file that it reads or that it did not write itself."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, random_rgb
from PIL import Image

from omf.training.train import check_run_folder
from omf.utils import written
from omf.utils.errors import InputError

UNPROCESS = ("--model", "unprocess")
REFUSED = "exists, and is not from an earlier run of this command"


@pytest.fixture
def call(monkeypatch, call_omf, tmp_path) -> Callable:
    """Return a function that calls `omf` in a folder; it returns the exit code and all that is printed."""
    monkeypatch.chdir(tmp_path)

    def call(command: str, *more: object) -> tuple[int, str]:
        answer = call_omf(*command.split(), *more)
        return answer.returncode, answer.stdout + answer.stderr

    return call


@pytest.fixture
def refused(call) -> Callable:
    """Return a function that calls `omf`, asserts that it fails and loses no file, and returns its output."""

    def refused(command: str, *more: object, folder: str = "d", changed: bool = True) -> str:
        before = files("d", folder)
        code, text = call(command, *more)
        assert code == 1
        assert before.items() <= files("d", folder).items()
        assert changed or before == files("d", folder)
        return text

    return refused


def picture(path: Path | str, seed: int = 0) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(random_rgb(80, 96, seed)).save(path)


def files(*folders: str) -> dict[str, tuple[int, str]]:
    """Return {path: (inode, hash)} of all files."""
    return {
        str(path): (path.lstat().st_ino, hashlib.sha256(path.read_bytes()).hexdigest())
        for folder in folders
        for path in Path(folder).rglob("*")
        if path.is_file() and path.name != written.LIST
    }


@pytest.mark.parametrize(
    ("suffix", "out"), [("jpg", "d"), ("png", "d"), ("jpg", "./d"), ("png", "d/../d"), ("jpg", "link")]
)
def test_render_beside_the_photos(call, refused, suffix, out):
    for name in "ab":
        picture(f"d/{name}.jpg")
        picture(f"d/{name}.{suffix}")
    assert call("predict d/a.jpg d/b.jpg -o dng --format dng", *UNPROCESS)[0] == 0
    for name in "ab":
        shutil.copyfile(f"dng/{name}.dng", f"d/{name}.dng")  # as if of a camera
    Path("d", f"b.{suffix}").unlink()
    Path("link").symlink_to("d")
    text = refused(f"render d -o {out} --format {suffix}")
    assert text.count(f"{Path(out)}/a.{suffix}: {REFUSED}") == 1
    assert "1 of 2 RAW files rendered" in text and Path("d", f"b.{suffix}").is_file()
    before = files("d")
    code, text = call(f"render d -o {out} --format {suffix} --exposure 2")
    assert code == 1 and "1 of 2 RAW files rendered" in text
    assert {path for path, state in files("d").items() if before[path] != state} == {f"d/b.{suffix}"}


@pytest.mark.parametrize("kind", ["npy", "mosaic", "npz", "png", "dng"])
def test_predict_beside_ground_truth(call, refused, kind):
    first, second = (Path("d", f"{name}.{'npy' if kind == 'mosaic' else kind}") for name in "ab")
    for name in "ab":
        picture(f"d/{name}.jpg")
    first.write_bytes(b"the true RAW")
    before, command = files("d"), f"predict d/a.jpg d/b.jpg -o d --format {kind}"
    for _ in range(2):  # the second run overwrites its own file
        code, text = call(command, *UNPROCESS)
        assert code == 1 and f"problem: {first}: {REFUSED}" in text
        assert "1 of 2 photos reconstructed" in text
        assert before.items() <= files("d").items() and second.is_file()
    second.write_bytes(b"edited")
    assert refused(command, *UNPROCESS, changed=False).count(REFUSED) == 2


def test_predict_does_not_replace_its_photos(call, refused):
    picture("x/a.jpg")
    assert call("predict x -o raw", *UNPROCESS)[0] == 0
    assert call("render raw -o pics")[0] == 0
    os.link("pics/a.png", "pics/b.png")
    for out in ("pics", "pics/.", Path("pics").absolute()):
        text = refused(f"predict pics -o {out} --format png", *UNPROCESS, folder="pics", changed=False)
        assert text.count("is an input, and would be overwritten") == 2


def test_predictions_do_not_replace_simulated_ground_truth(call, refused):
    assert call("simulate -o d --count 2 --size 32")[0] == 0
    assert refused("predict d -o d", *UNPROCESS, changed=False).count(REFUSED) == 2
    assert REFUSED in refused("dataset d --sheet d/000000.png", changed=False)


def test_simulate_into_a_folder_of_photos(call, refused):
    picture("d/000000.png")
    before = files("d")
    text = refused("simulate d -o d --count 2 --size 32")
    assert "d/000000.png: is an input" in text and "1 pair in d" in text
    code, text = call("simulate -o d --count 2 --size 32")  # overwrites its own files
    assert code == 1 and f"d/000000.png: {REFUSED}" in text
    assert before.items() <= files("d").items()
    Path("d/dataset.json").write_text("{}")
    text = refused("simulate -o d --count 3 --size 32", changed=False)
    assert text.count(REFUSED) == 1 and f"d/dataset.json: {REFUSED}" in text


def test_simulate_again_completes_and_extends_pairs(call):
    assert call("simulate -o d --size 32 --count 1")[0] == 0
    Path("d/000000.npy").unlink()  # a killed run
    assert call("simulate -o d --size 32 --count 2")[0] == 0
    assert len(files("d")) == 5


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("evaluate raw raw -o d", "d/scores.json"),
        ("evaluate raw raw -o d", "d/report.html"),
        ("dataset pairs --sheet d/sheet.png", "d/sheet.png"),
        ("dataset pairs --sheet d/folder", "d/folder/x"),
        ("calibrate pairs -o d/camera.yaml", "d/camera.yaml"),
        ("calibrate pairs -o d/camera.yaml", "d/camera.png"),
        ("calibrate pairs -o d/camera.yaml --report d/photo.jpg", "d/photo.jpg"),
        ("selftest --json d/a.json", "d/a.json"),
        ("train -o d", "d/oe.safetensors"),
        ("train -o d", "d/noe.safetensors"),
        ("train -o d", "d/log.csv"),
        ("train -o d", "d/curves.png"),
        ("train -o d", "d/finished.json"),
    ],
)
def test_one_line_before_anything_is_computed(call, command, path):
    Path("raw").mkdir()
    np.save("raw/a.npy", np.full((8, 8, 4), 9, np.uint16))
    assert call("simulate -o pairs --count 1 --size 32")[0] == 0
    Path(path).parent.mkdir(parents=True)
    Path(path).write_text("the user's")
    before = files("d", "pairs", "raw")
    code, text = call(command)
    (line,) = [line for line in text.splitlines() if REFUSED in line]
    named = "d/folder" if "folder" in path else path
    assert code == 1 and line.startswith(f"error: {named}: ") and "give another output" in line
    assert files("d", "pairs", "raw") == before


def test_a_second_evaluation_replaces_the_first(call):
    for folder in ("raw", "out"):
        Path(folder).mkdir()
    np.save("raw/a.npy", np.arange(256, dtype=np.uint16).reshape(8, 8, 4))
    Path("raw/readme.txt").write_text("a : 1\nb : 1\nc : 1\n")
    for name in ("notes.txt", "scores.old"):
        Path("out", name).write_text("mine")
    command = "evaluate raw raw -o out --processes 1"
    assert [call(command)[0] for _ in range(2)] == [0, 0]
    assert Path("out/scores.txt").is_file()
    Path("raw/readme.txt").unlink()
    assert call(command)[0] == 0
    kept = {written.LIST, "notes.txt", "scores.old", "scores.json", "scores.csv", "report.html"}
    assert {path.name for path in Path("out").iterdir()} == kept


def test_conversion_beside_files_of_the_same_names(call, refused):
    Path("d").mkdir()
    shutil.copy(ROOT / "test_rgb" / "chelsea.jpg", "d/a.jpg")
    assert call("predict d -o d --format dng", *UNPROCESS)[0] == 0
    picture("out/a_0_0.png")
    assert f"out/a_0_0.png: {REFUSED}" in refused("dataset d --convert out", folder="out")
    Path("out/a_0_0.png").rename("out/mine.png")
    assert [call("dataset d --convert out")[0] for _ in range(2)] == [0, 0]


def test_one_photo_named_in_several_ways_is_one(call, tmp_path):
    picture("d/a.png")
    code, text = call(f"predict d/a.png ./d/a.png {tmp_path}/d/a.png d {tmp_path}/d -o out", *UNPROCESS)
    assert code == 0 and "1 of 1 photos" in text
    code, text = call(f"render out/a.npy ./out {tmp_path}/out/a.npy -o pics")
    assert code == 0 and "1 of 1 RAW files" in text


def test_training_leaves_no_foreign_weights_and_resumes(tmp_path):
    written.begin_command("test")
    (tmp_path / "log.csv").write_text("network,iteration,loss,learning_rate,patches_per_second\n")
    (tmp_path / "curves.png").write_text("of this training")
    (tmp_path / "finished.json").write_text('{"noe": "hash"}')
    (tmp_path / "noe.safetensors").write_text("of this training, copied from another machine")
    check_run_folder(tmp_path)
    (tmp_path / "base.safetensors").write_text("the user's")
    with pytest.raises(InputError, match=rf"base.safetensors: {REFUSED}"):
        check_run_folder(tmp_path)
