"""Choice of a GPU, its float32 and its errors, on machines with mocked GPUs."""

import multiprocessing
import os
import threading
import warnings
from types import SimpleNamespace

import pytest
import torch

from omf.inference import gpu
from omf.inference.devices import pick_device
from omf.inference.gpu import (
    choose_gpu,
    claim,
    claim_gpu,
    gpu_errors,
    has_kernels,
    ieee_float32,
    is_out_of_memory,
)
from omf.utils.errors import DeviceError, InputError

CPU = torch.device("cpu")
CUDA_13 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]
TOO_OLD = "CUDA initialization: The NVIDIA driver on your system is too old (found version 12040). Please"


@pytest.fixture(autouse=True)
def afresh(monkeypatch):
    """Let each test choose for itself, outside of any job."""
    for name in (*gpu.GPU_JOB_VARIABLES, "CUDA_VISIBLE_DEVICES", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    choose_gpu.cache_clear()
    yield
    choose_gpu.cache_clear()


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Return a function that puts an nvidia-smi with this output first on the PATH."""

    def install(*rows: str) -> None:
        program = tmp_path / "bin" / "nvidia-smi"
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\ncat <<'END'\n" + "".join(f"{row}\n" for row in rows) + "END\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    return install


@pytest.fixture
def without_cuda(monkeypatch, nvidia_smi):
    """Return a function that mocks a PyTorch that sees no GPU, and a driver's version, if there is one."""

    def mock(version: str | None, message: str = "", driver: str = "") -> None:
        def is_available() -> bool:
            if message:
                warnings.warn(message, stacklevel=1)
            return False

        choose_gpu.cache_clear()
        monkeypatch.setattr(torch.cuda, "is_available", is_available)
        monkeypatch.setattr(torch.version, "cuda", version)
        nvidia_smi(*[driver] * bool(driver))

    return mock


@pytest.fixture
def gpus(monkeypatch, nvidia_smi):
    """Return a function that mocks GPUs: capability and free memory (MiB) of each."""

    def mock(*machine: tuple[tuple[int, int], int]) -> None:
        uuids = [f"{os.getpid()}-{index}-{id(machine)}" for index in range(len(machine))]
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(machine))
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: CUDA_13)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: machine[index][0])
        properties = [SimpleNamespace(uuid=uuid) for uuid in uuids]
        monkeypatch.setattr(torch.cuda, "get_device_properties", properties.__getitem__)
        monkeypatch.setattr(torch.cuda, "set_device", lambda _: pytest.fail("changes the caller's device"))
        monkeypatch.setattr(gpu, "try_convolution", lambda device: "")
        nvidia_smi(*(f"GPU-{uuid}, {free}" for uuid, (_, free) in zip(uuids, machine)))

    return mock


def test_without_a_gpu_auto_is_the_cpu_without_a_word(without_cuda, monkeypatch, caplog):
    with monkeypatch.context() as hidden:
        hidden.setenv("CUDA_VISIBLE_DEVICES", "")
        without_cuda(None, driver="570.86")
        assert pick_device("auto") == CPU
    without_cuda("13.0")
    assert pick_device("auto") == CPU
    assert not caplog.records
    for name in ("cuda", "cuda:0"):
        with pytest.raises(InputError, match=f"device {name}: PyTorch sees no GPU here; check nvidia-smi"):
            pick_device(name)


@pytest.mark.parametrize(
    ("version", "message", "expected"),
    [
        (None, "", "is a build without CUDA; install the build with CUDA"),
        ("13.0", TOO_OLD, "driver on your system is too old .* requires NVIDIA driver 580 or later, and the"),
        ("13.0", "", r"requires NVIDIA driver 580 or later, and the driver is 570\.86"),
    ],
)
def test_a_gpu_that_pytorch_does_not_see_is_reported(without_cuda, caplog, version, message, expected):
    without_cuda(version, message, driver="570.86")
    assert pick_device("auto") == CPU
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("running on the CPU: there is a GPU, but PyTorch")
    with pytest.raises(InputError, match=expected):
        pick_device("cuda")
    assert pick_device("cpu") == CPU


@pytest.mark.parametrize("variable", gpu.GPU_JOB_VARIABLES)
def test_a_job_with_a_gpu_never_runs_on_the_cpu_by_mistake(without_cuda, monkeypatch, variable):
    without_cuda(None)  # and without a driver, as in a container without --nv
    monkeypatch.setenv(variable, "0")
    words = r"^device auto: there is a GPU, but PyTorch .* without CUDA.* to run without a GPU, set [^\n]*$"
    with pytest.raises(InputError, match=words):
        pick_device("auto")
    assert pick_device("cpu") == CPU
    without_cuda("13.0")
    with pytest.raises(InputError, match=r"no driver is visible \(in Apptainer: --nv\)"):
        pick_device("auto")


def test_a_gpu_needs_kernels_of_its_generation():
    for capability, fits in {(7, 0): 0, (6, 1): 0, (7, 5): 1, (8, 9): 1, (9, 0): 1, (11, 0): 0}.items():
        assert has_kernels(capability, CUDA_13) == fits
    assert has_kernels((13, 0), [*CUDA_13, "compute_120"])  # a portable kernel
    assert not has_kernels((11, 0), [*CUDA_13, "compute_120"])
    assert has_kernels((11, 0), [*CUDA_13, "sm_110a"])  # with extensions


