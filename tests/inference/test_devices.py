"""Memory of the CPU, and the precision of training. tests/inference/test_gpu.py tests the choice of a GPU."""

import platform
import subprocess
import sys

import pytest
import torch

from omf.inference.devices import training_precision


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc returns memory at once")
def test_freed_memory_is_reused_without_system_calls():
    code = """if True:
        import resource, sys, torch, omf.inference.devices
        if sys.argv[1] == "kept":
            omf.inference.devices.pick_device("cpu", own_process=True)
        network = torch.nn.Sequential(*(torch.nn.Conv2d(32, 32, 1) for _ in range(8)))
        faults = []
        with torch.inference_mode():
            for _ in range(8):
                network(torch.rand(1, 32, 448, 448))  # 25 MB in each layer
                faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
        print(faults[-1] - faults[3])
    """
    kept, returned = (
        int(subprocess.check_output([sys.executable, "-c", code, case])) for case in ("kept", "returned")
    )
    assert kept < returned / 10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps memory")
def test_freed_memory_is_released_on_request():
    code = """if True:
        import psutil, torch, omf.inference.devices
        omf.inference.devices.pick_device("cpu", own_process=True)
        tensors = [torch.ones(5_000_000) for _ in range(20)]  # 20 MB each
        del tensors
        before = psutil.Process().memory_info().rss
        omf.inference.devices.release_freed_memory()
        print(before - psutil.Process().memory_info().rss)
    """
    assert int(subprocess.check_output([sys.executable, "-c", code])) > 300e6


@pytest.mark.parametrize(
    ("capability", "precision"),
    [((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((8, 9), torch.bfloat16), ((12, 0), torch.bfloat16)],
)
def test_training_uses_bfloat16_only_where_convolutions_have_it(monkeypatch, capability, precision):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)  # counts emulation
    assert training_precision(torch.device("cuda", 0)) == precision
    assert training_precision(torch.device("cpu")) == torch.float32
