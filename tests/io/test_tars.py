"""Photos in tars: those listed and read, and the effect of damage."""

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_files import assert_refused

from omf.io.exif import read_exif
from omf.io.images import read_rgb
from omf.io.local_files import local_file
from omf.io.packed import read_packed
from omf.io.photo_tars import expand_tars, find_inputs, list_inputs, list_photos_in_tar
from omf.io.photos import list_images
from omf.io.tars import members_of, read_in_tar
from omf.utils.errors import InputError

CONTENTS = {f"{number:02d}.jpg": bytes([number]) * (200 + 311 * number) for number in range(1, 6)}


def make_tar(path: Path, contents: dict[str, bytes], **options: int) -> Path:
    with tarfile.open(path, "w", **options) as archive:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_pictures_of_a_tar_are_listed_in_its_order(tmp_path, form):
    long = "n" * (90 if form == tarfile.USTAR_FORMAT else 180)
    names = ["./b.jpg", "sub/a.PNG", "/c.tif", "b.json", "b.npy", ".hidden.jpg", "x/._b.jpg", f"{long}.jpg"]
    beside = ["b.dng", "d.dng"]  # camera RAW, the first of a photo that is there
    tar = make_tar(tmp_path / "x.tar", dict.fromkeys(names + beside, b"1"), format=form)
    photos, problems = list_photos_in_tar(tar)
    assert photos == [tar / name for name in ("b.jpg", "sub/a.PNG", "c.tif", f"{long}.jpg", "d.dng")]
    assert problems == []


def test_a_photo_in_a_tar_reads_as_the_file(tmp_path):
    photo = ROOT / "test_rgb" / "hopper.jpg"
    tar = make_tar(tmp_path / "x.tar", {"a/hopper.jpg": photo.read_bytes()})
    ((inside,), _) = list_photos_in_tar(tar)
    np.testing.assert_array_equal(read_rgb(inside), read_rgb(photo))
    assert read_exif(inside) == read_exif(photo)
    with local_file(inside) as copy:
        assert copy.name == photo.name and copy.read_bytes() == photo.read_bytes()
    assert not copy.parent.exists()
    with local_file(photo) as same:
        assert same == photo


def npy(dtype: type, shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(shape, dtype))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "read", "words"),
    [
        ("a.jpg", b"no picture", read_rgb, "not a picture"),
        ("b.png", b"", read_rgb, "an empty file"),
        ("c.npy", b"no array", read_packed, "can't be read"),
        ("d.npy", npy(np.float32, (4, 4, 4)), read_packed, "; give uint16"),
        ("e.npy", npy(np.uint16, (4, 4)), read_packed, "; give uint16"),
    ],
)
def test_an_error_names_the_file_in_the_tar(tmp_path, name, content, read, words):
    assert_refused(words, read, make_tar(tmp_path / "x.tar", {name: content}) / name)


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_a_cut_tar_keeps_whole_files_only(tmp_path_factory, data):
    tar = make_tar(tmp_path_factory.mktemp("cut") / "x.tar", CONTENTS)
    whole = members_of(tar)
    assert list(whole.files) == list(CONTENTS) and not whole.fault
    ends = [member.offset + -(-member.size // 512) * 512 for member in whole.files.values()]
    length = data.draw(st.integers(512, ends[-1] - 1))
    tar.write_bytes(tar.read_bytes()[:length])
    try:
        left = members_of(tar)
    except InputError:
        assert length < ends[0]
        return
    assert left.fault or length in ends  # a cut between two files leaves a valid tar
    there = [name for name, member in whole.files.items() if member.offset + member.size <= length]
    assert list(left.files) == there
    for name in left.files:
        assert read_in_tar(tar / name) == CONTENTS[name]


def test_a_damaged_head_does_not_pass_for_the_end(tmp_path):
    tar = make_tar(tmp_path / "x.tar", CONTENTS)
    content = bytearray(tar.read_bytes())
    content[members_of(tar).files["03.jpg"].offset - 512] ^= 255
    tar.write_bytes(content)
    photos, problems = list_photos_in_tar(tar)
    assert [photo.name for photo in photos] == ["01.jpg", "02.jpg"]
    assert problems == [f"{tar}: damaged behind 02.jpg; copy it again from where it came"]


def test_tars_that_cannot_be_read_are_a_line_each(tmp_path):
    tars = [tmp_path / f"{name}.tar" for name in ("compressed", "empty", "good", "nothing", "text")]
    compressed, empty, good, nothing, text = tars
    make_tar(good, {"a.png": b"1", "\udcff.png": b"1"}, format=tarfile.GNU_FORMAT)
    make_tar(empty, {"a.json": b"{}"})
    compressed.write_bytes(gzip.compress(good.read_bytes()))
    text.write_bytes(b"no tar" * 1000)
    nothing.write_bytes(b"")
    photos, problems = expand_tars(tars)
    assert photos == [good / "a.png"]
    words = ("not compressed", "no pictures in it", "not UTF-8", "", "")
    for tar, problem, word in zip(tars, problems, words, strict=True):
        assert problem.startswith(str(tar)) and word in problem


def test_a_pattern_stands_for_the_tars_that_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("p-000.tar", "p-002.tar", "p-010.tar"):
        make_tar(Path(name), {"a.png": b"1"})
    tars, problems = list_inputs("p-{000..002}.tar")
    assert tars == [Path("p-000.tar"), Path("p-002.tar")]
    assert problems == ["p-001.tar: no such file; give a .tar of photos"]
    assert list_inputs(".")[0] == [Path("p-000.tar"), Path("p-002.tar"), Path("p-010.tar")]
    for pattern in ("q-{0..3}.tar", "p-{000..002.tar"):
        with pytest.raises(InputError):
            list_inputs(pattern)


def test_photos_and_tars_may_lie_in_one_folder(tmp_path):
    tar = make_tar(tmp_path / "x.tar", {"a.png": b"1"})
    assert_refused("no pictures in it", list_images, tmp_path)
    (tmp_path / "b.png").write_bytes(b"1")
    assert list_inputs(str(tmp_path)) == ([tmp_path / "b.png", tar], [])
    assert find_inputs([tmp_path, tar, tmp_path / "b.png"]) == ([tmp_path / "b.png", tar / "a.png"], [])
