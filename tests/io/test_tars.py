"""Photos in tars: what is listed and read, and what damage costs."""

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, random_rgb
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from omf.io.exif import read_exif
from omf.io.images import read_rgb
from omf.io.local_files import local_file
from omf.io.packed import read_packed
from omf.io.photo_tars import expand_tars, find_inputs, list_inputs, list_photos_in_tar
from omf.io.photos import list_images
from omf.io.tars import members_of, read_in_tar
from omf.utils.errors import InputError

CONTENTS = {f"{number:02d}.jpg": bytes([number]) * (200 + 311 * number) for number in range(1, 6)}


def png(seed: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(random_rgb(10, 12, seed)).save(file, "PNG")
    return file.getvalue()


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
    tar = make_tar(tmp_path / "x.tar", dict.fromkeys(names, b"1"), format=form)
    photos, problems = list_photos_in_tar(tar)
    assert photos == [tar / name for name in ("b.jpg", "sub/a.PNG", "c.tif", f"{long}.jpg")]
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


def test_an_error_names_the_file_in_the_tar(tmp_path):
    tar = make_tar(tmp_path / "x.tar", {"a.jpg": b"no picture", "b.png": b"", "c.npy": b"no array"})
    for name, fault in (("a.jpg", "not a picture"), ("b.png", "an empty file")):
        with pytest.raises(InputError, match=rf"x\.tar/{name}: {fault}"):
            read_rgb(tar / name)
    with pytest.raises(InputError, match=r"x\.tar/c\.npy: can't be read"):
        read_packed(tar / "c.npy")


@pytest.mark.parametrize("dtype,shape", [(np.float32, (4, 4, 4)), (np.uint16, (4, 4))])
def test_other_arrays_in_a_tar_are_no_packed_raw(tmp_path, dtype, shape):
    file = io.BytesIO()
    np.save(file, np.zeros(shape, dtype))
    tar = make_tar(tmp_path / "x.tar", {"a.npy": file.getvalue()})
    with pytest.raises(InputError, match=r"x\.tar/a\.npy: .*; give uint16"):
        read_packed(tar / "a.npy")


@settings(deadline=None, max_examples=60)
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
    third = members_of(tar).files["03.jpg"]
    content[third.offset - 512] ^= 255
    tar.write_bytes(content)
    photos, (problem,) = list_photos_in_tar(tar)
    assert [photo.name for photo in photos] == ["01.jpg", "02.jpg"]
    assert problem == f"{tar}: damaged behind 02.jpg; copy it again from where it came"


def test_tars_that_cannot_be_read_are_a_line_each(tmp_path):
    good = make_tar(tmp_path / "good.tar", {"a.png": png()})
    empty = make_tar(tmp_path / "empty.tar", {"a.json": b"{}"})
    compressed, text, nothing = (tmp_path / f"{name}.tar" for name in ("compressed", "text", "nothing"))
    compressed.write_bytes(gzip.compress(good.read_bytes()))
    text.write_bytes(b"no tar" * 1000)
    nothing.write_bytes(b"")
    photos, problems = expand_tars([compressed, empty, good, nothing, text])
    assert photos == [good / "a.png"]
    assert [problem.partition(": ")[0] for problem in problems] == [
        str(tar) for tar in (compressed, empty, nothing, text)
    ]
    assert "no pictures in it" in problems[1] and "not compressed" in problems[0]


def test_a_pattern_stands_for_the_tars_that_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("p-000.tar", "p-002.tar", "p-010.tar"):
        make_tar(Path(name), {"a.png": png()})
    tars, problems = list_inputs("p-{000..002}.tar")
    assert tars == [Path("p-000.tar"), Path("p-002.tar")]
    assert problems == ["p-001.tar: no such file; give a .tar of photos"]
    assert list_inputs(".")[0] == [Path("p-000.tar"), Path("p-002.tar"), Path("p-010.tar")]
    for pattern in ("q-{0..3}.tar", "p-{000..002.tar"):
        with pytest.raises(InputError):
            list_inputs(pattern)


def test_photos_and_tars_may_lie_in_one_folder(tmp_path):
    tar = make_tar(tmp_path / "x.tar", {"a.png": png()})
    with pytest.raises(InputError, match="no pictures in it"):
        list_images(tmp_path)
    (tmp_path / "b.png").write_bytes(png(1))
    assert list_inputs(str(tmp_path)) == ([tmp_path / "b.png", tar], [])
    assert find_inputs([tmp_path, tar, tmp_path / "b.png"]) == ([tmp_path / "b.png", tar / "a.png"], [])


def test_camera_raw_beside_its_photo_is_no_other_photo(tmp_path):
    tar = make_tar(tmp_path / "x.tar", {"a.dng": b"1", "a.jpg": b"1", "b.dng": b"1"})
    assert list_photos_in_tar(tar)[0] == [tar / "a.jpg", tar / "b.dng"]


def test_a_name_that_is_not_utf8_is_a_line(tmp_path):
    tar = make_tar(tmp_path / "x.tar", {"a.png": png(), "\udcff.png": png()}, format=tarfile.GNU_FORMAT)
    photos, (problem,) = list_photos_in_tar(tar)
    assert photos == [tar / "a.png"] and "not UTF-8" in problem
