"""Folders of training pairs: layouts, white levels, invalid files, description and contact sheet."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from camera_dng import bayer_of, jpeg_of, photo_of, scene, write_dng, write_pair
from PIL import Image

from omf.raw.bayer import pack
from omf.training.datasets import CameraPair, Pair, check_pairs, find_pairs
from omf.training.describe import contact_sheet, describe, grey_world_preview
from omf.utils.errors import InputError


def write_packed(
    folder: Path,
    name: str,
    suffix: str = ".jpg",
    white: int = 1024,
    size: tuple[int, int] = (60, 80),
    index: int = 0,
    **entries: object,
) -> np.ndarray:
    """Write a photo and NAME.npy of a scene, or NAME.npz if there are `entries`; return the packed counts."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = scene(index, *size)
    Image.fromarray(photo_of(shown)).save(folder / f"{name}{suffix}")
    counts = pack((bayer_of(shown[: size[0] // 2 * 2, : size[1] // 2 * 2]) * white).astype(np.uint16))
    if entries:
        np.savez(folder / f"{name}.npz", raw=counts, **entries)
    else:
        np.save(folder / f"{name}.npy", counts)
    return counts


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).touch()


def names_of(pairs: list[Pair]) -> list[str]:
    return [pair.name for pair in pairs]


def test_aim_layout(tmp_path: Path):
    counts = write_packed(tmp_path / "train", "b")
    write_packed(tmp_path / "train", "a", ".JPG", size=(61, 81))
    write_packed(tmp_path / "test", "c")
    dataset = find_pairs(tmp_path)
    assert (dataset.layout, dataset.problems, names_of(dataset.pairs)) == ("aim", [], ["a", "b"])
    assert dataset.pairs[1].photo == tmp_path / "train" / "b.jpg"
    for pair in dataset.pairs:  # the first one has an odd size
        rgb, bayer = pair.load()
        assert rgb.shape == (60, 80, 3) and rgb.dtype == np.uint8
        assert bayer.shape == (60, 80) and bayer.dtype == np.float32
    np.testing.assert_array_equal(pack(bayer), counts / np.float32(1024))
    photo = photo_of(scene(0, 60, 80)).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "b.tif", photo, photometric="rgb")
    rgb, _ = replace(pair, photo=tmp_path / "b.tif").load()
    assert rgb.dtype == np.uint16


def test_ntire_layout(tmp_path: Path):
    write_packed(tmp_path, "12_0", ".png", 1023, (1024, 1024))
    dataset = find_pairs(tmp_path)
    assert dataset.layout == "ntire" and dataset.pairs[0].white_level == 4095
    assert dataset.pairs[0].load()[1].shape == (1024, 1024)
    assert "is the white level right?" in describe(dataset)


@pytest.mark.parametrize(
    ("entries", "level"),
    [({"max_val": 1023}, 1023), ({"max_val": np.float32(4095)}, 4095), ({"other": 0}, 4095)],
)
def test_npz_contains_its_white_level(tmp_path: Path, entries: dict, level: int):
    counts = write_packed(tmp_path, "a", ".png", 1000, **entries)
    pair = find_pairs(tmp_path).pairs[0]
    assert pair.white_level == level
    np.testing.assert_array_equal(pack(pair.load()[1]), counts / np.float32(level))


OTHER_LEVELS = {"black_level": 64}, {"cfa": "GRBG"}, {"black_level": [64, 64]}


@pytest.mark.parametrize("levels", OTHER_LEVELS)
def test_npz_with_other_levels(tmp_path: Path, levels: dict):
    write_packed(tmp_path, "a", ".png", max_val=1024, **levels)
    with pytest.raises(InputError, match=r"a\.npz: black level .*; give black level 0 and RGGB"):
        find_pairs(tmp_path)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_dataset_json_takes_precedence(tmp_path: Path, suffix: str):
    write_packed(tmp_path, "a", suffix, 16383)
    (tmp_path / "dataset.json").write_text(json.dumps({"white_level": 16383, "camera": "a phone"}))
    pair = find_pairs(tmp_path).pairs[0]
    assert pair.white_level == 16383
    pair.load()


NO_COUNTS = ("Infinity", "-Infinity", "NaN", "1e400", "[]", '"1024"', '"x"', "0", "65536", "1024.5", "true")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", r"the white level of \(30, 40, 4\) beside a.png is unknown; put dataset.json"),
        *((text, r"dataset\.json: can't be read") for text in ("{", "[]")),
        *(
            (f'{{"white_level": {level}}}', r"json: white level .*; give a whole number from 1 to 65535")
            for level in NO_COUNTS
        ),
    ],
)
def test_an_unknown_white_level_is_refused(tmp_path: Path, text: str, message: str):
    write_packed(tmp_path, "a", ".png")
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(InputError, match=message):
        find_pairs(tmp_path)


