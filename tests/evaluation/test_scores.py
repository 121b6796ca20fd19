import csv
import io
import json

import imageio.v3 as iio
import numpy as np
import pytest
from conftest import ROOT, random_rgb

from omf.evaluation.metrics import psnr
from omf.evaluation.scores import (
    FULL_REFERENCE_METRICS,
    Item,
    match_items,
    packed_mask,
    score_all,
    score_image,
    scores_csv,
    scores_table,
    summarise,
)
from omf.io.images import read_rgb
from omf.io.packed import list_packed, read_packed
from omf.raw.bayer import from_challenge_counts, to_challenge_format
from omf.raw.camera import load_camera
from omf.raw.isp import EXTRA_CURVES

CAMERA = load_camera("samsung_s7")
GROUND_TRUTH = list_packed(ROOT / "test_raw")
COFFEE = GROUND_TRUTH["coffee"]
PHOTO = ROOT / "test_rgb" / "coffee.jpg"


def test_means_and_images(tmp_path):
    names = ("coffee", "night")
    for name in names:
        np.save(tmp_path / f"{name}.npy", read_packed(GROUND_TRUTH[name]) // 2)
    items = match_items(list_packed(tmp_path), GROUND_TRUTH, {"coffee": PHOTO})
    records, problems = score_all(items, CAMERA, 1)
    scores = summarise(records)
    assert problems == [] and scores["scored"] == 2
    assert list(scores["images"]) == ["coffee", "night"]
    for key in ("psnr", "ssim", "ms_ssim", "colour_error"):
        assert scores["mean"][key] == pytest.approx(np.mean([records[name][key] for name in names]))
    assert scores["mean"]["unprocess_psnr"] == records["coffee"]["unprocess_psnr"]
    assert "unprocess_psnr" not in records["night"]
    assert scores["simulated"] == 2  # the samples are
    assert json.loads(json.dumps(scores)) == scores
    heading, *table = (line.split() for line in scores_table(scores).splitlines())
    assert heading == ["image", "PSNR", "SSIM", "unprocess", "PSNR", "SSIM"]
    assert [(row[0], len(row)) for row in table] == [("coffee", 5), ("night", 3), ("mean", 5)]
    assert [float(value) for value in table[0][1:4:2]] == pytest.approx(
        [records["coffee"][key] for key in ("psnr", "unprocess_psnr")], abs=0.005
    )
    rows = list(csv.DictReader(io.StringIO(scores_csv(scores))))
    assert [row["name"] for row in rows] == ["coffee", "night"]
    assert float(rows[1]["psnr"]) == records["night"]["psnr"] and rows[1]["unprocess_psnr"] == ""


def test_overexposed_pixels_and_the_rest(tmp_path):
    """The mean squared error is the weighted mean over both parts, and the mean over the planes."""
    rgb = random_rgb(80, 121)
    iio.imwrite(tmp_path / "x.png", rgb)
    truth = to_challenge_format((rgb / np.float32(510)).astype(np.float32))
    np.save(tmp_path / "truth.npy", truth)
    np.save(tmp_path / "x.npy", np.where(packed_mask(rgb), truth // 2, truth + 20).astype(np.uint16))
    item = Item("x", tmp_path / "x.npy", tmp_path / "truth.npy", tmp_path / "x.png")
    record, problems = score_image(item, CAMERA)
    assert problems == []
    share = packed_mask(rgb).mean()
    assert 0.01 < share < 0.9

    error = {key: 10 ** (-record[key] / 10) for key in record if key.startswith("psnr")}
    assert record["psnr_overexposed"] < record["psnr"] < record["psnr_rest"]
    assert error["psnr_rest"] == pytest.approx((20 / 1024) ** 2)
    weighted = share * error["psnr_overexposed"] + (1 - share) * error["psnr_rest"]
    assert weighted == pytest.approx(error["psnr"])
    planes = [error[f"psnr_{plane}"] for plane in ("r", "gr", "gb", "b")]
    assert np.mean(planes) == pytest.approx(error["psnr"])
    assert set(FULL_REFERENCE_METRICS) <= record.keys()
    assert sum(record["tones"]["pixels"]) == truth[..., 0].size


def test_tones_are_means_of_green_at_levels_of_the_photo(tmp_path):
    """In the left half of the photo green is 16, in the right half 255; both greens of the RAW count."""
    rgb = np.full((64, 96, 3), (200, 16, 100), np.uint8)
    rgb[:, 48:, 1] = 255
    iio.imwrite(tmp_path / "x.png", rgb)
    raw = np.full((32, 48, 4), (1000, 100, 104, 900), np.uint16)
    raw[:, 24:, 1:3] = 600, 900
    for name, packed in (("x", raw), ("truth", raw // 2)):
        np.save(tmp_path / f"{name}.npy", packed)
    item = Item("x", tmp_path / "x.npy", tmp_path / "truth.npy", tmp_path / "x.png")
    record, _ = score_image(item, CAMERA)
    for key, factor in (("tones", 1), ("true_tones", 0.5)):
        pixels, means = np.zeros(32), np.zeros(32)
        pixels[[2, 31]], means[[2, 31]] = 32 * 24, (102 / 1024, 750 / 1024)
        assert record[key]["pixels"] == pixels.tolist()
        np.testing.assert_allclose(record[key]["raw"], factor * means, atol=5e-5)
    assert record["psnr_overexposed"] is None and record["psnr_rest"] == pytest.approx(record["psnr"])
    assert record["simulated"] is False and summarise({"x": record})["simulated"] == 0


@pytest.mark.parametrize("curve", [0, 1])
def test_a_photo_is_scored_without_its_extra_curve(tmp_path, curve):
    changed = 255 * EXTRA_CURVES[curve](read_rgb(PHOTO) / 255)
    iio.imwrite(tmp_path / "x.png", np.rint(changed).astype(np.uint8))
    photos = {"given": tmp_path / "x.png", "plain": PHOTO}
    items = match_items(dict.fromkeys(photos, COFFEE), {}, photos, curves={"given": curve})
    given, plain = (np.array(score_image(item, CAMERA)[0]["tones"]["raw"]) for item in items)
    np.testing.assert_allclose(given, plain, atol=0.03)


def test_the_copy_baseline_is_the_photo_itself():
    record, _ = score_image(Item("coffee", COFFEE, COFFEE, PHOTO), CAMERA)
    copy = from_challenge_counts(to_challenge_format(read_rgb(PHOTO) / np.float32(255)))
    assert record["copy_psnr"] == pytest.approx(psnr(copy, from_challenge_counts(read_packed(COFFEE))))
    assert record["psnr"] == 999


def test_without_ground_truth_there_is_only_consistency():
    record, problems = score_image(Item("coffee", COFFEE, None, PHOTO), CAMERA)
    assert problems == [] and record["consistency_psnr"] > 20 and "psnr" not in record
    scores = summarise({"coffee": record})
    assert scores["scored"] == scores["simulated"] == 0 and scores["mean"]["psnr"] is None
    scores = summarise({})
    assert (scores["scored"], scores["images"]) == (0, {})
    assert all(value is None for value in scores["mean"].values())


def test_unusable_files_are_listed_and_the_others_are_scored(tmp_path):
    np.save(tmp_path / "coffee.npy", read_packed(GROUND_TRUTH["coffee"]))
    np.save(tmp_path / "night.npy", read_packed(GROUND_TRUTH["night"])[1:])
    np.save(tmp_path / "chelsea.npy", read_packed(GROUND_TRUTH["chelsea"]).astype(np.float32))
    (tmp_path / "chart.npy").write_bytes(b"broken")
    np.save(tmp_path / "other.npy", np.zeros((2, 2, 4), np.uint16))
    records, problems = score_all(match_items(list_packed(tmp_path), GROUND_TRUTH, {}), CAMERA, 1)
    assert list(records) == ["coffee"]
    assert records["coffee"]["psnr"] == 999 and records["coffee"]["ssim"] == pytest.approx(1)
    lines = ("chart.npy: can't be read", "chelsea.npy: float32", "night.npy: packed (119, 160, 4), but its")
    assert all(line in problem for line, problem in zip(lines, problems, strict=True))
    assert "its ground truth is (120, 160, 4)" in problems[2]


def test_a_photo_of_another_size_costs_only_its_own_scores():
    item = Item("coffee", COFFEE, COFFEE, PHOTO.with_name("night_tall.tif"))
    record, (problem,) = score_image(item, CAMERA)
    assert record["psnr"] == 999 and "overexposed" not in record
    line = "180 x 320 pixels, but coffee.npy is 296 x 196; give the photo that it was made from"
    assert f"night_tall.tif: {line}" in problem


def test_processes_do_not_change_the_result():
    photos = {name: ROOT / "test_rgb" / f"{name}.jpg" for name in ("coffee", "chelsea", "astronaut")}
    items = match_items(GROUND_TRUTH, GROUND_TRUTH, photos)
    assert score_all(items, CAMERA, 3) == score_all(items, CAMERA, 1)
