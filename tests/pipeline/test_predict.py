"""`predict` and the separate steps of the pipeline."""

import shutil

import numpy as np
import pytest
import torch
from conftest import ROOT

from omf.inference.fusion import Fusion
from omf.io.photos import map_by_name
from omf.io.raw_formats import RawFormat, Writer
from omf.models.checkpoints import load_networks
from omf.models.registry import find_model
from omf.pipeline.infer import infer
from omf.pipeline.manifest import write_folder_manifest
from omf.pipeline.mosaic import write_mosaics
from omf.pipeline.predict import predict
from omf.pipeline.preprocess import preprocess
from omf.raw.bayer import pack, to_challenge_counts
from omf.raw.camera import load_camera
from omf.utils.errors import InputError


@pytest.fixture
def fuse(tiny_model):
    oe, noe, _ = load_networks(find_model(str(tiny_model)))
    return Fusion(oe, noe, torch.device("cpu"))


def test_the_steps_and_predict_give_the_same_bytes(tmp_path, photo_folder, fuse):
    photos = sorted(photo_folder.iterdir())
    assert predict(photos, tmp_path / "direct", fuse) == []
    assert preprocess(photos, tmp_path / "decoded")["problems"] == []
    measured = infer(tmp_path / "decoded", tmp_path / "demosaiced", fuse)
    write_mosaics(
        tmp_path / "demosaiced",
        [Writer(tmp_path / "raw", RawFormat(), load_camera("samsung_s7"), "some_model", {})],
    )
    files = sorted(path.name for path in (tmp_path / "raw").glob("*.npy"))
    assert files == ["chart.npy", "hills.npy", "leaves_odd.npy", "night_tall.npy"]
    for name in files:
        assert (tmp_path / "raw" / name).read_bytes() == (tmp_path / "direct" / name).read_bytes()
        assert np.load(tmp_path / "raw" / name).shape == np.load(ROOT / "test_raw" / name).shape
    assert measured["images"] == 4
    assert measured["seconds"] > 0
    assert measured["megapixels"] == pytest.approx((2 * 240 * 320 + 203 * 301 + 320 * 180) / 1e6, abs=1e-4)


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
    assert measured["megapixels"] == pytest.approx((2 * 240 * 320 + 203 * 301) / 1e6, abs=1e-4)
    assert sorted(path.stem for path in (tmp_path / "demosaiced").glob("*.npy")) == [
        "chart",
        "hills",
        "leaves_odd",
    ]


def test_the_mosaic_of_the_output_of_infer(tmp_path):
    raw = np.random.default_rng(0).uniform(size=(5, 8, 3)).astype(np.float32)
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "a.npy", raw)
    write_folder_manifest(tmp_path / "in")
    write_mosaics(
        tmp_path / "in", [Writer(tmp_path / "out", RawFormat(), load_camera("samsung_s7"), "some_model", {})]
    )
    packed = np.load(tmp_path / "out" / "a.npy")
    assert packed.dtype == np.uint16
    assert (packed[..., 0] == to_challenge_counts(raw[0:4:2, 0::2, 0])).all()
    assert (packed[..., 3] == to_challenge_counts(raw[1:4:2, 1::2, 2])).all()
    assert packed.shape == pack(raw[:4, :, 0]).shape


def test_bad_photos_are_listed_and_the_rest_is_processed(tmp_path, photo_folder, fuse):
    (photo_folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (photo_folder / "holiday.heic").write_bytes(b"....ftypheic")
    shutil.copy(photo_folder / "chart.png", photo_folder / "hills.png")
    photos = sorted(photo_folder.iterdir())
    problems = predict(photos, tmp_path / "out", fuse)
    assert problems == preprocess(photos, tmp_path / "decoded")["problems"]
    assert len(problems) == 4
    assert (
        "hills.jpg: would become hills.npy, and so would another picture (hills.png); rename one"
        in problems[0]
    )
    assert [line.split(":")[0].split("/")[-1] for line in problems] == [
        "hills.jpg",
        "hills.png",
        "broken.jpg",
        "holiday.heic",
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "chart.npy",
        "leaves_odd.npy",
        "night_tall.npy",
    ]


def test_names(tmp_path):
    named, problems = map_by_name([tmp_path / "a.b.jpg", tmp_path / "a.png"])
    assert named.keys() == {"a.b", "a"}
    assert problems == []


def test_a_failed_write_leaves_nothing(tmp_path, photo_folder):
    class Fails:
        pixels_per_batch = 1

        def packed(self, pictures):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError):
        predict(sorted(photo_folder.iterdir()), tmp_path / "out", Fails())
    assert not list(tmp_path.glob("out/*"))
