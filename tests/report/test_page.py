import base64
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from datetime import datetime
from itertools import chain

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from omf.evaluation.scores import match_items, score_all, summarise
from omf.io.packed import list_packed, read_packed
from omf.io.photos import list_images
from omf.raw.camera import load_camera
from omf.report.page import (
    Example,
    draw_plots,
    image_files,
    rank_images,
    render_page,
    select_examples,
    write_report,
)
from omf.report.panels import (
    MAX_COMPARED_SIDE,
    MAX_PANEL_SIDE,
    MAX_THUMBNAILS,
    THUMBNAIL_QUALITY,
    THUMBNAIL_SIDE,
    Thumbnail,
    error_map,
    jpeg_bytes,
    make_comparison,
    make_panels,
    make_thumbnails,
    shrink_to_fit,
    strip,
)
from omf.report.summary import run_summary

CAMERA = load_camera("samsung_s7")
GROUND_TRUTH = list_packed(ROOT / "test_raw")
PHOTOS = {path.stem: path for path in list_images(ROOT / "test_rgb")}
MAX_BYTES = 15_000_000


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> dict:
    """Return the records of reconstructions that are half the ground truth."""
    folder = tmp_path_factory.mktemp("raw")
    for name in GROUND_TRUTH:
        np.save(folder / f"{name}.npy", read_packed(GROUND_TRUTH[name]) // 2)
    return score_all(match_items(list_packed(folder), GROUND_TRUTH, PHOTOS), CAMERA, 1)[0]


def without_truth(records: dict) -> dict:
    kept = ("raw", "photo", "white_level", "consistency_psnr", "overexposed", "clipped", "warnings", "tones")
    return {name: {key: record[key] for key in kept} for name, record in records.items()}


def html_of(records: dict, problems=(), examples=None, thumbnails=None) -> str:
    timing = {"images": len(records), "seconds": 4.0, "megapixels": 1.0, "device": "CPU, 2 threads"}
    scores = summarise(records)
    summary = run_summary("some_model", "samsung_s7", timing, scores, list(problems))
    examples = select_examples(records) if examples is None else examples
    thumbnails = make_thumbnails(records, rank_images(records)) if thumbnails is None else thumbnails
    figures = draw_plots(records, {"infer": 3.0, "mosaic": 1.0})
    return render_page(summary, scores, examples, thumbnails, figures, datetime(2026, 1, 2))


@pytest.fixture(scope="module")
def html(records) -> str:
    """Return the page of all images, with a problem."""
    return html_of(records, problems=["broken.jpg: not an image"])


def rows_of(html: str) -> list:
    return json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL)[1])["rows"]


def test_published_results_stand_beside_real_references_only(records, html):
    assert "NOAHTCV" not in html
    assert "12 with simulated ground truth" in html and "which flatters models" in html
    name = next(iter(records))
    real = html_of(records | {name: records[name] | {"simulated": False}})
    assert "NOAHTCV" in real
    assert "12 with ground truth" in real and "which flatters models" not in real


def test_images_too_small_for_a_tone_curve(records):
    tones = {"tones": {"raw": [0.5] * 32, "pixels": [2] * 32}}
    few = {name: record | tones for name, record in records.items()}
    assert "Tones" in draw_plots(records, {})
    assert "Tones" not in draw_plots(few, {})
    assert "Tones" in draw_plots(few | {"coffee": records["coffee"]}, {})


def names_of(records: dict) -> dict[str, list[str]]:
    """Return the names of the examples by heading."""
    examples = select_examples(records)
    return {heading: [example.name for example in group] for heading, group in examples.items()}


def test_worst_median_and_best_each_image_once(records):
    ordered = sorted(records, key=lambda name: records[name]["psnr"])
    assert names_of(records) == {"Worst": ordered[:3], "Median": ordered[4:7], "Best": ordered[::-1][:3]}
    for count in range(9):
        names = [*chain(*names_of({name: records[name] for name in ordered[:count]}).values())]
        assert len(names) == len(set(names)) == count


def test_panels_with_ground_truth_and_without(records):
    panels = make_panels(records["coffee"])
    assert list(panels) == ["sRGB photo", "overexposed", "predicted RAW", "true RAW", "error"]
    assert len({panel.shape for panel in panels.values()}) == 1
    assert strip(list(panels.values())).shape == (98, 5 * 148 + 4 * 4, 3)
    assert (panels["true RAW"].astype(int) >= panels["predicted RAW"]).all()
    captions = ["sRGB photo", "overexposed", "predicted RAW", "rendered to match the photo", "difference"]
    assert list(make_panels(without_truth(records)["coffee"])) == captions
    kept = {key: value for key, value in records["coffee"].items() if key in ("raw", "truth", "white_level")}
    assert list(make_panels(kept)) == ["predicted RAW", "true RAW", "error"]