def test_a_gpu_without_kernels_is_refused(gpus, caplog):
    gpus(((7, 0), 16000))
    assert pick_device("auto") == CPU
    assert "GPU 0 has compute capability 7.0" in caplog.text
    with pytest.raises(InputError, match=r"kernels for sm_75, .*; for older GPUs: pip install .*/cu126"):
        pick_device("cuda")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RuntimeError("GET was unable to find an engine to execute this computation"), "other programs"),
        (RuntimeError("CUDA error: no kernel image is available"), "update the driver"),
        (RuntimeError("Cannot re-initialize CUDA in forked subprocess."), "workers by spawn"),
    ],
)
def test_a_gpu_that_fails_at_a_convolution_is_not_chosen(monkeypatch, gpus, caplog, error, cause):
    tried = gpu.try_convolution
    gpus(((8, 0), 16000))
    monkeypatch.setattr(gpu, "try_convolution", tried)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(torch, "ones", fail)
    assert pick_device("auto") == CPU
    assert cause in caplog.text


def test_the_gpu_with_most_free_memory_is_chosen_once(gpus):
    gpus(((8, 0), 10), ((7, 0), 99000), ((8, 6), 70000), ((9, 0), 300))
    assert pick_device("auto") == torch.device("cuda", 2)
    assert pick_device("cuda") == torch.device("cuda", 2)
    # another process would get the next one
    assert claim_gpu([0, 2, 3]) == 3


def test_a_numbered_gpu_is_that_one(gpus, monkeypatch):
    gpus(((8, 0), 10), ((8, 0), 70000), ((7, 0), 300))
    assert pick_device("auto") == torch.device("cuda", 1)
    assert pick_device("cuda:0") == pick_device(torch.device("cuda", 0)) == torch.device("cuda", 0)
    assert pick_device("cuda:1") == torch.device("cuda", 1)  # also a second time
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert pick_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(InputError, match=r"cuda:3: PyTorch sees 3 GPU\(s\) here, numbered from cuda:0 on"):
        pick_device("cuda:3")
    with pytest.raises(InputError, match=r"cuda:2: GPU 2 has compute capability 7\.0"):
        pick_device("cuda:2")


def test_torchrun_gives_each_process_its_gpu(gpus, monkeypatch):
    gpus(((8, 0), 1), ((8, 0), 2))
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in (0, 1):
        choose_gpu.cache_clear()
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        assert pick_device("cuda") == torch.device("cuda", rank)
    choose_gpu.cache_clear()
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(InputError, match="process 2 of torchrun has no GPU: 2 can be used"):
        pick_device("cuda")


def claim_as(user: int, names: list[str], pipe) -> None:
    """Claim a name as another user, until told to end."""
    os.umask(0o077)
    os.environ["TMPDIR"] = "/proc"  # where nobody can write
    if os.geteuid() == 0:
        os.setuid(user)
    pipe.send(claim(names))
    pipe.recv()


def test_each_process_of_any_user_claims_its_own_gpu():
    names = [f"{os.getpid()}-{index}" for index in range(2)]
    context, pipes = multiprocessing.get_context("fork"), []
    for user in (65534, 1, 2):  # without anything in common
        pipe, end = context.Pipe()
        pipes.append(pipe)
        context.Process(target=claim_as, args=(user, names, end)).start()
    assert {pipe.recv() for pipe in pipes} == {0, 1}
    for pipe in pipes:
        pipe.send("end")
    for process in multiprocessing.active_children():
        process.join()
    assert claim(names) == 0  # free again


def test_float32_is_full_inside_and_as_before_outside():
    convolution, product = torch.backends.cudnn.conv, torch.backends.cuda.matmul

    def settings() -> tuple:
        # both ways to read them: the older raises if only the newer was set
        older = torch.backends.cudnn.allow_tf32, product.allow_tf32
        return convolution.fp32_precision, product.fp32_precision, *older

    before = settings()
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with ieee_float32:
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=stay)
    with ieee_float32:
        other.start()
        inside.wait(10)
    # the other thread is still inside
    assert convolution.fp32_precision == product.fp32_precision == "ieee"
    leave.set()
    other.join()
    assert settings() == before


FAILED, AFTER_FORK = "the GPU failed", "start workers by spawn, or set the device to cpu"
OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("GET was unable to find an engine to execute this computation"),
    RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("could not create a primitive"),
    RuntimeError("std::bad_alloc"),
]


def test_all_forms_of_running_out_of_memory_are_known():
    assert [error for error in OUT_OF_MEMORY if not is_out_of_memory(error)] == []


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), DeviceError, FAILED),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), DeviceError, FAILED),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling"), DeviceError, FAILED),
        (RuntimeError("Cannot re-initialize CUDA in forked subprocess. To use"), InputError, AFTER_FORK),
        (RuntimeError("The size of tensor a must match"), RuntimeError, "size"),
    ],
)
def test_failures_of_the_gpu_stop_the_run(error, kind, message):
    assert not is_out_of_memory(error)
    with pytest.raises(kind, match=message), gpu_errors():
        raise error
