"""Print, as JSON, how this process's answers compare on the reference picture: python published_answers.py CHECKPOINTS THREADS."""

import json
import sys

import imageio.v3 as iio
import numpy as np
import torch
from conftest import REFERENCE
from published_procedure import counts, published_raw

from omf.inference.load import load_method
from omf.models.registry import find_model
from omf.raw.bayer import to_challenge_format
from omf.raw.overexposure import overexposure_mask


def difference(given: np.ndarray, expected: np.ndarray) -> tuple[int, float]:
    """The largest difference in counts, and the share of the values that differ."""
    difference = np.abs(given.astype(int) - expected)
    return int(difference.max()), float((difference > 0).mean())


if __name__ == "__main__":
    checkpoints, threads = sys.argv[1], int(sys.argv[2])
    rgb = iio.imread(REFERENCE / "input_504.png")
    ways = {
        precision: load_method(find_model(checkpoints), "cpu", precision)[0]
        for precision in ("published", "float32")
    }
    torch.set_num_threads(threads)
    answers = {precision: method(rgb, overexposure_mask(rgb)) for precision, method in ways.items()}
    plain = published_raw(rgb, checkpoints)
    in_float64 = np.load(REFERENCE / "expected_504_float64.npy")
    told = {precision: difference(to_challenge_format(raw), in_float64) for precision, raw in answers.items()}
    told["plain"] = difference(counts(plain), in_float64)
    told["bits"] = float((answers["published"] != plain).mean())
    print(json.dumps(told))
