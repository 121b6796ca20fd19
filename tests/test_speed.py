"""benchmarks/speed.py: rows are comparable, and one that can't run does not take the others with it."""

import json
import runpy
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT, run

sys.path.append(str(ROOT / "benchmarks"))
SPEED = runpy.run_path(str(ROOT / "benchmarks" / "speed.py"))


def test_a_missing_compiler_leaves_out_its_row_only(photo_folder, monkeypatch):
    def compiled(body):
        def fail(x):
            raise RuntimeError("Failed to find a working C compiler\nin detail")

        return fail

    monkeypatch.setattr(torch, "compile", compiled)
    worker = SPEED["Worker"](sorted(photo_folder.iterdir()), [4, 6], ours=False)
    assert worker.notes() == ["+ torch.compile: Failed to find a working C compiler"]
    names = list(worker.operations())
    assert "+ torch.compile" not in names and len(names) >= 5
    assert worker.networks(SPEED["PLAIN"]) > 0


def test_all_rows_give_the_same_raw(photo_folder, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda body: body)
    photos = sorted(photo_folder.iterdir())
    workers = [SPEED["Worker"](photos, [4, 6], ours) for ours in (False, True)]
    rows = [row for worker in workers for row in worker.rows.values() if row.dtype == torch.float32]
    for picture in workers[0].pictures:
        expected, *others = (row.method.packed([picture])()[0].astype(int) for row in rows)
        for other in others:
            difference = np.abs(other - expected)
            assert difference.max() <= 1
            assert (difference > 0).mean() <= 5e-4


def test_photos_are_evenly_spaced_and_never_repeated(photo_folder):
    photos = sorted(photo_folder.iterdir())
    for count in (1, 2, len(photos), 10 * len(photos)):
        selected = SPEED["select_evenly"](photos, count)
        assert len(set(selected)) == len(selected) == min(count, len(photos))


@pytest.mark.slow
def test_the_tables(photo_folder, tmp_path):
    photos = [ROOT / "test_rgb" / name for name in ("night.jpg", "chart.png")]
    answer = run(
        *(sys.executable, ROOT / "benchmarks" / "speed.py", *photos, "--widths", 4, 6, "--matrix", 512),
        *("--rounds", 2, "--out", tmp_path / "speed"),
        ONEDNN_MAX_CPU_ISA="AVX2",  # a processor on which oneDNN has no bfloat16
        TORCH_COMPILE_DISABLE="1",  # that row is eager, then: its compilation takes half a minute
    )
    assert answer.returncode == 0, answer.stderr
    results = json.loads((tmp_path / "speed.json").read_text())
    assert {len(times) for times in results["seconds"].values()} == {2}
    assert "torch.float32" in results["products"]
    table = (tmp_path / "speed.md").read_text()
    assert all(f"| {name} |" in table for name in results["seconds"])
