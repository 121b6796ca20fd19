"""`predict` and the separate steps of the pipeline."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT

from omf.inference.fusion import Fusion
from omf.io import raw_formats
from omf.io.raw_formats import RawFormat, Writer
from omf.models.checkpoints import load_networks
from omf.models.registry import find_model
from omf.pipeline.infer import infer
from omf.pipeline.mosaic import write_mosaics
from omf.pipeline.predict import predict
from omf.pipeline.preprocess import preprocess
from omf.raw.camera import load_camera
from omf.utils.errors import InputError


@pytest.fixture
def fuse(tiny_model):
    oe, noe, *_ = load_networks(find_model(str(tiny_model)))
    return Fusion(oe, noe, torch.device("cpu"))


def writer(folder: Path, kind: str = "npy") -> Writer:
    return Writer(folder, RawFormat(kind), load_camera("samsung_s7"), "some_model")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("[!.]*"))


def test_the_steps_and_predict_give_the_same_bytes(tmp_path, photo_folder, fuse, monkeypatch):
    photos = {photo.stem: photo for photo in sorted(photo_folder.iterdir())}
    assert preprocess(photos.values(), tmp_path / "decoded")["problems"] == []
    measured = infer(tmp_path / "decoded", tmp_path / "demosaiced", fuse)
    writers = [writer(tmp_path / kind, kind) for kind in ("npy", "dng")]
    assert write_mosaics(tmp_path / "demosaiced", writers, photos) == []
    monkeypatch.setattr(raw_formats, "read_rgb", None)  # each photo is decoded once
    for kind in ("npy", "dng"):
        assert predict(photos.values(), fuse, writer(tmp_path / "direct", kind)) == []
        for name in photos:
            direct, stepwise = (tmp_path / folder / f"{name}.{kind}" for folder in ("direct", kind))
            assert direct.read_bytes() == stepwise.read_bytes()
    assert names_in(tmp_path / "npy") == ["chart.npy", "coffee.npy", "leaves_odd.npy", "night_tall.npy"]
    for name in names_in(tmp_path / "npy"):
        assert np.load(tmp_path / "npy" / name).shape == np.load(ROOT / "test_raw" / name).shape
    assert measured["images"] == 4
    assert measured["seconds"] > 0
    assert measured["megapixels"] == pytest.approx(
        (240 * 320 + 196 * 296 + 203 * 301 + 320 * 180) / 1e6, abs=1e-4
    )


def test_a_failed_image_does_not_affect_its_shard(tmp_path, photo_folder, fuse, monkeypatch):
    preprocess(sorted(photo_folder.iterdir()), tmp_path / "decoded")
    demosaiced = fuse.demosaiced

    def fail_for_tall_images(pictures):
        if pictures[0][1].shape == (320, 180):
            raise InputError("not enough memory for it")
        return demosaiced(pictures)

    monkeypatch.setattr(fuse, "demosaiced", fail_for_tall_images)
    measured = infer(tmp_path / "decoded", tmp_path / "demosaiced", fuse)
    assert measured["problems"] == ["night_tall: not enough memory for it"]
    assert measured["images"] == 3
    assert measured["megapixels"] == pytest.approx((240 * 320 + 196 * 296 + 203 * 301) / 1e6, abs=1e-4)
    assert names_in(tmp_path / "demosaiced") == ["chart.tif", "coffee.tif", "leaves_odd.tif"]


def test_bad_photos_are_listed_and_the_rest_is_processed(tmp_path, photo_folder, fuse):
    (photo_folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (photo_folder / "holiday.heic").write_bytes(b"....ftypheic")
    shutil.copy(photo_folder / "chart.png", photo_folder / "coffee.png")
    shutil.copy(photo_folder / "chart.png", photo_folder / "chart.b.png")  # has a name of its own
    photos = sorted(photo_folder.iterdir())
    problems = predict(photos, fuse, writer(tmp_path / "out"))
    assert problems == preprocess(photos, tmp_path / "decoded")["problems"]
    clash = "coffee.jpg: would become coffee.npy, and so would another picture (coffee.png); rename one"
    assert problems[0].endswith(clash)
    assert [Path(line.partition(":")[0]).name for line in problems] == [
        *("coffee.jpg", "coffee.png", "broken.jpg", "holiday.heic")
    ]
    assert names_in(tmp_path / "out") == ["chart.b.npy", "chart.npy", "leaves_odd.npy", "night_tall.npy"]
