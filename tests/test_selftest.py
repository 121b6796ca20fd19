"""`omf selftest` on a CPU, and that each check can fail."""

import getpass
import itertools
import json
import platform
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from conftest import ROOT, omf, random_unet

from omf.inference.device_check import check_against_cpu, sample_picture
from omf.inference.devices import has_bfloat16
from omf.inference.fusion import Fusion
from omf.models.registry import find_model
from omf.selftest import CheckFailedError, SelfTest, compare_counts, without_paths
from omf.utils.errors import DeviceError, InputError

SKIPPED = {"convolution in float16", "model in float16", "little memory"}
if not has_bfloat16(torch.device("cpu")):
    SKIPPED.add("training in bfloat16")


def test_all_checks_pass_on_a_cpu(tmp_path):
    answer = omf("selftest", "--device", "cpu", "--json", tmp_path / "report.json")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    names = list(SelfTest("cpu").checks)
    assert [check["check"] for check in report["checks"]] == names
    assert len(answer.stdout.splitlines()) == len(names)
    states = {check["check"]: check["state"] for check in report["checks"]}
    assert {name for name, state in states.items() if state == "skipped"} == SKIPPED
    assert set(states.values()) == {"ok", "skipped"}
    assert report["device"]["device"].startswith("CPU")
    text = (tmp_path / "report.json").read_text()
    for private in (str(ROOT), str(tmp_path), platform.node(), f"/{getpass.getuser()}"):
        assert private not in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_ends_the_checks(tmp_path, call_omf):
    answer = call_omf("selftest", "--device", "cuda", "--json", tmp_path / "report.json")
    assert answer.returncode == 1
    assert answer.stdout.count("\n") == 1 and answer.stdout.startswith("failed  device: device cuda:")
    assert json.loads((tmp_path / "report.json").read_text())["device"] is None


class Faulty(Fusion):
    """A device with a fault: the results are off."""

    error = 2 / 1024

    def fuse_at_once(self, pictures, postprocess):
        return super().fuse_at_once(pictures, lambda rgb: postprocess((rgb + self.error).clamp(0, 1)))


@pytest.fixture
def faulty() -> SelfTest:
    test = SelfTest("cpu")
    test.shared.__class__ = Faulty
    return test


@pytest.mark.parametrize("check", ["check_unusual_pictures", "check_model"])
def test_wrong_results_fail(faulty, check):
    with pytest.raises((CheckFailedError, DeviceError), match=r"largest difference|counts off"):
        getattr(faulty, check)()


def test_results_that_differ_between_runs_fail(faulty, monkeypatch):
    errors = itertools.count(0, 1e-3)
    monkeypatch.setattr(Faulty, "error", property(lambda self: next(errors)))
    with pytest.raises(CheckFailedError, match="they differ; a faulty GPU or memory"):
        faulty.check_repetition()


convolve = torch.nn.functional.conv2d


def rounded(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the result of TF32: 10 bits of the inputs."""
    if x.dtype == torch.float32:
        x, weight = x.half().float(), weight.half().float()
    return convolve(x, weight)


gigabytes = itertools.count(10**9, 10**9)
TF32 = "TF32 is on; set NVIDIA_TF32_OVERRIDE=0"
RESTARTED = "60 iterations after it was cut, and not 10"
FAULTS = {  # check: what is replaced, by what, and the line
    "convolution in float32": ("torch.nn.functional.conv2d", rounded, TF32),
    "memory after 200 pictures": ("omf.selftest.resident_memory", gigabytes.__next__, "grew by 954 MiB"),
    "training, interrupted": ("omf.training.loop.load_state", lambda *_, **__: 0, RESTARTED),
}


@pytest.mark.parametrize("check", FAULTS)
def test_faults_of_a_device_fail(monkeypatch, check):
    replaced, fault, line = FAULTS[check]
    monkeypatch.setattr(replaced, fault)
    with pytest.raises(CheckFailedError, match=line):
        SelfTest("cpu").checks[check]()


def test_a_failed_check_does_not_stop_the_others(monkeypatch):
    def fail() -> str:
        raise RuntimeError("CUDA error: of /home/someone/file\nin detail")

    test = SelfTest("cpu")
    checks = {"device": lambda: "fine", "first": fail, "second": lambda: "fine"}
    monkeypatch.setattr(SelfTest, "checks", property(lambda self: checks))
    findings = list(test.run())
    assert [finding.state for finding in findings] == ["ok", "failed", "ok"]
    assert findings[1].detail == "RuntimeError: CUDA error: of ...; report it"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("/home/me/weights.safetensors: not there", "...: not there"),
        ("at 20.3 images/s, 5/6", "at 20.3 images/s, 5/6"),
        ("https://download.pytorch.org/whl/cu126", "https://download.pytorch.org/whl/cu126"),
    ],
)
def test_paths_are_removed(text, clean):
    assert without_paths(text) == clean


@pytest.mark.parametrize(
    ("precision", "differences", "fits"),
    [
        ("float32", {1: 9}, True),
        ("float32", {1: 11}, False),
        ("float32", {2: 1}, False),
        ("float16", {1: 5000, 3: 10}, True),
        ("float16", {4: 1}, False),
        ("bfloat16", {1: 5000, 31: 10}, True),
        ("bfloat16", {32: 1}, False),
    ],
)
def test_bounds_of_the_comparison(precision, differences, fits):
    expected = np.full(10_000, 500, np.uint16)
    changes = np.concatenate([np.full(count, size, np.uint16) for size, count in differences.items()])
    given = expected - np.pad(changes, (0, 10_000 - len(changes)))
    with nullcontext() if fits else pytest.raises(CheckFailedError):
        measured = compare_counts([given], [expected], precision)
        assert f"largest difference {max(differences)}" in measured


def test_the_sample_has_all_that_matters():
    for size in ((64, 64), (256, 384)):
        mask = sample_picture(*size).mask
        assert 0.02 < mask.mean() < 0.5


def test_the_quick_check_of_a_gpu(monkeypatch):
    """It is that of `scripts/infer.py`, before the first photo."""
    model = find_model("samsung_s7")
    fusion = SelfTest("cpu").shared
    assert check_against_cpu(fusion, model) < 0.01
    for branch in fusion.branches:
        monkeypatch.setattr(branch, "run", lambda x: torch.full_like(x[:, :3], torch.nan))
    with pytest.raises((DeviceError, InputError)):
        check_against_cpu(fusion, model)
    fusion.__class__ = Faulty
    monkeypatch.undo()
    with pytest.raises(DeviceError, match="the GPU's RAW of a test picture is 2 counts off that of the CPU"):
        check_against_cpu(fusion, model)


def test_inference_on_a_gpu_begins_with_the_quick_check(tmp_path, monkeypatch, tiny_model):
    """Imitated: a device with a fault that is not a CPU."""
    import scripts.infer as script

    networks = random_unet((4, 6), 0), random_unet((4, 6), 1)
    faulty = Faulty(*networks, torch.device("cpu"))
    monkeypatch.setattr(script, "load_method", lambda *_, **__: (faulty, "GPU", False))
    arguments = [tmp_path / "decoded", "--out", tmp_path / "out", "--timing", tmp_path / "timing"]
    arguments += ["--photos", tmp_path / "photos.json", "--model", tiny_model, "--device", "auto"]
    arguments += ["--precision", "float32"]
    monkeypatch.setattr("sys.argv", ["infer.py", *map(str, arguments)])
    with pytest.raises(SystemExit, match="off that of the CPU, more than 1; run omf selftest"):
        script.main()
    assert not (tmp_path / "out").exists()
