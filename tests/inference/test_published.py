"""The answers of the published procedure, on whatever processor this is, and on lesser ones that it can stand in for.

A sum in float32 depends on the order of its terms, which is another one for each kind of vector unit. So an answer in float64 is
what all are held against: a value falls to the next count where it lies nearer to the edge between two than the error of the sums.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REFERENCE, ROOT, run
from published_answers import difference

PROGRAM = Path(__file__).with_name("published_answers.py")
MAX_CHANGED = 5e-4  # of the values, by one count

HIGHEST = torch.backends.cpu.get_cpu_capability()
CAPABILITIES = {  # environment variables of oneDNN and of PyTorch's own kernels
    "all": {},
    "SSE4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
    "AVX-512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "ATEN_CPU_CAPABILITY": "avx512"},
}
PROCESSORS = {"AVX2": ("AVX2", "AVX512"), "AVX-512": ("AVX512",)}  # that have them, as PyTorch calls them
QUICK = ("all", 2)
CASES = [(name, threads) for name in CAPABILITIES for threads in (1, 2)]


@pytest.mark.parametrize(
    ("name", "threads"),
    [pytest.param(*case, marks=() if case == QUICK else pytest.mark.slow) for case in CASES],
)
def test_published_is_the_published_procedure_and_every_way_is_right(published_model, name, threads):
    if HIGHEST not in PROCESSORS.get(name, HIGHEST):
        pytest.skip(f"needs a processor with {name}")
    result = run(
        sys.executable,
        PROGRAM,
        published_model,
        threads,
        **{"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"} | CAPABILITIES[name],
    )
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["bits"] == 0  # not one differs from the plain procedure, run on the same machine
    for way in ("plain", "published", "float32"):
        most, share = told[way]
        assert most <= 1, way
        assert share <= MAX_CHANGED, way


def test_the_answer_in_float64_is_that_of_the_published_code():
    """Which wrote its own in float32."""
    most, share = difference(*(np.load(REFERENCE / f"expected_504{name}.npy") for name in ("", "_float64")))
    assert most == 1
    assert share <= MAX_CHANGED
