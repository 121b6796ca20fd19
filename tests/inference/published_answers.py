"""Compare the outputs of this process on the reference image; print a line of JSON for each count of threads.

python published_answers.py CHECKPOINTS SIZE THREADS...
"""

import json
import sys

import imageio.v3 as iio
import numpy as np
import torch
from conftest import REFERENCE
from published_procedure import centre, counts, published_raw

from omf.inference.load import load_method
from omf.models.registry import find_model
from omf.raw.bayer import to_challenge_format
from omf.raw.overexposure import overexposure_mask


def difference(given: np.ndarray, expected: np.ndarray) -> tuple[int, float]:
    """Return the largest difference in counts, and the fraction of values that differ."""
    difference = np.abs(given.astype(int) - expected)
    return int(difference.max()), float((difference > 0).mean())


if __name__ == "__main__":
    checkpoints, size = sys.argv[1], int(sys.argv[2])
    rgb = np.ascontiguousarray(centre(iio.imread(REFERENCE / "input_504.png"), size))
    in_float64 = np.load(REFERENCE / f"expected_{size}_float64.npy")
    methods = {
        precision: load_method(find_model(checkpoints), "cpu", precision)[0]
        for precision in ("published", "float32")
    }
    for threads in map(int, sys.argv[3:]):
        torch.set_num_threads(threads)
        outputs = {precision: method(rgb, overexposure_mask(rgb)) for precision, method in methods.items()}
        plain = published_raw(rgb, checkpoints)
        differences = {
            precision: difference(to_challenge_format(raw), in_float64) for precision, raw in outputs.items()
        }
        differences["plain"] = difference(counts(plain), in_float64)
        differences["bits"] = float((outputs["published"] != plain).mean())
        print(json.dumps(differences))
