"""White balance from maker notes, by exiftool and by exiv2."""

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import ROOT, random_rgb
from PIL import Image

from omf.io import maker_notes
from omf.io.cameras import camera_of_photo, find_camera, noted_neutral
from omf.io.maker_notes import GainReader
from omf.raw.camera_colours import neutral_under, white_of
from omf.utils.errors import InputError

pytest.importorskip("exiv2")
pytest.importorskip("rawpy")
from maker_note_photos import write_photo

NIKON = ("NIKON CORPORATION", "NIKON D750", {"Exif.Nikon3.WB_RBLevels": "458/256 379/256 256/256 256/256"})
RED, BLUE = 458 / 256, 379 / 256
OLYMPUS = ("OLYMPUS IMAGING CORP.", "E-M5", {"Exif.OlympusIp.WB_RBLevels": "532 414"})
LEVELS = {"Exif.Panasonic.WBRedLevel": "1900", "Exif.Panasonic.WBGreenLevel": "1054"}
PANASONIC = ("Panasonic", "DMC-GH4", LEVELS | {"Exif.Panasonic.WBBlueLevel": "2074"})


@pytest.fixture(params=["exiftool", "exiv2"])
def reader(request, monkeypatch):
    """Yield a reader of each kind."""
    if request.param == "exiv2":
        monkeypatch.setattr(maker_notes, "EXIFTOOL", ("no such program",))
    elif shutil.which("exiftool") is None:
        pytest.skip("needs exiftool (Debian: apt install libimage-exiftool-perl)")
    with GainReader() as gains:
        yield gains


def test_gains_and_photos_without(tmp_path, reader):
    absurd = {"Exif.Nikon3.WB_RBLevels": "22977/256 451/256 256/256 256/256"}
    write_photo(tmp_path / "absurd.jpg", *NIKON[:2], absurd)
    write_photo(tmp_path / "none.jpg", *NIKON[:2], {})
    (tmp_path / "damaged.jpg").write_bytes(b"\xff\xd8\xff\xe1")
    write_photo(tmp_path / "x.jpg", *NIKON).rename(tmp_path / "a\nb.jpg")
    for name in ("absurd", "none", "damaged", "absent"):
        assert reader(tmp_path / f"{name}.jpg") is None
    assert reader(ROOT / "test_rgb" / "chart.png") is None
    assert (reader(tmp_path / "a\nb.jpg") is None) == bool(reader.process)  # to which it would be two lines
    for notes, gains in (
        (NIKON, (RED, BLUE)),
        (OLYMPUS, (532 / 256, 414 / 256)),
        (PANASONIC, (1900 / 1054, 2074 / 1054)),
    ):
        assert reader(write_photo(tmp_path / "-a.jpg", *notes)) == pytest.approx(gains, rel=2e-3)


def test_threads_share_a_reader(tmp_path, reader):
    photos = []
    for number in range(12):
        notes = {"Exif.Nikon3.WB_RBLevels": f"{300 + 10 * number}/256 379/256 256/256 256/256"}
        photos.append(write_photo(tmp_path / f"{number}.jpg", *NIKON[:2], notes))
    with ThreadPoolExecutor(4) as pool:
        red = [gains[0] for gains in pool.map(reader, photos)]
    assert red == pytest.approx([(300 + 10 * number) / 256 for number in range(12)], rel=2e-3)


def test_a_reader_whose_program_has_ended_reads_nothing(tmp_path):
    if shutil.which("exiftool") is None:
        pytest.skip("needs exiftool")
    photo = write_photo(tmp_path / "a.jpg", *NIKON)
    with GainReader() as gains:
        gains.process.kill()
        gains.process.wait()
        assert gains(photo) is None


def test_neither_program_is_one_line(monkeypatch):
    monkeypatch.setattr(maker_notes, "EXIFTOOL", ("no such program",))
    monkeypatch.setitem(sys.modules, "exiv2", None)
    with pytest.raises(InputError, match=r"needs exiftool .* or exiv2; install that with: pip"):
        GainReader()


def test_the_neutral_of_another_camera_is_that_of_the_same_light(tmp_path, reader):
    photo = write_photo(tmp_path / "a.jpg", *NIKON)
    own, s7 = camera_of_photo(photo), find_camera("samsung_s7")
    assert noted_neutral(photo, own, reader) == pytest.approx((1 / RED, 1 / BLUE), rel=2e-3)
    expected = neutral_under(s7, white_of(own, np.array([1 / RED, 1, 1 / BLUE])))
    assert noted_neutral(photo, s7, reader) == pytest.approx(expected[[0, 2]], rel=5e-3)
    unknown = write_photo(tmp_path / "b.jpg", NIKON[0], "NIKON D75", NIKON[2])
    assert noted_neutral(unknown, s7, reader) is None


def test_the_commands(tmp_path, call_omf, tiny_base_model, tiny_model):
    photos = tmp_path / "photos"
    photos.mkdir()
    write_photo(photos / "nikon.jpg", *NIKON)
    Image.fromarray(random_rgb(41, 51)).save(photos / "plain.png")
    options = ("--device", "cpu", "--camera", "auto", "--format", "npz")
    raw = {}
    for out, words in {
        "noted": ("--neutral", "auto"),
        "equals": ("--neutral=auto",),
        "given": ("--neutral", 1 / RED, 1 / BLUE),
        "own": (),
    }.items():
        done = call_omf("predict", *words, photos, "-o", tmp_path / out, "--model", tiny_base_model, *options)
        assert done.returncode == 0, done.stderr
        told = "white balance: of the maker notes in 1 of 2 photos" in done.stderr
        assert told == (out in ("noted", "equals"))
        for name in ("nikon", "plain"):
            raw[out, name] = np.load(tmp_path / out / f"{name}.npz")["raw"].astype(int)
    assert (raw["noted", "nikon"] == raw["equals", "nikon"]).all()
    assert np.abs(raw["noted", "nikon"] - raw["given", "nikon"]).max() <= 16  # exiftool rounds to 6 digits
    assert (raw["noted", "nikon"] != raw["own", "nikon"]).any()
    assert (raw["noted", "plain"] == raw["own", "plain"]).all()
    unable = ("--model", tiny_model, "--neutral", "auto", "--device", "cpu")
    refused = call_omf("predict", photos, "-o", tmp_path / "x", *unable)
    assert refused.returncode == 1 and "has no use for a known neutral" in refused.stderr
