"""A long run in short: benchmarks/endurance.py, with networks that take no time."""

import runpy

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow

ENDURANCE = runpy.run_path(str(ROOT / "benchmarks" / "endurance.py"))
NOISE = 20  # MB that memory goes up and down by, pictures being decoded, computed and written at once


def test_a_long_run_keeps_nothing(thorough, tmp_path, tiny_model):
    """Small photos, so that what is kept of each would show among what is in use for a moment."""
    photos, out = tmp_path / "photos", tmp_path / "raw"
    photos.mkdir()
    small = [
        path for path in sorted((ROOT / "test_rgb").iterdir()) if path.stem not in ("balls", "hills_large")
    ]
    ENDURANCE["make_photos"](photos, 20_000 if thorough else 400, small)
    looks = ENDURANCE["endure"](
        ENDURANCE["predict_command"](photos, out, "--model", str(tiny_model)), out, minutes=60, pause=0.05
    )
    done = [look for look in looks if look["images"] > 20]  # from there on, all is loaded
    middle = looks[-1]["images"] / 2
    before, after = ([look for look in done if (look["images"] > middle) == later] for later in (False, True))
    assert looks[-1]["images"] > 300 and len(before) >= 10 and len(after) >= 10
    for what, more in (("files", 4), ("threads", 0), ("memory", NOISE)):  # a few files are open for a moment
        assert max(look[what] for look in after) <= max(look[what] for look in before) + more, what
    if thorough:
        assert ENDURANCE["growth"](looks) < 1  # MB per 1,000 images


def test_growth_is_that_of_the_second_half():
    looks = [
        {"images": images, "memory": 100 + (0 if images < 500 else 0.25 * (images - 500))}
        for images in range(0, 1001, 100)
    ]
    assert ENDURANCE["growth"](looks) == pytest.approx(250)
