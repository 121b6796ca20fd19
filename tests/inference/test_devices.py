"""Device selection, memory and GPU locks."""

import platform
import subprocess
import sys

import pytest
import torch

from omf.inference.devices import claim, pick_device
from omf.utils.errors import InputError


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_reported():
    with pytest.raises(InputError, match="no GPU"):
        pick_device("cuda")
    assert pick_device("auto") == torch.device("cpu")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc returns memory at once")
def test_freed_memory_is_reused_without_system_calls():
    code = """if True:
        import resource, sys, torch, omf.inference.devices
        if sys.argv[1] == "kept":
            omf.inference.devices.pick_device("cpu")
        network = torch.nn.Sequential(*(torch.nn.Conv2d(32, 32, 1) for _ in range(8)))
        faults = []
        with torch.inference_mode():
            for _ in range(8):
                network(torch.rand(1, 32, 448, 448))  # 25 MB in each layer
                faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
        print(faults[-1] - faults[3])
    """
    faults = {
        case: int(subprocess.check_output([sys.executable, "-c", code, case]))
        for case in ("kept", "returned")
    }
    assert faults["kept"] < faults["returned"] / 10


def test_each_process_claims_its_own_device(tmp_path):
    code = "import sys, pathlib, omf.inference.devices as d; "
    code += "print(d.claim(['a', 'b'], pathlib.Path(sys.argv[1])), flush=True); input()"
    first, second, third = (
        subprocess.Popen(
            [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    )
    indices = [int(process.stdout.readline()) for process in (first, second, third)]
    assert sorted(indices)[0] == 0
    assert set(indices) == {0, 1}
    for process in (first, second, third):
        process.communicate("\n")
    assert claim(["a", "b"], tmp_path) == 0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps memory")
def test_freed_memory_is_released_on_request():
    code = """if True:
        import psutil, torch, omf.inference.devices
        omf.inference.devices.pick_device("cpu")
        tensors = [torch.ones(5_000_000) for _ in range(20)]  # 20 MB each
        del tensors
        before = psutil.Process().memory_info().rss
        omf.inference.devices.release_freed_memory()
        print(before - psutil.Process().memory_info().rss)
    """
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(result.stdout) > 300e6
