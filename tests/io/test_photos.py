"""Photos in folders: what is listed by name and content, and which RAW belongs to a photo."""

import io

import imagecodecs
import numpy as np
import pytest
from conftest import random_rgb
from picture_files import assert_refused, save_heic, with_chunks
from PIL import Image

from omf.io.images import read_rgb
from omf.io.photos import find_photos, list_images, match_shots, shot_name

RGB = random_rgb(64, 80)


def saved(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, kind)
    return file.getvalue()


def test_pictures_of_any_suffix_are_listed(tmp_path, caplog):
    for name in ("a.jfif", "b.jpe", "c.JPEG", "d.mpo", "e", "f.data"):
        (tmp_path / name).write_bytes(saved("JPEG"))
    save_heic(tmp_path / "g.HIF", RGB)
    (tmp_path / "h.unknown").write_bytes(with_chunks(RGB.astype(np.uint16)))
    (tmp_path / "i.webp").write_bytes(saved("WEBP"))
    names = sorted(path.name for path in tmp_path.iterdir())
    for name in ("README.md", "notes.txt", "movie.mp4", "table.csv", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"BMI of P1 and P6, in a text")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "folder").mkdir()
    with caplog.at_level("INFO"):
        assert [path.name for path in list_images(tmp_path)] == names
    assert caplog.messages == [f"{tmp_path}: 5 files without a picture; left out"]
    for name in names:
        assert read_rgb(tmp_path / name).shape == RGB.shape


OTHERS = {
    "a.gif": ("GIF", saved("GIF")),
    "a.bmp": ("BMP", saved("BMP")),
    "a.ppm": ("Netpbm", saved("PPM")),
    "a.tga": ("TGA", saved("TGA")),
    "a.jp2": ("JPEG 2000", saved("JPEG2000")),
    "a.dds": ("DDS", saved("DDS")),
    "a.jxl": ("JPEG XL", imagecodecs.jpegxl_encode(RGB)),
    "a.exr": ("OpenEXR", b"\x76\x2f\x31\x01" + bytes(100)),
    "a.hdr": ("Radiance HDR", b"#?RADIANCE\n" + bytes(100)),
    "a.psd": ("Photoshop", b"8BPS\0\x01" + bytes(100)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_pictures_of_other_formats_are_named(tmp_path, name):
    kind, content = OTHERS[name]
    for suffix in ("", ".x") if kind != "TGA" else ("",):  # which has no signature
        folder = tmp_path / f"called{suffix}"
        folder.mkdir()
        (folder / f"{name}{suffix}").write_bytes(content)
        (path,) = list_images(folder)
        assert_refused(f": a {kind} file; convert it to JPEG, PNG", read_rgb, path)


def test_raw_next_to_its_photo_is_excluded(tmp_path):
    (tmp_path / "other").mkdir()
    names = ("a.jpg", "a.dng", "b.HEIC", "b.CR2", "b.nef", "c.dng", "d.gif", "d.arw", "other/a.dng", ".e.jpg")
    for name in names:
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.HEIC", "c.dng", "d.arw", "d.gif"]
    given = [tmp_path / "a.dng", tmp_path / "a.jpg", tmp_path / "other"]  # as expanded from a shell's *
    assert find_photos(given) == [tmp_path / "a.jpg", tmp_path / "other" / "a.dng"]


def test_a_folder_without_photos_is_refused(tmp_path):
    assert_refused("no pictures in it", list_images, tmp_path)
    assert_refused("no such folder", list_images, tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("photo", "raw"),
    [
        ("IMG_1", "IMG_1"),
        ("PXL_20230101.RAW-01.COVER", "PXL_20230101.RAW-02.ORIGINAL"),
        ("PXL_20230101.RAW-01.MP.COVER", "PXL_20230101.RAW-02.ORIGINAL"),
        ("PXL_20230101.NIGHT.RAW-01.COVER", "PXL_20230101.NIGHT.RAW-02.ORIGINAL"),
        ("IMG_20191104_COVER", "IMG_20191104"),
        ("00000IMG_00000_BURST2019_COVER", "00000IMG_00000_BURST2019"),
        ("IMG_1", "IMG_1_RAW"),
    ],
)
def test_photo_and_raw_of_a_shot(tmp_path, photo, raw):
    assert shot_name(photo) == shot_name(raw)
    assert match_shots([photo, "other"], {raw: 1, "third": 2}) == {photo: 1, "third": 2}
    for name in (f"{photo}.jpg", f"{raw}.dng", "lonely.dng"):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == sorted([f"{photo}.jpg", "lonely.dng"])


def test_shots_with_several_photos_are_not_guessed():
    photos = ["PXL_1.RAW-01.COVER", "PXL_1_COVER", "PXL_2", "PXL_2_COVER"]
    raws = {"PXL_1.RAW-02.ORIGINAL": 1, "PXL_2": 2}
    assert match_shots(photos, raws) == raws
    for name in ("COVER", "_COVER", "RAW", "_RAW", "Landscape_ORIGINALS", "MP"):
        assert shot_name(name) == name  # nothing but an ending
