"""Large photos fit in the memory of a laptop."""

import json
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from conftest import random_rgb, run

pytestmark = pytest.mark.slow

PEAK_GIB = 3
MEASURE = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
print(json.dumps({"returncode": done.returncode, "peak_gib": peak}))
"""


def predict_within_memory(photo: Path, out: Path, *options: object) -> np.ndarray:
    command = [sys.executable, "-m", "omf", "predict", photo, "-o", out, "--device", "cpu", *options]
    measured = json.loads(run(sys.executable, "-c", MEASURE, *command).stdout)
    assert measured["returncode"] == 0
    assert measured["peak_gib"] < PEAK_GIB
    return np.load(out / f"{photo.stem}.npy")


def test_12_megapixels(tmp_path):
    iio.imwrite(tmp_path / "large.jpg", random_rgb(3024, 4032))
    raw = predict_within_memory(tmp_path / "large.jpg", tmp_path)
    assert raw.shape == (3024 // 2, 4032 // 2, 4)
    assert 0 < raw.mean() < 1024


@pytest.mark.parametrize("precision", ["published", "float32"])
def test_several_tiles_at_the_published_widths(thorough, tmp_path, published_model, precision):
    """Predict an image that is large enough for full-size tiles."""
    if precision == "published" and not thorough:
        pytest.skip("takes a minute; give --thorough")
    rgb = np.random.default_rng(0).integers(0, 250, (1100, 1400, 3), np.uint8)
    iio.imwrite(tmp_path / "noise.png", rgb)
    raw = predict_within_memory(
        tmp_path / "noise.png", tmp_path, "--model", published_model, "--precision", precision
    )
    assert raw.shape == (550, 700, 4)