PIXEL_PHONE = (
    ("IMG_2_COVER.jpg", "IMG_2.dng"),
    ("PXL_1.RAW-01.COVER.jpg", "PXL_1.RAW-02.ORIGINAL.dng"),
)


@pytest.mark.parametrize(
    ("pairs", "others", "problems"),
    [
        ((("a.jpg", "a.dng"), ("b.jpg", "b.NEF"), ("c.jpg", "c.DNG")), (), ()),
        (PIXEL_PHONE, (), ()),
        (
            (("a.jpg", "a.dng"), (None, "b.NEF")),
            ("c.cr2", "c.dng", "d.jpg"),
            ("c.cr2: c.dng has the same name; keep one of them", "d.jpg: no RAW of that name; add it, or"),
        ),
    ],
)
def test_camera_raw(tmp_path: Path, pairs: tuple, others: tuple, problems: tuple):
    touch(tmp_path, *others, *(name for pair in pairs for name in pair if name))
    dataset = find_pairs(tmp_path)
    assert dataset.layout == "dng"
    assert dataset.pairs == [CameraPair(photo and tmp_path / photo, tmp_path / raw) for photo, raw in pairs]
    assert len(dataset.problems) == len(problems)
    for problem, start in zip(dataset.problems, problems):
        assert problem.startswith(f"{tmp_path}/{start}")
    with pytest.raises(InputError, match="convert"):
        contact_sheet(dataset, tmp_path / "sheet.png")


def test_description_of_camera_raw_alone(tmp_path: Path):
    pytest.importorskip("rawpy")
    write_pair(tmp_path, "beside")
    for index, name in enumerate(("embedded", "other")):
        write_pair(tmp_path, name, index, embedded=True)
    shown = scene(0, 120, 160)
    write_dng(tmp_path / "small.dng", bayer_of(shown), embedded=(jpeg_of(photo_of(shown[:60, :80])),))
    write_dng(tmp_path / "none.dng", bayer_of(shown))
    dataset = check_pairs(find_pairs(tmp_path))
    assert names_of(dataset.pairs) == ["beside", "embedded", "other"]
    assert describe(dataset).splitlines() == [
        "layout dng: 1 photos with camera RAW, 2 camera RAW files with embedded photos;"
        " before training, cut them into pairs: omf dataset FOLDER --convert OUT",
        f"problem: {tmp_path}/none.dng: no photo is embedded in it;"
        " put the camera's JPEG beside it, none.jpg",
        f"problem: {tmp_path}/small.dng: the photo embedded in it has 80 x 60 pixels, the RAW 160 x 120;"
        " put the camera's JPEG beside it, small.jpg",
    ]
    unusable = check_pairs(replace(dataset, pairs=[CameraPair(None, tmp_path / "none.dng")]))
    assert describe(unusable).startswith("layout dng: no pairs that can be used\nproblem: ")


def test_camera_raw_alone_without_rawpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    touch(tmp_path, "a.dng", "b.dng")
    with pytest.raises(InputError, match=r"pip install 'overexposure-mask-fusion\[raw\]'"):
        check_pairs(find_pairs(tmp_path))


