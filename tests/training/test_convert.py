"""Conversion of photos with DNG files to crops that are aligned to the pixel."""

import json
from pathlib import Path

import numpy as np
import pytest
from camera_dng import bayer_of, write_pair
from conftest import omf
from PIL import Image

from omf.io.images import read_rgb
from omf.raw.bayer import pack
from omf.training.convert import convert_dataset
from omf.training.datasets import check_pairs, find_pairs
from omf.utils.errors import InputError

pytest.importorskip("rawpy")


def modification_times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.mark.parametrize(("cfa", "turns"), [("RGGB", 0), ("GRBG", 1), ("GBRG", 2), ("BGGR", 3)])
def test_crops_are_exact(tmp_path: Path, cfa: str, turns: int):
    shown = write_pair(tmp_path / "in", "a", turns=turns, cfa=cfa)
    assert convert_dataset(tmp_path / "in", tmp_path / "out", 100) == []
    # position of the photo on the RAW, moved to the next red pixel
    top, left = 3, 6
    top, left = top + (top + cfa.index("R") // 2) % 2, left + (left + cfa.index("R")) % 2
    photo = np.rot90(read_rgb(tmp_path / "in" / "a.jpg"), -turns)
    bayer = bayer_of(shown, cfa)
    dataset = check_pairs(find_pairs(tmp_path / "out"))
    assert [pair.name for pair in dataset.pairs] == [
        f"a_{row}_{column}" for row in range(2) for column in range(3)
    ]
    assert dataset.problems == [] and dataset.pairs[0].white_level == 65535
    for pair in dataset.pairs:
        row, column = (int(part) * 100 for part in pair.name.split("_")[1:])
        rgb, raw = pair.load()
        np.testing.assert_array_equal(
            rgb, photo[top - 3 + row : top - 3 + row + 100, left - 6 + column : left - 6 + column + 100]
        )
        np.testing.assert_allclose(
            raw, bayer[top + row : top + row + 100, left + column : left + column + 100], atol=5e-5
        )
    record = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert record["white_level"] == 65535 and record["crop"] == 100
    assert record["photos"]["a"]["turns"] == -turns % 4 and record["photos"]["a"]["largest_shift"] < 0.5


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
    (folder / "wrong.jpg").write_bytes((folder / "good.jpg").read_bytes())
    (folder / "wrong.dng").write_bytes((folder / "other.dng").read_bytes())
    (folder / "damaged.jpg").write_bytes((folder / "good.jpg").read_bytes())
    (folder / "damaged.dng").write_bytes((folder / "good.dng").read_bytes()[:20000])
    (folder / "text.jpg").write_text("text")
    (folder / "text.dng").write_bytes((folder / "good.dng").read_bytes())
    (folder / "lonely.jpg").write_bytes((folder / "good.jpg").read_bytes())
    problems = convert_dataset(folder, tmp_path / "out", 100)
    assert len(problems) == 4 and not any("\n" in problem for problem in problems)
    for message in (
        "lonely.jpg: no RAW",
        "damaged.dng: can't be decoded",
        "text.jpg: not a picture",
        "wrong.jpg, wrong.dng: photo and RAW don't match",
    ):
        assert any(message in problem for problem in problems)
    assert {pair.name.split("_")[0] for pair in find_pairs(tmp_path / "out").pairs} == {"good", "other"}


def test_conversion_resumes(tmp_path: Path):
    for name, index in (("a", 0), ("b", 2)):
        write_pair(tmp_path / "in", name, index)
    convert_dataset(tmp_path / "in", tmp_path / "out", 100)
    before = modification_times(tmp_path / "out")
    convert_dataset(tmp_path / "in", tmp_path / "out", 100)
    assert modification_times(tmp_path / "out") == before
    (tmp_path / "out" / "b_1_1.npy").unlink()
    (tmp_path / "in" / "a.dng").write_text("not read again")
    assert convert_dataset(tmp_path / "in", tmp_path / "out", 100) == []
    after = modification_times(tmp_path / "out")
    assert after.keys() == before.keys()
    assert all((before[name] != after[name]) == name.startswith(("b_", "dataset")) for name in before)


def test_pixels_are_unchanged(tmp_path: Path):
    shown = write_pair(tmp_path / "in", "a", cfa="RGGB")
    Image.open(tmp_path / "in" / "a.jpg").save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "a.jpg").unlink()
    convert_dataset(tmp_path / "in", tmp_path / "out", 200)
    pair = find_pairs(tmp_path / "out").pairs[0]
    np.testing.assert_array_equal(read_rgb(pair.photo), read_rgb(tmp_path / "in" / "a.png")[1:201, 0:200])
    np.testing.assert_allclose(np.load(pair.raw) / 65535, pack(bayer_of(shown)[4:204, 6:206]), atol=5e-5)


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


def test_the_command_line_prints_the_shift_of_each_pair(tmp_path: Path):
    write_pair(tmp_path / "in", "good", turns=1, cfa="GRBG")
    write_pair(tmp_path / "in", "bad", turns=0, cfa="GRBG")
    (tmp_path / "in" / "bad.dng").write_bytes(b"damaged")
    answer = omf("dataset", tmp_path / "in", "--convert", tmp_path / "out")
    assert answer.returncode == 1
    assert "bad.dng: can't be decoded" in answer.stderr
    (line,) = (line.split() for line in answer.stdout.splitlines() if line.startswith("good"))
    assert line[1:3] == ["1", "270"]  # one crop; the photo, rotated left, is rotated back
    assert float(line[3]) > 0.7
    assert float(line[4]) < 0.5
