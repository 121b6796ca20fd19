import numpy as np
import pytest
from conftest import ROOT

from omf.camera import load_camera
from omf.challenge import list_packed, read_packed
from omf.evaluate import score_images, scores_table, summarise

CAMERA = load_camera("samsung_s7")
TRUTHS = list_packed(ROOT / "test_raw")


def test_means_and_images(tmp_path):
    names = ("hills", "night")
    for name in names:
        np.save(tmp_path / f"{name}.npy", read_packed(TRUTHS[name]) // 2)
    photos = {"hills": ROOT / "test_rgb" / "hills.jpg"}
    scores, problems = score_images(list_packed(tmp_path), TRUTHS, photos, CAMERA)
    summary = summarise(scores)
    assert problems == []
    assert list(summary["images"]) == ["hills", "night"]
    for key in ("psnr", "ssim"):
        assert summary[key] == pytest.approx(np.mean([scores[name][key] for name in names]))
    assert summary["baseline"]["psnr"] == scores["hills"]["baseline_psnr"]
    assert "baseline_psnr" not in scores["night"]
    table = scores_table(summary).splitlines()
    assert len(table) == 4
    assert table[-1].startswith("mean")


def test_what_can_not_be_scored_is_listed_and_the_rest_is_scored(tmp_path):
    np.save(tmp_path / "hills.npy", read_packed(TRUTHS["hills"]))
    np.save(tmp_path / "night.npy", read_packed(TRUTHS["night"])[1:])
    (tmp_path / "chart.npy").write_bytes(b"broken")
    np.save(tmp_path / "other.npy", np.zeros((2, 2, 4), np.uint16))
    scores, problems = score_images(list_packed(tmp_path), TRUTHS, {}, CAMERA)
    assert scores == {"hills": {"psnr": 999.0, "ssim": pytest.approx(1)}}
    assert len(problems) == 2
    assert "chart.npy: can't be read" in problems[0]
    assert "night.npy: packed (119, 160, 4), but its ground truth is (120, 160, 4)" in problems[1]


def test_nothing_scored_has_no_means():
    summary = summarise({})
    assert summary == {"psnr": None, "ssim": None, "baseline": {"psnr": None, "ssim": None}, "scored": 0, "images": {}}