def test_files_without_partner_are_problems(tmp_path: Path):
    write_packed(tmp_path, "a")
    touch(tmp_path, "b.jpg", "c.npy", "d.dng", ".hidden.jpg", "notes.txt", "e.jpg", "e.png", "e.npy")
    touch(tmp_path, "f.jpg", "g.jpg")
    np.save(tmp_path / "f.npy", np.zeros(3))
    (tmp_path / "g.npy").write_bytes(b"nothing")
    dataset = find_pairs(tmp_path)
    assert names_of(dataset.pairs) == ["a", "f"]
    starts = ("b.jpg: no RAW", "c.npy: no photo", "e.jpg: e.png has the same name")
    starts += ("g.npy: can't be read", "d.dng: a camera RAW")
    assert len(dataset.problems) == len(starts)
    for problem, start in zip(dataset.problems, starts):
        assert problem.startswith(f"{tmp_path}/{start}")


def test_no_pairs(tmp_path: Path):
    with pytest.raises(InputError, match="no such folder"):
        find_pairs(tmp_path / "none")
    touch(tmp_path, "a.jpg", "b.npy")
    with pytest.raises(InputError, match=r"no pairs.*NAME.jpg with NAME.npy.*NAME.npz.*NAME.dng"):
        find_pairs(tmp_path)
    touch(tmp_path, "c.cr2", "c.dng")
    with pytest.raises(InputError, match=r"none of its pairs.*a\.jpg: no RAW"):
        find_pairs(tmp_path)


def cut_to(size: int):
    return lambda path: path.write_bytes(path.read_bytes()[:size])


def save(array: object):
    return lambda path: np.save(path, array)


GOOD = np.arange(30 * 40 * 4, dtype=np.uint16).reshape(30, 40, 4) % 1025
WRONG = {  # file, damage, message
    "photo": ("a.jpg", lambda path: path.write_bytes(b"nothing"), "a.jpg: not a picture"),
    "cut photo": ("a.jpg", cut_to(1500), "a.jpg: can't be decoded"),
    "shape": (
        "a.npy",
        save(GOOD[1:]),
        r"uint16 \(29, 40, 4\); a.jpg of 80 x 60 pixels requires uint16 \(30, 40, 4\)",
    ),
    "planes": ("a.npy", save(GOOD[..., 0]), r"uint16 \(30, 40\)"),
    "dtype": ("a.npy", save(GOOD.astype(np.float32)), "float32"),
    "nan": ("a.npy", save(np.full((30, 40, 4), np.nan)), "float64"),
    "over": ("a.npy", save(GOOD + 3), "counts up to 1027, but the white level is 1024"),
    "black": ("a.npy", save(GOOD * 0), "every value is 0"),
    "constant": ("a.npy", save(GOOD * 0 + 512), "every value is 512"),
    "cut": ("a.npy", cut_to(999), "a.npy: can't be read"),
    "pickle": ("a.npy", save(np.array([{}])), "a.npy: can't be read"),
    "gone": ("a.npy", Path.unlink, "a.npy: no such file"),
}


@pytest.mark.parametrize(("file", "damage", "message"), WRONG.values(), ids=WRONG)
def test_wrong_pairs_become_problems(tmp_path: Path, file: str, damage: Callable, message: str):
    write_packed(tmp_path, "a")
    write_packed(tmp_path, "b")
    dataset = find_pairs(tmp_path)
    damage(tmp_path / file)
    with pytest.raises(InputError, match=message) as error:
        dataset.pairs[0].load()
    assert "\n" not in str(error.value)
    checked = check_pairs(dataset)
    assert names_of(checked.pairs) == ["b"] and checked.problems == [str(error.value)]
    assert str(error.value) in describe(dataset)


def test_wrong_npz(tmp_path: Path):
    write_packed(tmp_path, "a", ".png", max_val=1024)
    np.savez(other := io.BytesIO(), other=GOOD)
    for content, message in (
        (b"", "an empty file"),
        (b"nothing", "can't be read"),
        (b"PK\x03\x04 cut", "can't be read"),
        (other.getvalue(), "can't be read.*as raw"),
    ):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(InputError, match=rf"a\.npz: {message}"):
            find_pairs(tmp_path).pairs[0].load()


