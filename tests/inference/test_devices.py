import platform
import subprocess
import sys

import pytest
import torch

from omf.inference.devices import claim, pick_device
from omf.utils.errors import InputError


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told():
    with pytest.raises(InputError, match="no GPU"):
        pick_device("cuda")
    assert pick_device("auto") == torch.device("cpu")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that gives memory back at once")
def test_freed_memory_is_used_again_without_asking_the_system():
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
        way: int(subprocess.check_output([sys.executable, "-c", code, way])) for way in ("kept", "given back")
    }
    assert faults["kept"] < faults["given back"] / 10


def test_each_process_claims_a_device_of_its_own(tmp_path):
    code = "import sys, pathlib, omf.inference.devices as d; print(d.claim(['a', 'b'], pathlib.Path(sys.argv[1])), flush=True); input()"
    first, second, third = (
        subprocess.Popen(
            [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    )
    places = [int(process.stdout.readline()) for process in (first, second, third)]
    assert sorted(places)[0] == 0
    assert set(places) == {0, 1}
    for process in (first, second, third):
        process.communicate("\n")
    assert claim(["a", "b"], tmp_path) == 0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that keeps memory")
def test_freed_memory_is_given_back_when_asked_to():
    code = """if True:
        import psutil, torch, omf.inference.devices
        omf.inference.devices.pick_device("cpu")
        tensors = [torch.ones(5_000_000) for _ in range(20)]  # 20 MB each
        del tensors
        before = psutil.Process().memory_info().rss
        omf.inference.devices.give_back_freed_memory()
        print(before - psutil.Process().memory_info().rss)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 300e6
