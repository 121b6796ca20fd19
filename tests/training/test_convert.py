"""Conversion of photos with DNG files to crops that are aligned to the pixel."""

import json
from pathlib import Path

import numpy as np
import pytest
from camera_dng import bayer_of, jpeg_of, photo_of, scene, write_dng, write_pair
from PIL import Image

from omf.io.images import read_rgb
from omf.training.convert import convert_dataset
from omf.training.datasets import check_pairs, find_pairs
from omf.utils.errors import InputError

pytest.importorskip("rawpy")


@pytest.mark.parametrize(("cfa", "turns"), [("RGGB", 0), ("GRBG", 1), ("GBRG", 2), ("BGGR", 3)])
def test_crops_are_exact(tmp_path: Path, cfa: str, turns: int):
    shown = write_pair(tmp_path / "in", "a", turns=turns, cfa=cfa)
    assert convert_dataset(tmp_path / "in", tmp_path / "out", 100) == []
    # position of the photo on the RAW, moved to the next red pixel
    top, left = 3, 6
    top, left = top + (top + cfa.index("R") // 2) % 2, left + (left + cfa.index("R")) % 2
    photo = np.pad(np.rot90(read_rgb(tmp_path / "in" / "a.jpg"), -turns), ((3, 0), (6, 0), (0, 0)))
    bayer = bayer_of(shown, cfa)
    dataset = check_pairs(find_pairs(tmp_path / "out"))
    names = ["a_0_0", "a_0_1", "a_0_2", "a_1_0", "a_1_1", "a_1_2"]
    assert [pair.name for pair in dataset.pairs] == names
    assert dataset.problems == [] and dataset.pairs[0].white_level == 65535
    for pair in dataset.pairs:
        row, column = (int(part) * 100 for part in pair.name.split("_")[1:])
        rgb, raw = pair.load()
        rows, columns = slice(top + row, top + row + 100), slice(left + column, left + column + 100)
        np.testing.assert_array_equal(rgb, photo[rows, columns])
        np.testing.assert_allclose(raw, bayer[rows, columns], atol=5e-5)
    record = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert record["white_level"] == 65535 and record["crop"] == 100
    assert record["photos"]["a"]["turns"] == -turns % 4 and record["photos"]["a"]["largest_shift"] < 0.5


@pytest.mark.parametrize("turns", [0, 3])
def test_embedded_photos_give_the_same_crops_as_photos_beside_the_raw(tmp_path: Path, turns: int):
    for name, embedded in (("beside", False), ("embedded", True)):
        write_pair(tmp_path / name, "a", turns=turns, embedded=embedded)
        assert convert_dataset(tmp_path / name, tmp_path / f"{name}_out", 100) == []
    assert [path.name for path in (tmp_path / "embedded").iterdir()] == ["a.dng"]
    beside, embedded = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("beside_out", "embedded_out")
    )
    photos = [json.loads(files.pop("dataset.json"))["photos"] for files in (beside, embedded)]
    assert photos[0] == photos[1]
    assert beside == embedded and len(beside) == 12


def test_a_photo_beside_the_raw_takes_precedence(tmp_path: Path):
    write_pair(tmp_path / "in", "a", embedded=True)
    photo = photo_of(scene(0, 260, 340))[10:-10, 10:-10]
    Image.fromarray(photo).save(tmp_path / "in" / "a.png")
    convert_dataset(tmp_path / "in", tmp_path / "out", 200)
    rgb, _ = find_pairs(tmp_path / "out").pairs[0].load()
    np.testing.assert_array_equal(rgb, photo[:200, 1:201])  # red is at column 11 of the RAW


def test_bad_embedded_photos_are_reported_and_the_rest_is_converted(tmp_path: Path, call_omf):
    """tests/io/test_embedded.py has more bad ones."""
    folder, shown = tmp_path / "in", scene(0, 260, 340)
    write_pair(folder, "good", embedded=True)
    write_dng(folder / "none.dng", bayer_of(shown))
    write_dng(folder / "wrong.dng", bayer_of(shown), embedded=(jpeg_of(photo_of(scene(2, 260, 340))),))
    answer = call_omf("dataset", folder, "--convert", tmp_path / "out")
    assert answer.returncode == 1
    none, wrong = (line for line in answer.stderr.splitlines() if line.startswith("problem:"))
    remedy = "put the camera's JPEG beside it, none.jpg"
    assert none == f"problem: {folder}/none.dng: no photo is embedded in it; {remedy}"
    assert f"{folder}/wrong.dng and the photo embedded in it: photo and RAW don't match" in wrong
    assert [pair.name for pair in find_pairs(tmp_path / "out").pairs] == ["good_0_0"]
    described = call_omf("dataset", folder)
    assert described.returncode == 1
    assert described.stdout.startswith("layout dng: 2 camera RAW files with embedded photos; before training")
    assert [line for line in described.stderr.splitlines() if line.startswith("problem:")] == [none]