def test_description(tmp_path: Path):
    planes = np.zeros((30, 40, 4), np.uint16) + np.array([256, 512, 512, 128], np.uint16)
    planes[:3] = 1024  # a tenth is clipped
    photo = np.full((60, 80, 3), 100, np.uint8)
    photo[:15] = 255  # a quarter is overexposed
    for name in "abc":
        Image.fromarray(photo).save(tmp_path / f"{name}.png")
        np.save(tmp_path / f"{name}.npy", planes)
    (tmp_path / "dataset.json").write_text('{"white_level": 1024}')
    touch(tmp_path, *(f"z{i:02}.png" for i in range(25)))
    text = describe(find_pairs(tmp_path))
    for line in (
        "layout aim: 3 pairs",
        "white level   1024",
        "sizes         80 x 60 (3)",
        "  lowest      0.2500  0.5000  0.5000  0.1250",
        "  mean        0.3250  0.5500  0.5500  0.2125",
        "  highest     1.0000  1.0000  1.0000  1.0000",
        "grey-world R/G  0.591, 5 to 95 % of the pairs 0.591 to 0.591",
        "overexposed   25.00 % of the photos' pixels",
        "clipped       10.00 % of the RAW values (0.99 or more)",
        "and 5 more problems",
    ):
        assert line in text.splitlines()
    assert text.count("problem:") == 20 and "note:" not in text


def test_contact_sheet(tmp_path: Path):
    for i in range(7):
        name = f"a rather long name that has to be cut off somewhere before it reaches the next tile {i}"
        write_packed(tmp_path, name, size=(60, 80 + 20 * i), index=i)
    contact_sheet(find_pairs(tmp_path), tmp_path / "out" / "sheet.png", count=6)
    sheet = np.array(Image.open(tmp_path / "out" / "sheet.png"))
    assert sheet.shape == (2 * 216 + 8, 4 * 392 + 8, 3)
    assert (sheet[220:, 2 * 392 + 8 :] == 255).all()  # six thumbnails in two rows of four
    assert list((tmp_path / "out").glob("[!.]*")) == [tmp_path / "out" / "sheet.png"]


def test_rendering_is_grey_on_average():
    shown = scene(1, 60, 80) * 0.3
    means = ((grey_world_preview(bayer_of(shown)) / 255) ** 2.2).mean(axis=(0, 1))
    np.testing.assert_allclose(means, means[1], rtol=0.05)


def test_pairs_that_are_none_become_problems(tmp_path: Path):
    for index, name in enumerate("abcd"):
        write_packed(tmp_path, name, size=(160, 200), index=index)
    assert check_pairs(find_pairs(tmp_path)).problems == []
    (tmp_path / "a.jpg").rename(tmp_path / "x")
    (tmp_path / "b.jpg").rename(tmp_path / "a.jpg")
    (tmp_path / "x").rename(tmp_path / "b.jpg")
    np.save(tmp_path / "c.npy", np.load(tmp_path / "c.npy")[..., [1, 0, 3, 2]])
    checked = check_pairs(find_pairs(tmp_path))
    assert names_of(checked.pairs) == ["d"]
    for problem, words in zip(checked.problems, ("a.jpg, a.npy: ", "b.jpg, b.npy: ", "c.jpg, c.npy: ")):
        assert words in problem
    assert "don't match" in checked.problems[0] and "give planes R, Gr, Gb, B" in checked.problems[2]


@pytest.mark.parametrize(
    ("white", "words"), [(255, "of its photos' brightness"), (4095, "3 of 4 pairs have counts beyond")]
)
def test_a_white_level_other_than_the_layout_s(tmp_path: Path, white: int, words: str):
    """In the last pair it is not seen, but the level is wrong there too."""
    for index, name in enumerate("abcd"):
        write_packed(tmp_path, name, white=white, size=(160, 200), index=index)
    if white == 4095:
        np.save(tmp_path / "d.npy", np.load(tmp_path / "d.npy") // 4)
    dataset = find_pairs(tmp_path)
    with pytest.raises(InputError, match=words + r".*white level 1024; put dataset\.json there"):
        check_pairs(dataset)
    (tmp_path / "dataset.json").write_text(f'{{"white_level": {white}}}')
    assert len(check_pairs(find_pairs(tmp_path)).pairs) == 4
