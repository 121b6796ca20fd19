import base64
import json
import re
import xml.etree.ElementTree as ElementTree
from datetime import datetime

import numpy as np
import pytest
from conftest import ROOT

from omf.evaluation.scores import match_items, score_all, summarise
from omf.io.packed import list_packed, read_packed
from omf.raw.camera import load_camera
from omf.report.page import Example, drawn, examples, files, page
from omf.report.panels import MAX_PANEL_SIDE, error_map, fitted, panels, strip
from omf.report.summary import run_summary, step_seconds

CAMERA = load_camera("samsung_s7")
TRUTHS = list_packed(ROOT / "test_raw")
PHOTOS = {path.stem: path for path in (ROOT / "test_rgb").iterdir()}
MOST_BYTES = 15_000_000


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> dict:
    """Of reconstructions that are half of the truth."""
    folder = tmp_path_factory.mktemp("raw")
    for name in TRUTHS:
        np.save(folder / f"{name}.npy", read_packed(TRUTHS[name]) // 2)
    return score_all(match_items(list_packed(folder), TRUTHS, PHOTOS), CAMERA, 1)[0]


def without_truth(records: dict) -> dict:
    kept = ("raw", "photo", "white_level", "consistency_psnr", "overexposed", "clipped", "warnings", "tones")
    return {name: {key: record[key] for key in kept} for name, record in records.items()}


def page_of(records: dict, problems=(), shown=None, seconds=None) -> str:
    timing = {"images": len(records), "seconds": 4.0, "megapixels": 1.0, "device": "CPU, 2 threads"}
    scores = summarise(records)
    summary = run_summary("some_model", "samsung_s7", timing, scores, list(problems))
    shown = examples(records) if shown is None else shown
    return page(
        summary, scores, shown, drawn(records, seconds or {"infer": 3.0, "mosaic": 1.0}), datetime(2026, 1, 2)
    )


def rows_of(html: str) -> list:
    return json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL)[1])["rows"]


def test_images_too_small_for_a_tone_curve(records):
    few = {
        name: record | {"tones": {"raw": [0.5] * 32, "pixels": [2] * 32}} for name, record in records.items()
    }
    assert "Tones" in drawn(records, {})
    assert "Tones" not in drawn(few, {})
    one = dict(list(records.items())[:1])
    assert "Tones" in drawn(few | one, {})


def test_worst_median_and_best_each_image_once(records):
    groups = {heading: [one.name for one in group] for heading, group in examples(records).items()}
    ordered = sorted(records, key=lambda name: records[name]["psnr"])
    assert groups == {"Worst": ordered[:3], "Median": ordered[4:7], "Best": ordered[::-1][:3]}
    for count in range(1, 9):
        few = {name: records[name] for name in ordered[:count]}
        names = [one.name for group in examples(few).values() for one in group]
        assert len(names) == len(set(names)) == min(count, 9)
    assert examples({}) == {}


def test_panels_with_ground_truth_and_without(records):
    shown = panels(records["hills"])
    assert list(shown) == ["sRGB photo", "overexposed", "predicted RAW", "true RAW", "error"]
    assert len({picture.shape for picture in shown.values()}) == 1
    assert strip(list(shown.values())).shape == (120, 5 * 160 + 4 * 4, 3)
    assert (shown["true RAW"].astype(int) >= shown["predicted RAW"]).all()
    assert list(panels(without_truth(records)["hills"])) == [
        "sRGB photo",
        "overexposed",
        "predicted RAW",
        "rendered like the photo",
        "difference",
    ]
    alone = {key: value for key, value in records["hills"].items() if key in ("raw", "truth", "white_level")}
    assert list(panels(alone)) == ["predicted RAW", "true RAW", "error"]


def test_error_maps_have_one_scale():
    colours = error_map(np.array([[0, 0.1, 0.2, 0.9]]))
    assert (colours[0, 2] == colours[0, 3]).all()
    assert len({tuple(colour) for colour in colours[0]}) == 3


def test_large_pictures_are_reduced():
    assert max(fitted(np.zeros((3000, 2001, 3), np.uint8)).shape) <= MAX_PANEL_SIDE


