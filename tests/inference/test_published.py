"""Outputs of the published procedure, on this processor and on lesser ones that it can emulate.

A float32 sum depends on the order of its terms, which differs between vector units. All outputs are therefore
compared with one in float64: a value changes to the next count if it is closer to the boundary between two
counts than the rounding error of the sums.

As a program, `test_published.py CHECKPOINTS SIZE THREADS`, this prints the differences of the outputs on the
centre of the reference image as JSON.
"""

import json
import sys

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from conftest import REFERENCE, ROOT, run
from published_procedure import centre, counts, published_raw

from omf.inference.load import load_method
from omf.models.registry import find_model
from omf.raw.bayer import to_challenge_format
from omf.raw.overexposure import overexposure_mask

MAX_CHANGED = 5e-4  # fraction of values that may differ by one count

HIGHEST = torch.backends.cpu.get_cpu_capability()
CAPABILITIES = {  # environment variables of oneDNN and of PyTorch's kernels
    "all": {},
    "SSE4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
    "AVX-512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "ATEN_CPU_CAPABILITY": "avx512"},
}
PROCESSORS = {"AVX2": ("AVX2", "AVX512"), "AVX-512": ("AVX512",)}  # PyTorch's names of those that have them
# A part of the picture, with both regions of the mask, binds the sums of one thread and of lesser processors.
USUAL = ("all", 504, 2)
CASES = [USUAL, ("all", 248, 1), *((name, 248, 2) for name in CAPABILITIES if name != "all")]


@pytest.mark.parametrize(
    ("name", "size", "threads"),
    [pytest.param(*case, marks=() if case == USUAL else pytest.mark.slow) for case in CASES],
)
def test_published_matches_the_published_code_and_all_precisions_are_accurate(
    thorough, published_model, name, size, threads
):
    if not (thorough or (name, size, threads) == USUAL or name == "AVX2"):
        pytest.skip("needs --thorough")
    if HIGHEST not in PROCESSORS.get(name, HIGHEST):
        pytest.skip(f"requires a processor with {name}")
    environment = {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"} | CAPABILITIES[name]
    result = run(sys.executable, __file__, published_model, size, threads, **environment)
    assert result.returncode == 0, result.stderr
    differences = json.loads(result.stdout)
    assert differences["bits"] == 0  # identical to the plain procedure on the same machine
    for variant in ("plain", "published", "float32"):
        largest, fraction = differences[variant]
        assert largest <= 1, variant
        assert fraction <= MAX_CHANGED, variant


def test_the_float64_reference_matches_the_published_code():
    """Compare with the output of the published code, in float32."""
    published, exact = (np.load(REFERENCE / f"expected_504{name}.npy") for name in ("", "_float64"))
    largest, fraction = difference(published, exact)
    assert largest == 1
    assert fraction <= MAX_CHANGED


def difference(given: np.ndarray, expected: np.ndarray) -> tuple[int, float]:
    """Return the largest difference in counts, and the fraction of values that differ."""
    difference = np.abs(given.astype(int) - expected)
    return int(difference.max()), float((difference > 0).mean())


def main(checkpoints: str, size: str, threads: str) -> None:
    rgb = np.ascontiguousarray(centre(iio.imread(REFERENCE / "input_504.png"), int(size)))
    in_float64, model = np.load(REFERENCE / f"expected_{size}_float64.npy"), find_model(checkpoints)
    methods = {name: load_method(model, "cpu", name)[0] for name in ("published", "float32")}
    torch.set_num_threads(int(threads))
    outputs = {name: method(rgb, overexposure_mask(rgb)) for name, method in methods.items()}
    plain = published_raw(rgb, checkpoints)
    packed = {name: to_challenge_format(raw) for name, raw in outputs.items()} | {"plain": counts(plain)}
    differences = {name: difference(values, in_float64) for name, values in packed.items()}
    print(json.dumps(differences | {"bits": float((outputs["published"] != plain).mean())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
