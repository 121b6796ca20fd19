"""No room on the disk, no right to write, not enough memory, a GPU that fails: told in a line; and the same command again finishes."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import ROOT
from runs import NAMES, Run, photos, result, undisturbed, workflow  # noqa: F401

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """A file system of its own at `folder`."""
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "omf-test", folder], capture_output=True
    ).returncode:
        pytest.skip("needs the right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def mounted_again(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def predict(log: Path, out: Path, photos: Path, *options: object, **environment: str) -> Run:
    run = Run.start(
        log,
        sys.executable,
        "-m",
        "omf",
        "predict",
        photos,
        "--device",
        "cpu",
        "-o",
        out,
        *options,
        **environment,
    )
    run.ended()
    return run


def raw_files(of: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in of.items() if name.endswith(".npy") and "/" not in name}


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def the_error(run: Run) -> str:
    """The one line that says why a program ended."""
    assert run.ended() == 1
    assert "Traceback" not in run.said()
    (line,) = [line for line in run.said().splitlines() if line.startswith("error: ")]
    return line


def test_omf_predict_on_a_full_disk(tmp_path, photos, undisturbed):
    whole = raw_files(undisturbed[0])
    with small_disk(tmp_path / "disk", 300):
        out = tmp_path / "disk" / "out"
        run = predict(tmp_path / "log", out, photos, "--model", "unprocess")
        assert ".npy: " in the_error(run) and ("disk full" in run.said() or "No space left" in run.said())
        assert files_in(out).items() < whole.items()
        mounted_again(tmp_path / "disk", "size=10m")
        assert predict(tmp_path / "log", out, photos, "--model", "unprocess").ended() == 0
        assert files_in(out) == whole


@pytest.mark.parametrize("kilobytes", [200, 900, 1600])
def test_the_workflow_on_a_full_disk(tmp_path, photos, undisturbed, kilobytes):
    with small_disk(tmp_path / "work", kilobytes):
        run = workflow(tmp_path, photos)
        assert run.ended() == 1
        for name, content in result(tmp_path / "work").items():
            assert content == undisturbed[0][name]
        mounted_again(tmp_path / "work", "size=100m")
        again = workflow(tmp_path, photos)
        assert again.ended() == 0, again.said()
        assert result(tmp_path / "work") == undisturbed[0]


def test_folders_that_are_read_only(tmp_path, photos, undisturbed):
    with small_disk(tmp_path / "work", 10_000):
        mounted_again(tmp_path / "work", "ro")
        run = predict(tmp_path / "log", tmp_path / "work" / "out", photos, "--model", "unprocess")
        assert "no folder can be made there (Read-only file system); give another one" in the_error(run)
        run = workflow(tmp_path, photos)
        assert run.ended() == 1
        assert (
            "work: can't be written to; run where you may write" in run.said()
            and "Traceback" not in run.said()
        )
        mounted_again(tmp_path / "work", "rw")
        assert workflow(tmp_path, photos).ended() == 0
        assert result(tmp_path / "work") == undisturbed[0]


def test_omf_predict_with_too_little_memory(tmp_path, photos, tiny_model):
    """As `ulimit -v` limits it: PyTorch can't be loaded, or the networks can't run."""
    command = [
        sys.executable,
        "-m",
        "omf",
        "predict",
        photos,
        "--model",
        tiny_model,
        "--device",
        "cpu",
        "-o",
        tmp_path / "out",
    ]
    for megabytes in (300, 700):
        limited = ["bash", "-c", f'ulimit -v {megabytes * 1024}; exec "$@"', "bash", *command]
        run = Run.start(tmp_path / "log", *limited, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        assert run.ended() != 0
        assert "Traceback" not in run.said()
    assert predict(tmp_path / "log", tmp_path / "out", photos, "--model", tiny_model).ended() == 0
    assert len(files_in(tmp_path / "out")) == len(NAMES)


@contextmanager
def control_group(megabytes: int) -> Iterator[Path]:
    """A group whose processes get no more memory than this; what needs more is killed."""
    mount = Path("/sys/fs/cgroup/memory")
    limit, kept = (
        ("memory.limit_in_bytes", mount / "omf-faults")
        if mount.is_dir()
        else ("memory.max", Path("/sys/fs/cgroup/omf-faults"))
    )
    try:
        kept.mkdir()
        (kept / limit).write_text(str(megabytes * 2**20))
    except OSError:
        kept.rmdir() if kept.is_dir() else None
        pytest.skip("needs the right to make a control group")
    try:
        yield kept
    finally:
        kept.rmdir()


def test_a_job_that_runs_out_of_memory_is_killed_and_done_again(tmp_path, photos, tiny_model):
    """The kernel kills the inference; the rest of the run goes on, and a second run with more memory finishes."""
    (tmp_path / "work").mkdir()
    with control_group(250) as group:
        run = Run.start(
            tmp_path / "run.log",
            *("bash", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "bash"),
            *(
                Path(sys.executable).parent / "snakemake",
                "--snakefile",
                ROOT / "Snakefile",
                "--directory",
                tmp_path / "work",
                "--cores",
                1,
            ),
            *("--config", f"images={photos}", f"model={tiny_model}", "device=cpu", "ground_truth="),
        )
        assert run.ended() == 1
        assert "Traceback" not in run.said()
    assert not (tmp_path / "work" / "submission" / "submission.zip").exists()
    again = workflow(tmp_path, photos, model=tiny_model, size=256)
    assert again.ended() == 0, again.said()
    assert predict(tmp_path / "log", tmp_path / "out", photos, "--model", tiny_model).ended() == 0
    assert files_in(tmp_path / "out").items() <= result(tmp_path / "work").items()


def test_a_gpu_that_fails_stops_a_program_with_one_line(tmp_path, photos, tiny_model):
    (tmp_path / "gpu_fails").touch()
    injected = {"PYTHONPATH": str(HERE / "injected"), "FAULT": str(tmp_path / "gpu_fails")}
    run = predict(tmp_path / "log", tmp_path / "out", photos, "--model", tiny_model, **injected)
    assert the_error(run) == (
        "error: the GPU failed (CUDA error: an illegal memory access was encountered); start again: what is finished stays"
    )
    assert 0 < len(files_in(tmp_path / "out")) < len(NAMES)
    assert predict(tmp_path / "log", tmp_path / "out", photos, "--model", tiny_model, **injected).ended() == 0
    expected = files_in(tmp_path / "out")

    # and the workflow: other shards are done, the failed one at the second call
    (tmp_path / "work").mkdir()
    (tmp_path / "gpu_fails").touch()
    run = workflow(tmp_path, photos, model=tiny_model, size=3, **injected)
    assert run.ended() == 1
    assert (
        "error: the GPU failed (CUDA error: an illegal memory access was encountered); start again"
        in run.said()
    )
    assert "Traceback" not in run.said()
    done = list((tmp_path / "work" / "results" / "raw").glob("*/*.npy"))
    again = workflow(tmp_path, photos, model=tiny_model, size=3, **injected)
    assert again.ended() == 0, again.said()
    assert again.said().count("rule infer:") == 1
    assert expected.items() <= result(tmp_path / "work").items()
    assert done