def test_the_page_says_what_there_is(records):
    html = page_of(records, problems=["broken.jpg: no picture"])
    for text in (
        "some_model",
        "CPU, 2 threads",
        "SenseBrains",
        "broken.jpg: no picture",
        "Worst image",
        "Median image",
        "Best image",
        "unprocess",
    ):
        assert text in html
    assert len(rows_of(html)) == 12
    assert html.count('class="open"') == 9 * 5 + 5
    bare = page_of(without_truth(records))
    assert "There is no ground truth" in bare
    assert "SenseBrains" not in bare
    assert "http" not in html.replace("http-equiv", "")


def test_plots_are_whole_svgs_without_a_colour_of_their_own_for_text(records):
    for some in (records, without_truth(records), {"hills": records["hills"]}):
        for svg, text in drawn(some, {"infer": 1.0}).values():
            root = ElementTree.fromstring(svg)
            assert root.tag.endswith("svg")
            assert "currentColor" in svg
            assert "#010203" not in svg
            assert text


def test_file_names_are_shown_and_not_run(records):
    name = "</script><script>alert(1)</script>\"'<b>&"
    hostile = {name: records["hills"] | {"warnings": [f"remark {name}"]}}
    html = page_of(hostile, problems=[f"{name}.jpg: broken"])
    assert "<script>alert" not in html
    assert "<b>&" not in html
    assert rows_of(html)[0][0] == name


def test_ten_thousand_images_stay_under_15_megabytes(records):
    """With pictures that compress badly, and names as long as they come."""
    rng = np.random.default_rng(0)
    noise = {
        caption: rng.integers(0, 256, (MAX_PANEL_SIDE, MAX_PANEL_SIDE, 3), np.uint8)
        for caption in panels(records["hills"])
    }
    shown = {heading: [Example("x" * 100, "", noise)] * 3 for heading in ("Worst", "Median", "Best")}
    many = {f"image_{number:06d}_{'x' * 60}": records["hills"] for number in range(10_000)}
    html = page_of(many, shown=shown)
    assert len(rows_of(html)) == 10_000
    assert len(html.encode()) < MOST_BYTES


def test_one_image_will_do(records):
    html = page_of({"hills": records["hills"]})
    assert "1 image, sRGB to RAW" in html
    assert html.count('aria-label="hills"') == 1


def test_the_pictures_as_files(records):
    found = files(examples(records), drawn(records, {"infer": 1.0}))
    assert sorted(name for name in found if name.endswith(".jpg")) == sorted(
        f"images_{heading}_{rank}.jpg" for heading in ("worst", "median", "best") for rank in (1, 2, 3)
    )
    assert {name for name in found if name.endswith(".svg")} == {
        f"plot_{title}.svg" for title in ("distribution", "overexposure", "bayer_planes", "tones", "time")
    }
    assert all(content.startswith((b"\xff\xd8", b"<?xml")) for content in found.values())


def test_stages_from_tables(tmp_path):
    for path, seconds in (
        ("infer/a.tsv", 1.5),
        ("infer/b.tsv", 2),
        ("infer/of_an_earlier_run.tsv", 9),
        ("mosaic/a.tsv", 4),
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(f"s\th:m:s\n{seconds}\t0:00:01\n")
    assert step_seconds(tmp_path, ["a", "b"]) == {"infer": 3.5, "mosaic": 4}
    assert step_seconds(tmp_path / "nothing", ["a"]) == {}


def test_pictures_in_the_page_are_the_pictures(records):
    from io import BytesIO

    import imageio.v3 as iio

    one = Example("hills", "", panels(records["hills"]))
    html = page_of({"hills": records["hills"]}, shown={"Worst": [one]})
    uri = re.search(r'<img src="data:image/jpeg;base64,([^"]+)"[^>]* alt="predicted RAW of hills"', html)[1]
    picture = iio.imread(BytesIO(base64.b64decode(uri)))
    assert np.abs(picture.astype(int) - one.pictures["predicted RAW"]).mean() < 4
