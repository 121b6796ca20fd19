"""Full disk, read-only folder, too little memory, GPU failure: one line, and a rerun completes."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import PHOTOS, control_group
from runs import (  # noqa: F401
    INJECTED,
    PREDICT,
    SNAKEMAKE,
    Run,
    complete,
    files_in,
    photos,
    raw_files,
    result,
    undisturbed,
    workflow,
)

pytestmark = pytest.mark.slow


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """Mount a separate file system of limited size at `folder`."""
    folder.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "omf-test", folder)
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs permission to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def predict(log: Path, out: Path, photos: Path, model: object = "unprocess", **environment: str) -> Run:
    run = Run.start(log, *PREDICT, photos, "--device", "cpu", "-o", out, "--model", model, **environment)
    run.wait()
    return run


def error_line(run: Run) -> str:
    """Return the one error line of a failed program."""
    assert run.wait() == 1
    assert "Traceback" not in run.output()
    (line,) = [line for line in run.output().splitlines() if line.startswith("error: ")]
    return line


def test_omf_predict_on_a_full_disk(tmp_path, photos, undisturbed):
    expected_files = raw_files(undisturbed[0])
    with small_disk(tmp_path / "disk", 300):
        out = tmp_path / "disk" / "out"
        run = predict(tmp_path / "log", out, photos)
        assert ".npy: " in error_line(run)
        assert "disk full" in run.output() or "No space left" in run.output()
        assert files_in(out).items() < expected_files.items()
        remount(tmp_path / "disk", "size=10m")
        predict(tmp_path / "log", out, photos).succeed()
        assert files_in(out) == expected_files


@pytest.mark.parametrize("kilobytes", [200, 900, 1600])
def test_the_workflow_on_a_full_disk(tmp_path, photos, undisturbed, kilobytes):
    with small_disk(tmp_path / "work", kilobytes):
        assert workflow(tmp_path, photos).wait() == 1
        assert result(tmp_path / "work").items() <= undisturbed[0].items()
        remount(tmp_path / "work", "size=100m")
        complete(tmp_path, photos)
        assert result(tmp_path / "work") == undisturbed[0]


def test_read_only_folders(tmp_path, photos, undisturbed):
    with small_disk(tmp_path / "work", 10_000):
        remount(tmp_path / "work", "ro")
        run = predict(tmp_path / "log", tmp_path / "work" / "out", photos)
        assert "no folder can be made there (Read-only file system); give another one" in error_line(run)
        run = workflow(tmp_path, photos)
        assert run.wait() == 1
        assert "work: can't be written to; run where you may write" in run.output()
        assert "Traceback" not in run.output()
        remount(tmp_path / "work", "rw")
        complete(tmp_path, photos, size=256)
        assert result(tmp_path / "work") == undisturbed[0]


def test_omf_predict_with_too_little_memory(tmp_path, photos, tiny_model):
    """Limit memory with `ulimit -v`: PyTorch can't be loaded, or the networks can't run."""
    command = (*PREDICT, photos, "--model", tiny_model, "--device", "cpu", "-o", tmp_path / "out")
    for megabytes in (300, 700):
        limited = ("bash", "-c", f'ulimit -v {megabytes * 1024}; exec "$@"', "bash", *command)
        run = Run.start(tmp_path / "log", *limited, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        assert run.wait() != 0
        assert "Traceback" not in run.output()
    predict(tmp_path / "log", tmp_path / "out", photos, tiny_model).succeed()
    assert len(files_in(tmp_path / "out")) == len(PHOTOS)


def test_a_job_killed_for_memory_is_rerun(tmp_path, photos, tiny_model):
    """The kernel kills the inference, the rest of the run continues, and a run with more memory completes."""
    with control_group(100 * 2**20) as group:  # of the inference alone: else Snakemake may be killed as well
        injected = {"PYTHONPATH": INJECTED, "FAULT": str(group / "cgroup.procs")}
        run = workflow(tmp_path, photos, model=tiny_model, size=256, **injected)
        assert run.wait() == 1
        assert "Traceback" not in run.output()
    assert not (tmp_path / "work" / "submission" / "submission.zip").exists()
    complete(tmp_path, photos, tiny_model, 256)
    predict(tmp_path / "log", tmp_path / "out", photos, tiny_model).succeed()
    assert files_in(tmp_path / "out") == raw_files(result(tmp_path / "work"))


def test_a_gpu_failure_ends_the_program_with_one_line(tmp_path, photos, tiny_model):
    fault = tmp_path / "gpu_fails"
    fault.touch()
    injected = {"PYTHONPATH": INJECTED, "FAULT": str(fault)}
    message = "error: the GPU failed (CUDA error: an illegal memory access was encountered); start again"
    run = predict(tmp_path / "log", tmp_path / "out", photos, tiny_model, **injected)
    assert error_line(run) == f"{message}: finished results are kept"
    assert 0 < len(files_in(tmp_path / "out")) < len(PHOTOS)
    predict(tmp_path / "log", tmp_path / "out", photos, tiny_model, **injected).succeed()

    # the workflow: other shards complete, the failed one in the second run
    fault.touch()
    run = workflow(tmp_path, photos, model=tiny_model, size=3, **injected)
    assert run.wait() == 1
    assert message in run.output()
    assert "Traceback" not in run.output()
    assert list((tmp_path / "work" / "results" / "raw").glob("*/*.npy"))
    again = workflow(tmp_path, photos, model=tiny_model, size=3, **injected).succeed()
    assert again.output().count("rule infer:") == 1
    assert files_in(tmp_path / "out") == raw_files(result(tmp_path / "work"))
