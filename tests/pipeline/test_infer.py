"""`infer` after `preprocess`, with an image that can't be reconstructed."""

import pytest
import torch

from omf.inference.fusion import Fusion
from omf.models.checkpoints import load_networks
from omf.models.registry import find_model
from omf.pipeline.infer import infer
from omf.pipeline.preprocess import preprocess
from omf.utils.errors import InputError


def test_a_failed_image_does_not_affect_its_shard(tmp_path, photo_folder, tiny_model, monkeypatch):
    oe, noe, *_ = load_networks(find_model(str(tiny_model)))
    fuse = Fusion(oe, noe, torch.device("cpu"))
    demosaiced = fuse.demosaiced

    def fail_for_tall_images(pictures):
        if pictures[0][1].shape == (320, 180):
            raise InputError("not enough memory for it")
        return demosaiced(pictures)

    monkeypatch.setattr(fuse, "demosaiced", fail_for_tall_images)
    assert preprocess(sorted(photo_folder.iterdir()), tmp_path / "decoded")["problems"] == []
    measured = infer(tmp_path / "decoded", tmp_path / "demosaiced", fuse)
    assert measured["problems"] == ["night_tall: not enough memory for it"]
    assert measured["images"] == 3 and measured["seconds"] > 0
    assert measured["megapixels"] == pytest.approx((240 * 320 + 196 * 296 + 203 * 301) / 1e6, abs=1e-4)
    names = sorted(path.name for path in (tmp_path / "demosaiced").glob("[!.]*"))
    assert names == ["chart.tif", "coffee.tif", "leaves_odd.tif"]