def test_a_small_photo_gives_one_crop(tmp_path: Path):
    write_pair(tmp_path / "in", "a", height=200, width=260, cfa="RGGB")
    convert_dataset(tmp_path / "in", tmp_path / "out", 504)
    rgb, raw = find_pairs(tmp_path / "out").pairs[0].load()
    assert raw.shape == rgb.shape[:2] == (190, 246)  # 192 rows from the odd row 3, 247 columns from column 6
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_bad_pairs_are_reported_and_the_rest_is_converted(tmp_path: Path):
    folder = tmp_path / "in"
    write_pair(folder, "good")
    write_pair(folder, "other", 2)
    photo, raw = ((folder / f"good.{suffix}").read_bytes() for suffix in ("jpg", "dng"))
    for name, photo_bytes, raw_bytes in (
        ("damaged", photo, raw[:20000]),
        ("lonely", photo, None),
        ("text", b"text", raw),
        ("wrong", photo, (folder / "other.dng").read_bytes()),
    ):
        (folder / f"{name}.jpg").write_bytes(photo_bytes)
        if raw_bytes:
            (folder / f"{name}.dng").write_bytes(raw_bytes)
    problems = convert_dataset(folder, tmp_path / "out", 100)
    assert len(problems) == 4 and not any("\n" in problem for problem in problems)
    messages = ("lonely.jpg: no RAW", "damaged.dng: can't be decoded", "text.jpg: not a picture")
    for message in (*messages, "wrong.jpg, wrong.dng: photo and RAW don't match"):
        assert any(message in problem for problem in problems)
    assert {pair.name.split("_")[0] for pair in find_pairs(tmp_path / "out").pairs} == {"good", "other"}


def test_conversion_resumes(tmp_path: Path):
    source, out = tmp_path / "in", tmp_path / "out"

    def converted() -> dict[str, int]:
        """Convert, and return the times of all files."""
        assert convert_dataset(source, out, 100) == []
        return {path.name: path.stat().st_mtime_ns for path in out.iterdir()}

    write_pair(source, "a")
    write_pair(source, "b", 2)
    before = converted()
    assert converted() == before
    (out / "b_1_1.npy").unlink()
    (source / "a.dng").write_text("not read again")
    after = converted()
    assert after.keys() == before.keys()
    assert all((before[name] != after[name]) == name.startswith(("b_", "dataset")) for name in before)


def test_wrong_arguments(tmp_path: Path):
    write_pair(tmp_path / "in", "a")
    for crop in (0, -2, 101):
        with pytest.raises(InputError, match=f"crop {crop}: give an even number"):
            convert_dataset(tmp_path / "in", tmp_path / "out", crop)
    with pytest.raises(InputError, match="holds the photos; give another folder"):
        convert_dataset(tmp_path / "in", tmp_path / "in")
    convert_dataset(tmp_path / "in", tmp_path / "out", 100)
    with pytest.raises(InputError, match="crops of 100 pixels"):
        convert_dataset(tmp_path / "in", tmp_path / "out", 50)
    with pytest.raises(InputError, match="packed already"):
        convert_dataset(tmp_path / "out", tmp_path / "more")
    (tmp_path / "out" / "dataset.json").write_text('{"white_level": 4095}')
    with pytest.raises(InputError, match="not from an earlier conversion"):
        convert_dataset(tmp_path / "in", tmp_path / "out", 100)


def test_the_command_line_prints_the_shift_of_each_pair(tmp_path: Path, call_omf):
    write_pair(tmp_path / "in", "good", turns=1, cfa="GRBG")
    write_pair(tmp_path / "in", "bad", turns=0, cfa="GRBG")
    (tmp_path / "in" / "bad.dng").write_bytes(b"damaged")
    answer = call_omf("dataset", tmp_path / "in", "--convert", tmp_path / "out")
    assert answer.returncode == 1
    assert "bad.dng: can't be decoded" in answer.stderr
    (line,) = (line.split() for line in answer.stdout.splitlines() if line.startswith("good"))
    assert line[1:3] == ["1", "270"]  # one crop; the photo, rotated left, is rotated back
    assert float(line[3]) > 0.7
    assert float(line[4]) < 0.5