def test_the_worst_image_has_a_slider_between_photo_and_raw(records):
    examples = [example for group in select_examples(records).values() for example in group]
    assert [example.name for example in examples if example.comparison] == rank_images(records)[:1]
    photo, raw = make_comparison(records["coffee"]).values()
    stored = np.asarray(Image.open(PHOTOS["coffee"]))
    np.testing.assert_array_equal(photo, stored)  # at full resolution
    assert raw.shape == photo.shape
    assert (raw != photo).any()
    assert raw.mean() == pytest.approx(photo.mean(), abs=1)  # half the light, rendered to match the photo
    assert np.corrcoef(raw.ravel(), photo.ravel())[0, 1] > 0.95
    assert make_comparison({"raw": records["coffee"]["raw"], "white_level": 1024}) == {}


def test_large_photos_are_compared_at_a_smaller_size(tmp_path):
    rgb = np.zeros((2 * MAX_COMPARED_SIDE + 3, 400, 3), np.uint8)
    rgb[:, 200:] = 200
    Image.fromarray(rgb).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", np.full((rgb.shape[0] // 2, 200, 4), 300, np.uint16))
    record = {"raw": str(tmp_path / "a.npy"), "photo": str(tmp_path / "a.png"), "white_level": 1024}
    photo, raw = make_comparison(record).values()
    assert photo.shape == raw.shape == (MAX_COMPARED_SIDE // 2, 100, 3)


def links_of(html: str) -> list[tuple[str, str, str]]:
    """Return name, target and score of the thumbnails."""
    grid = re.search(r'<ul class="thumbnails">(.*?)</ul>', html, re.DOTALL)[1]
    return re.findall(r'<li><a title="(.*?)" href="(.*?)".*?<span class="soft">(.*?)</span></a></li>', grid)


def test_all_images_have_a_thumbnail_with_score_and_link(records, html):
    names, targets, scores = zip(*links_of(html))
    assert list(names) == rank_images(records) and len(set(names)) == 12
    assert list(scores) == [f"PSNR {records[name]['psnr']:.2f} dB" for name in names]
    assert len(set(targets)) == 10 and targets.count("#all") == 3  # all others have panels
    assert all(html.count(f'id="{target[1:]}"') == 1 for target in targets)
    for name, target in zip(names, targets):
        if target != "#all":
            assert re.search(rf'<section id="{target[1:]}" aria-label="{name}">', html)
    bare = links_of(html_of(without_truth(records)))
    assert [score for _, _, score in bare] == sorted(
        f"consistency {record['consistency_psnr']:.2f} dB" for record in records.values()
    )


def test_500_thumbnails_at_most_the_lowest_scores_first(records, html, monkeypatch):
    monkeypatch.setattr("omf.report.panels.make_thumbnail", lambda record: Thumbnail())
    many = {f"image_{number:03d}": records["coffee"] | {"psnr": 700 - number} for number in range(600)}
    page = html_of(many)
    assert [name for name, _, _ in links_of(page)] == [f"image_{number:03d}" for number in range(599, 99, -1)]
    assert "the first 500 of 600 images, the other 100 are only in the table" in page
    assert "only in the table" not in html


def test_images_without_the_score_come_last(records):
    unscored = {key: value for key, value in records["coffee"].items() if key != "psnr"}
    links = links_of(html_of({"a": unscored, "b": records["night"]}))
    assert [(name, score.split()[0]) for name, _, score in links] == [("b", "PSNR"), ("a", "consistency")]


def test_thumbnails_show_the_photo_or_the_raw(records):
    for record in (records["night_tall"], records["dandelions"]):  # TIFF and JPEG
        picture = Image.open(io.BytesIO(make_thumbnails({"a": record}, ["a"])["a"].jpeg))
        with Image.open(record["photo"]) as photo:
            assert max(picture.size) == THUMBNAIL_SIDE
            assert abs(picture.width / picture.height - photo.width / photo.height) < 0.02
            small, expected = (
                np.asarray(image.convert("RGB").resize((8, 8), Image.Resampling.BOX), int)
                for image in (picture, photo)
            )
        assert np.abs(small - expected).mean() < 2
    bare = {key: records["coffee"][key] for key in ("raw", "white_level")}
    picture = Image.open(io.BytesIO(make_thumbnails({"a": bare}, ["a"])["a"].jpeg))
    red, green, blue = np.asarray(picture, float).mean(axis=(0, 1))
    assert green > red and green > blue  # in the sensor's colours


def test_photos_lost_or_damaged_since_they_were_scored(records, tmp_path):
    """The page is written all the same, with a line in place of their thumbnails."""
    damaged, lost = tmp_path / "damaged.jpg", tmp_path / "lost.jpg"
    damaged.write_bytes(PHOTOS["coffee"].read_bytes()[:4000])
    bad = {path.stem: records["coffee"] | {"photo": str(path)} for path in (damaged, lost)}
    scores = summarise(records | bad)
    summary = run_summary(None, "samsung_s7", {"images": len(scores["images"])}, scores, [])
    write_report(summary, scores, records | bad, {}, tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text()
    assert len(links_of(html)) == 14
    lines = re.findall('<i title=".*?">(.*?)</i>', html)
    assert sorted(line.partition(" (")[0] for line in lines) == [
        f"not shown: {damaged}: can&#39;t be decoded",
        f"not shown: {lost}: no such file; give a JPEG, PNG, TIFF, WebP, AVIF or HEIC file",
    ]


def test_error_maps_have_one_scale():
    colours = error_map(np.array([[0, 0.1, 0.2, 0.9]]))
    assert (colours[0, 2] == colours[0, 3]).all()
    assert len({tuple(colour) for colour in colours[0]}) == 3


def test_large_panels_are_shrunk():
    assert max(shrink_to_fit(np.zeros((3000, 2001, 3), np.uint8)).shape) <= MAX_PANEL_SIDE


def test_the_page_shows_scores_and_problems(records, html):
    shown = ("some_model", "CPU, 2 threads", "broken.jpg: not an image", "unprocess")
    for text in (*shown, "Worst image", "Median image", "Best image"):
        assert text in html
    assert len(rows_of(html)) == 12
    assert html.count('class="open"') == 9 * 5 + 5
    assert "http" not in html.replace("http-equiv", "")
    bare = html_of(without_truth(records))
    assert "There is no ground truth" in bare
    assert "SenseBrains" not in bare and "NOAHTCV" not in bare


def test_plots_are_complete_svgs_with_text_in_the_pages_colour(records):
    for subset in (records, without_truth(records), {"coffee": records["coffee"]}):
        for svg, text in draw_plots(subset, {"infer": 1.0}).values():
            assert ElementTree.fromstring(svg).tag.endswith("svg")
            assert "currentColor" in svg and "#010203" not in svg
            assert text


def test_file_names_are_shown_and_not_run(records):
    name = "</script><script>alert(1)</script>\"'<b>&"
    hostile = {name: records["coffee"] | {"warnings": [f"warning {name}"]}}
    html = html_of(hostile, problems=[f"{name}.jpg: broken"])
    assert "<script>alert" not in html
    assert "<b>&" not in html
    assert rows_of(html)[0][0] == name


def test_ten_thousand_images_stay_under_15_megabytes(records):
    """With pictures that compress badly, and long names."""
    rng = np.random.default_rng(0)

    def noise(side: int) -> np.ndarray:
        return rng.integers(0, 256, (side, side, 3), np.uint8)

    panels = {str(number): noise(MAX_PANEL_SIDE) for number in range(5)}
    examples = {heading: [Example("x" * 100, "", panels)] * 3 for heading in ("Worst", "Median", "Best")}
    compared = dict.fromkeys(("photo", "RAW, rendered"), noise(MAX_COMPARED_SIDE))
    examples["Worst"][0] = Example("x" * 100, "", panels, compared)
    many = {f"image_{number:06d}_{'x' * 60}": records["coffee"] for number in range(10_000)}
    small = Thumbnail(jpeg_bytes(noise(THUMBNAIL_SIDE), THUMBNAIL_QUALITY))
    html = html_of(many, (), examples, dict.fromkeys(rank_images(many)[:MAX_THUMBNAILS], small))
    assert len(rows_of(html)) == 10_000
    assert len(html.encode()) < MAX_BYTES


def test_one_image_is_enough_and_its_panels_are_embedded(records):
    html = html_of({"coffee": records["coffee"]})
    assert "1 image, sRGB to RAW" in html
    assert html.count('aria-label="coffee"') == 1
    uri = re.search(r'<img src="data:image/jpeg;base64,([^"]+)"[^>]* alt="predicted RAW of coffee"', html)[1]
    panel = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri))), int)
    assert np.abs(panel - make_panels(records["coffee"])["predicted RAW"]).mean() < 4


def test_the_images_of_the_page_as_files(records):
    files = image_files(select_examples(records), draw_plots(records, {"infer": 1.0}))
    plots = ("distribution", "overexposure", "bayer_planes", "tones", "time")
    strips = (f"{heading}_{rank}" for heading in ("worst", "median", "best") for rank in (1, 2, 3))
    assert files.keys() == {f"plot_{title}.svg" for title in plots} | {
        f"images_{name}.jpg" for name in strips
    }
    for name, content in files.items():
        assert content.startswith(b"\xff\xd8" if name.endswith(".jpg") else b"<?xml")
