"""A real 12-megapixel photo, within the memory of a laptop."""

import json
import sys

import numpy as np
from conftest import run

PEAK_GIB = 6
MEASURE = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
print(json.dumps({"returncode": done.returncode, "peak_gib": peak}))
"""


def test_12_megapixels(tmp_path, shared):
    photo = shared / "s7" / "full_resolution.jpg"
    command = [sys.executable, "-m", "omf", "predict", photo, "-o", tmp_path, "--device", "cpu"]
    measured = json.loads(run(sys.executable, "-c", MEASURE, *command).stdout)
    assert measured["returncode"] == 0
    assert measured["peak_gib"] < PEAK_GIB
    raw = np.load(tmp_path / "full_resolution.npy")
    assert raw.shape == (3024 // 2, 4032 // 2, 4)
    assert 0 < raw.mean() < 1024
