"""White balance from maker notes, by exiftool and by exiv2."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import ROOT

from omf.io import maker_notes
from omf.io.cameras import camera_of_photo, find_camera, noted_neutral
from omf.io.maker_notes import GainReader
from omf.raw.camera_colours import neutral_under, white_of
from omf.utils.errors import InputError

pytest.importorskip("exiv2")
pytest.importorskip("rawpy")
from maker_note_photos import write_photo

NIKON = {"Exif.Nikon3.WB_RBLevels": "458/256 379/256 256/256 256/256"}
NOTES = {  # maker, model, maker note: gains of red and blue
    "nikon": ("NIKON CORPORATION", "NIKON D750", NIKON, (458 / 256, 379 / 256)),
    "olympus": (
        "OLYMPUS IMAGING CORP.",
        "E-M5",
        {"Exif.OlympusIp.WB_RBLevels": "532 414"},
        (532 / 256, 414 / 256),
    ),
    "panasonic": (
        "Panasonic",
        "DMC-GH4",
        {
            "Exif.Panasonic.WBRedLevel": "1900",
            "Exif.Panasonic.WBGreenLevel": "1054",
            "Exif.Panasonic.WBBlueLevel": "2074",
        },
        (1900 / 1054, 2074 / 1054),
    ),
}


@pytest.fixture(params=["exiftool", "exiv2"])
def reader(request, monkeypatch):
    """Yield a reader of each kind."""
    if request.param == "exiv2":
        monkeypatch.setattr(maker_notes, "EXIFTOOL", ("no such program",))
    elif shutil.which("exiftool") is None:
        pytest.skip("needs exiftool (Debian: apt install libimage-exiftool-perl)")
    with GainReader() as gains:
        yield gains


@pytest.mark.parametrize("kind", NOTES)
def test_gains(tmp_path, reader, kind):
    maker, model, notes, expected = NOTES[kind]
    gains = reader(write_photo(tmp_path / f"-{kind}.jpg", maker, model, notes))
    assert gains == pytest.approx(expected, rel=2e-3)


def test_photos_without_gains_or_with_absurd_ones(tmp_path, reader):
    absurd = {"Exif.Nikon3.WB_RBLevels": "22977/256 451/256 256/256 256/256"}
    maker, model, *_ = NOTES["nikon"]
    (tmp_path / "damaged.jpg").write_bytes(b"\xff\xd8\xff\xe1")
    (tmp_path / "a\nb.jpg").write_bytes(write_photo(tmp_path / "x.jpg", maker, model, NIKON).read_bytes())
    for photo in (
        write_photo(tmp_path / "absurd.jpg", maker, model, absurd),
        write_photo(tmp_path / "none.jpg", maker, model, {}),
        ROOT / "test_rgb" / "chart.png",
        tmp_path / "damaged.jpg",
        tmp_path / "absent.jpg",
    ):
        assert reader(photo) is None
    assert reader(tmp_path / "x.jpg") is not None  # it goes on


def test_threads_share_a_reader(tmp_path, reader):
    maker, model, *_ = NOTES["nikon"]
    photos = []
    for number in range(12):
        notes = {"Exif.Nikon3.WB_RBLevels": f"{300 + 10 * number}/256 379/256 256/256 256/256"}
        photos.append(write_photo(tmp_path / f"{number}.jpg", maker, model, notes))
    with ThreadPoolExecutor(4) as pool:
        red = [gains[0] for gains in pool.map(reader, photos)]
    assert red == pytest.approx([(300 + 10 * number) / 256 for number in range(12)], rel=2e-3)


def test_a_reader_whose_program_has_ended_reads_nothing(tmp_path):
    if shutil.which("exiftool") is None:
        pytest.skip("needs exiftool")
    photo = write_photo(tmp_path / "a.jpg", *NOTES["nikon"][:3])
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
    maker, model, notes, (red, blue) = NOTES["nikon"]
    photo = write_photo(tmp_path / "a.jpg", maker, model, notes)
    own = camera_of_photo(photo)
    assert noted_neutral(photo, own, reader) == pytest.approx((1 / red, 1 / blue), rel=2e-3)
    s7 = find_camera("samsung_s7")
    expected = neutral_under(s7, white_of(own, np.array([1 / red, 1, 1 / blue])))
    assert noted_neutral(photo, s7, reader) == pytest.approx(expected[[0, 2]], rel=5e-3)
    unknown = write_photo(tmp_path / "b.jpg", maker, "NIKON D75", notes)
    assert noted_neutral(unknown, s7, reader) is None


def test_the_commands(tmp_path, call_omf, tiny_base_model, tiny_model):
    photos = tmp_path / "photos"
    photos.mkdir()
    write_photo(photos / "nikon.jpg", *NOTES["nikon"][:3])
    shutil.copy(ROOT / "test_rgb" / "leaves_odd.jpg", photos)
    options = ("--model", tiny_base_model, "--device", "cpu", "--camera", "auto", "--format", "npz")

    def predict(out: str, *more: object) -> subprocess.CompletedProcess:
        return call_omf("predict", *more, photos, "-o", tmp_path / out, *options)

    for out, words in {"noted": ("--neutral", "auto"), "equals": ("--neutral=auto",)}.items():
        result = predict(out, *words)
        assert result.returncode == 0, result.stderr
        assert "white balance: of the maker notes in 1 of 2 photos" in result.stderr
    _, _, _, (red, blue) = NOTES["nikon"]
    predict("given", "--neutral", 1 / red, 1 / blue)
    predict("own")
    raw = {
        (out, name): np.load(tmp_path / out / f"{name}.npz")["raw"].astype(int)
        for out in ("noted", "equals", "given", "own")
        for name in ("nikon", "leaves_odd")
    }
    assert (raw["noted", "nikon"] == raw["equals", "nikon"]).all()
    assert np.abs(raw["noted", "nikon"] - raw["given", "nikon"]).max() <= 16  # exiftool rounds to 6 digits
    assert (raw["noted", "nikon"] != raw["own", "nikon"]).any()
    assert (raw["noted", "leaves_odd"] == raw["own", "leaves_odd"]).all()
    refused = call_omf(
        "predict", photos, "-o", tmp_path / "x", "--model", tiny_model, "--neutral", "auto", "--device", "cpu"
    )
    assert refused.returncode == 1 and "has no use for a known neutral" in refused.stderr
