"""A short version of benchmarks/endurance.py, with small networks."""

import runpy

import pytest
from conftest import ROOT

from omf.io.images import read_rgb
from omf.io.photos import list_images

pytestmark = pytest.mark.slow

ENDURANCE = runpy.run_path(str(ROOT / "benchmarks" / "endurance.py"))
NOISE = 20  # MB; fluctuation of memory, since photos are decoded, computed and written at the same time


def test_a_long_run_does_not_leak(thorough, tmp_path, tiny_model):
    """Use small photos, so that a leak per photo stands out from temporary allocations."""
    photos, out = tmp_path / "photos", tmp_path / "raw"
    photos.mkdir()
    small = [path for path in list_images(ROOT / "test_rgb") if read_rgb(path).size < 300_000]
    assert len(small) >= 6
    ENDURANCE["make_photos"](photos, 20_000 if thorough else 400, small)
    samples = ENDURANCE["monitor"](
        ENDURANCE["predict_command"](photos, out, "--model", str(tiny_model)), out, minutes=60, pause=0.05
    )
    done = [sample for sample in samples if sample["images"] > 20]  # everything is loaded by then
    middle = samples[-1]["images"] / 2
    before, after = (
        [sample for sample in done if (sample["images"] > middle) == later] for later in (False, True)
    )
    assert samples[-1]["images"] > 300 and len(before) >= 10 and len(after) >= 10
    for key, tolerance in (("files", 4), ("threads", 0), ("memory", NOISE)):  # a few files are open briefly
        assert max(sample[key] for sample in after) <= max(sample[key] for sample in before) + tolerance, key
    if thorough:
        assert ENDURANCE["growth"](samples) < 1  # MB per 1,000 images


def test_growth_is_measured_over_the_second_half():
    samples = [
        {"images": images, "memory": 100 + (0 if images < 500 else 0.25 * (images - 500))}
        for images in range(0, 1001, 100)
    ]
    assert ENDURANCE["growth"](samples) == pytest.approx(250)
