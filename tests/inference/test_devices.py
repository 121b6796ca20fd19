"""Memory of the CPU, and the precision of training. tests/inference/test_gpu.py tests the choice of a GPU."""

import platform
import resource
import subprocess
import sys

import pytest
import torch

from omf.inference.devices import bfloat16_instructions, device_label, training_precision


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc returns memory at once")
def test_freed_memory_is_reused_without_system_calls_and_released_on_request():
    code = """if True:
        import psutil, resource, torch, omf.inference.devices
        omf.inference.devices.pick_device("cpu", own_process=True)
        network = torch.nn.Sequential(*(torch.nn.Conv2d(32, 32, 1) for _ in range(8)))
        faults = []
        with torch.inference_mode():
            for _ in range(8):
                network(torch.rand(1, 32, 448, 448))  # 25 MB in each layer
                faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
        tensors = [torch.ones(5_000_000) for _ in range(20)]  # 20 MB each
        del tensors
        before = psutil.Process().memory_info().rss
        omf.inference.devices.release_freed_memory()
        print(faults[-1] - faults[3], before - psutil.Process().memory_info().rss)
    """
    faults, released = map(int, subprocess.check_output([sys.executable, "-c", code]).split())
    layer = 32 * 448 * 448 * 4 // resource.getpagesize()
    assert faults < 2 * layer  # in four rounds; three and more where glibc returns memory
    assert released > 300e6


@pytest.mark.parametrize(
    ("capability", "precision"),
    [((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((8, 9), torch.bfloat16), ((12, 0), torch.bfloat16)],
)
def test_training_uses_bfloat16_only_where_convolutions_have_it(monkeypatch, capability, precision):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)  # counts emulation
    assert training_precision(torch.device("cuda", 0)) == precision


@pytest.mark.parametrize(
    ("amx", "avx512", "onednn", "machine", "instructions"),
    [
        (True, True, True, "x86_64", "AMX"),
        (False, True, True, "x86_64", "AVX512_BF16"),
        (False, False, True, "x86_64", ""),
        (True, True, False, "x86_64", ""),
        (False, False, True, "aarch64", "BF16"),
        (False, False, False, "aarch64", ""),
    ],
)
def test_instructions_for_bfloat16(monkeypatch, amx, avx512, onednn, machine, instructions):
    """Imitated; on x86, oneDNN counts any AVX-512, which emulates bfloat16."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    cpu = torch.device("cpu")
    assert bfloat16_instructions() == instructions
    assert training_precision(cpu) == (torch.bfloat16 if instructions else torch.float32)
    assert device_label(cpu).endswith(f" with {instructions or torch.backends.cpu.get_cpu_capability()}")
