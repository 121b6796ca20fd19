"""Photos of visitors: reconstructed once for each wish, kept apart, and removed."""

import os
import time

import numpy as np
import pytest
from conftest import ROOT, random_rgb
from PIL import Image

from omf.app import workbench
from omf.app.views import ZOOM, ZOOMED_SIDE, draw_histograms, enlarge, make_views, tell_facts
from omf.app.workbench import Wish, Workbench
from omf.inference import devices
from omf.utils.errors import InputError

MODEL = "generic_phone"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.setattr(devices, "keep_freed_memory", lambda: None)  # the process is not the app's own
    bench = Workbench("cpu")
    yield bench
    bench.close()
    assert not bench.folder.exists()


@pytest.fixture
def photo(tmp_path):
    rgb = random_rgb(40, 64)
    rgb[5:20, 10:30] = 255
    Image.fromarray(rgb).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_base_network_runs_once_for_all_wishes(bench, photo, monkeypatch):
    bench.take("visitor", photo, keep=True)
    _, method, _ = bench.method(MODEL)
    calls = []
    features_of = method.base.features_of
    monkeypatch.setattr(method.base, "features_of", lambda *parts: calls.append(1) or features_of(*parts))
    first = bench.reconstruct("visitor", Wish(MODEL))
    assert bench.reconstruct("visitor", Wish(MODEL)) is first
    brighter = bench.reconstruct("visitor", Wish(MODEL, exposure=2.0))
    other = bench.reconstruct("visitor", Wish(MODEL, neutral=(0.5, 0.7)))
    assert len(calls) == 1
    plain = ~first.picture.mask & (brighter.raw < 1).all(axis=-1)
    assert np.allclose(brighter.raw[plain], 2 * first.raw[plain], rtol=1e-3, atol=1e-5)
    assert not np.array_equal(other.raw, first.raw)


def test_too_much_for_the_memory_is_reconstructed_again(bench, photo, monkeypatch):
    monkeypatch.setattr(workbench, "MAX_KEPT_PIXELS", 40 * 64)
    for visitor in "ab":
        bench.take(visitor, photo, keep=True)
    first = bench.reconstruct("a", Wish(MODEL))
    bench.reconstruct("b", Wish(MODEL))
    again = bench.reconstruct("a", Wish(MODEL))
    assert again is not first and np.array_equal(again.raw, first.raw)


def test_upload_is_moved_and_replaces_the_photo_before(bench, photo, tmp_path):
    other = tmp_path / "b.png"
    other.write_bytes(photo.read_bytes())
    bench.take("visitor", photo)
    assert not photo.exists() and bench.photo_of("visitor").name == "a.png"
    bench.take("visitor", other)
    assert [path.name for path in bench.visits.glob("*/photo/*")] == ["b.png"]
    bench.leave("visitor")
    assert list(bench.visits.iterdir()) == []
    with pytest.raises(InputError, match="upload it again"):
        bench.reconstruct("visitor", Wish(MODEL))


def test_idle_visitors_are_forgotten(bench, photo):
    bench.take("idle", photo, keep=True)
    long_ago = time.time() - workbench.MAX_IDLE - 1
    os.utime(bench.folder_of("idle"), (long_ago, long_ago))
    bench.take("other", photo, keep=True)
    assert bench.photo_of("idle") is None and bench.photo_of("other")


@pytest.mark.parametrize("name", ["../../a", "/etc", "", "\0", "\ud800"])
def test_hostile_names_of_visitors_name_no_folder(bench, photo, name):
    bench.take(name, photo, keep=True)
    assert bench.folder_of(name).parent == bench.visits
    assert len(list(bench.visits.glob("*/photo/a.png"))) == 1


@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (25, 31), (1030, 20)])
@pytest.mark.parametrize("value", [None, 0, 255])
def test_views_of_odd_photos(bench, tmp_path, shape, value):
    rgb = random_rgb(*shape) if value is None else np.full((*shape, 3), value, np.uint8)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    bench.take("visitor", tmp_path / "a.png")
    answer = bench.reconstruct("visitor", Wish(MODEL))
    views = make_views(answer)
    for picture in (views.photo, views.overexposed, views.mosaic, views.demosaiced, views.rendered):
        assert picture.dtype == np.uint8 and picture.ndim == 3 and max(picture.shape) <= 1030
    assert all(ratio > 0 for ratio in views.neutral)
    sides = tuple(ZOOM * min(ZOOMED_SIDE, length // 2 * 2) for length in shape)
    for place in (None, (0, 0), (shape[1] - 1, shape[0] - 1)):
        assert {picture.shape for picture in enlarge(answer, place)} == {(*sides, 3)}
    assert draw_histograms(answer).count("<path") > 4
    assert dict(tell_facts(answer))["size"].startswith(f"{shape[1]} x {shape[0]} pixels")


def test_mosaic_is_shown_in_the_colours_of_its_filters(bench, photo):
    bench.take("visitor", photo)
    answer = bench.reconstruct("visitor", Wish(MODEL))
    _, mosaic, demosaiced = enlarge(answer, (20, 12))
    cells = mosaic[::ZOOM, ::ZOOM]
    assert not cells[0::2, 0::2, 1:].any() and not cells[1::2, 1::2, :2].any()
    assert not cells[0::2, 1::2, [0, 2]].any() and not cells[1::2, 0::2, [0, 2]].any()
    assert (cells.max(axis=-1) <= demosaiced[::ZOOM, ::ZOOM].max(axis=-1)).all() and cells.any()


def test_examples_are_samples():
    page = pytest.importorskip("omf.app.page")
    assert len(page.EXAMPLES) == 3
    for name in page.EXAMPLES:
        assert (page.EXAMPLES_FOLDER / name).read_bytes() == (ROOT / "test_rgb" / name).read_bytes()
