"""The training loop: schedule, EMA, checkpoints, logs and DDP."""

import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from conftest import ROOT, run
from torch import nn
from torch.utils.data import Dataset

from omf.inference.devices import device_label
from omf.training import loop
from omf.training.curves import draw_curves
from omf.training.loop import Hyperparameters, MovingAverage, fit, learning_rate, process_group
from omf.utils.errors import InputError

CPU = torch.device("cpu")
PLAN = Hyperparameters(
    "net", 24, batch_size=4, learning_rate=1e-2, warmup_iterations=4, ema_decay=0.9, fingerprint="a"
)


class Lines(Dataset):
    """Samples of y = 3 x + 1."""

    def __len__(self):
        return PLAN.iterations * PLAN.batch_size

    def __getitem__(self, index):
        x = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(index))
        return x, 3 * x + 1


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1))


def objective(model: nn.Module, batch: list[torch.Tensor]) -> torch.Tensor:
    return (model(batch[0]) - batch[1]).abs().mean()


def rows(folder) -> list[dict]:
    """Return the rows of the log without the speed."""
    with (folder / "log.csv").open() as file:
        logged = list(csv.DictReader(file))
    for row in logged:
        del row["patches_per_second"]
    return logged


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def precision(request, monkeypatch) -> torch.dtype:
    monkeypatch.setattr(loop, "training_precision", lambda device: request.param)
    return request.param


def test_learning_rate_rises_and_falls():
    plan = Hyperparameters("net", 100, 4, 1.0, 10, 0.9, "")
    rates = [learning_rate(plan, step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01, abs=2e-3)


def test_the_moving_average_forgets_its_start_then_changes_slowly():
    model = nn.Linear(1, 1, bias=False)
    average = MovingAverage(model, 0.9)

    def update(value: float, times: int = 1) -> float:
        nn.init.constant_(model.weight, value)
        for _ in range(times):
            average.update_parameters(model)
        return average.module.weight.item()

    assert update(0) == 0  # the first is a copy
    assert update(1) == pytest.approx(1 - 2 / 11)
    assert update(1, 200) == pytest.approx(1)
    assert update(0) == pytest.approx(0.9)


def test_the_moving_average_does_not_wait_for_a_gpu():
    """PyTorch passes the count on the device of the weights; reading it there would wait for all work."""
    average = MovingAverage(nn.Linear(2, 2), 0.9)
    assert average.n_averaged.device == CPU
    values = [torch.zeros(3, device="meta")]
    average.update(values, values, torch.zeros((), device="meta"))  # which can't be read


def test_resumed_counts_of_steps_stay_on_the_cpu(tmp_path):
    """On a GPU, AdamW would wait for them at each step; `meta` stands for a GPU here."""
    model = network()
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.rand(2, 1, 4, 4)).sum().backward()
    optimiser.step()
    loop.save_state(tmp_path / "state.pt", PLAN, 8, network=model, optimiser=optimiser)
    resumed = network().to("meta")
    other = torch.optim.AdamW(resumed.parameters())
    assert loop.load_state(tmp_path / "state.pt", PLAN, optimiser=other) == 8
    for state in other.state.values():
        assert state["step"].device == CPU
        assert state["exp_avg"].device.type == "meta"


def out_of_memory(model, batch):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (out_of_memory, r"net: not enough memory for training\.batch_size 4; set a smaller"),
        (
            lambda model, batch: objective(model, batch) * float("nan"),
            r"the loss is nan at iteration 24; set a lower training\.learning_rate",
        ),
    ],
    ids=["memory", "nan"],
)
def test_a_training_that_fails_ends_with_one_line(tmp_path, objective, message):
    with pytest.raises(InputError, match=message):
        fit(network(), objective, Lines(), PLAN, tmp_path, CPU)


def test_processes_on_the_cpu_use_gloo_beside_gpus(monkeypatch):
    backends = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: backends.append(device))
    monkeypatch.setattr(loop.distributed, "init_process_group", lambda backend, **_: backends.append(backend))
    monkeypatch.setattr(loop.distributed, "destroy_process_group", lambda: backends.append("end"))
    with process_group(CPU):
        pass
    with process_group(torch.device("cuda", 1)):
        pass
    assert backends == ["gloo", "end", torch.device("cuda", 1), "nccl", "end"]


def test_fit_learns_and_logs(tmp_path, monkeypatch, precision, caplog):
    monkeypatch.setattr(loop, "LOG_EVERY", 4)
    monkeypatch.setattr(loop.log, "propagate", True)  # which the programs turn off
    with caplog.at_level("INFO"):
        trained = fit(network(), objective, Lines(), PLAN, tmp_path, CPU)
    assert not trained.training
    assert f"net: 1 x {device_label(CPU)}; {precision}" in caplog.text
    logged = rows(tmp_path)
    assert [row["iteration"] for row in logged] == ["4", "8", "12", "16", "20", "24"]
    assert float(logged[-1]["loss"]) < float(logged[0]["loss"])
    draw_curves(tmp_path / "log.csv", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"net\.state\.pt: from a run with other settings; .* delete it"):
        fit(network(), objective, Lines(), replace(PLAN, fingerprint="b"), tmp_path, CPU)


def test_curves_show_negative_losses(tmp_path):
    """Those of the spread network, a likelihood's."""
    pictures = []
    for last in (-1, -2):
        log = tmp_path / "log.csv"
        rows = (f"spread,{step},{loss},0.001,9" for step, loss in ((50, 5), (100, -1), (150, last)))
        log.write_text("\n".join(("network,iteration,loss,learning_rate,patches_per_second", *rows)))
        draw_curves(log, tmp_path / "curves.png")
        pictures.append((tmp_path / "curves.png").read_bytes())
    assert pictures[0] != pictures[1]


@pytest.mark.parametrize("cut_at", [4, 12])
def test_an_interrupted_run_gives_the_same_weights_and_log(tmp_path, monkeypatch, precision, cut_at):
    monkeypatch.setattr(loop, "LOG_EVERY", 4)
    plan = replace(PLAN, save_seconds=0)
    whole = fit(network(), objective, Lines(), plan, tmp_path / "whole", CPU)
    real, saved = loop.save_state, []

    class InterruptedRunError(Exception):
        pass

    def save_and_fail(path, plan, step, **parts):
        real(path, plan, step, **parts)
        saved.append(step)
        if step == cut_at:
            # a kill between two checkpoints leaves later rows in the log
            with (path.parent / "log.csv").open("a") as log:
                log.write(f"net,{step + 4},9,9,9\n")
            raise InterruptedRunError

    monkeypatch.setattr(loop, "save_state", save_and_fail)
    with pytest.raises(InterruptedRunError):
        fit(network(), objective, Lines(), plan, tmp_path / "cut", CPU)
    cut = fit(network(), objective, Lines(), plan, tmp_path / "cut", CPU)
    assert saved == sorted(set(saved))  # no iterations were repeated
    assert all((value == cut.state_dict()[key]).all() for key, value in whole.state_dict().items())
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")


def test_large_gradients_are_clipped(tmp_path):
    model, plan = network(), replace(PLAN, iterations=2)
    fit(model, lambda model, batch: 1000 * objective(model, batch), Lines(), plan, tmp_path, CPU)
    gradients = torch.cat([parameter.grad.ravel() for parameter in model.parameters()])  # of the last step
    assert gradients.norm() == pytest.approx(1, rel=1e-3)


SCRIPT = """
import sys, torch
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_loop import Lines, PLAN, network, objective
from omf.training import loop
loop.LOG_EVERY = 4
run, device = Path(sys.argv[1]), torch.device("cpu")
with loop.process_group(device):
    trained = loop.fit(network(), objective, Lines(), PLAN, run, device)
    total = float(sum(value.double().sum() for value in trained.state_dict().values()))
    (run / f"rank{{loop.rank()}}.txt").write_text(str(total))  # a pipe might mix the lines of two processes
"""


@pytest.mark.slow
def test_two_processes_share_a_batch_and_end_with_the_same_weights(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(ROOT / "tests" / "training")))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2]
    path = f"{ROOT}:{ROOT / 'tests'}"
    answer = run(*torchrun, script, tmp_path / "run", PYTHONPATH=path, OMP_NUM_THREADS="1")
    assert answer.returncode == 0, answer.stderr
    logged = rows(tmp_path / "run")
    # by one process only
    assert [row["iteration"] for row in logged] == ["4", "8", "12", "16", "20", "24"]
    assert float(logged[-1]["loss"]) < float(logged[0]["loss"])
    # the weights are equal; batch-norm averages differ, since each process sees its own part of the batches
    first, second = (float((tmp_path / "run" / f"rank{rank}.txt").read_text()) for rank in (0, 1))
    assert first == pytest.approx(second, abs=0.5)


@pytest.mark.slow
def test_a_killed_training_resumes(tmp_path):
    """Kill the real command with SIGKILL during NOE, and rerun it."""
    (tmp_path / "settings.yaml").write_text(
        "{widths: [4, 6], patch_size: 40, batch_size: 2, warmup_iterations: 5, ema_decay: 0.9,"
        " iterations: {base: 0, demosaic: 5, noe: 60, oe: 5}}"
    )
    code = (
        "from functools import partial; from omf.training import loop, sources, train;"
        "from omf.cli import main; loop.LOG_EVERY, sources.DRAWN = 10, 4;"
        "train.Hyperparameters = partial(train.Hyperparameters, save_seconds=0); main()"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def command(name: str) -> list[str]:
        options = ["--settings", str(tmp_path / "settings.yaml"), "--device", "cpu"]
        return [sys.executable, "-c", code, "train", "-o", str(tmp_path / name), *options]

    options = {"stderr": subprocess.PIPE, "start_new_session": True}
    process = subprocess.Popen(command("killed"), env=environment, **options)
    # written after the row of iteration 10 in log.csv
    while not (tmp_path / "killed" / "noe.state.pt").is_file():
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "noe.safetensors").exists()
    for name in ("killed", "whole"):
        answer = subprocess.run(command(name), env=environment, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        # the killed one resumes from the checkpoint, not from the start
        assert ("demosaic 5 of 5" in answer.stderr) == (name == "whole")
        assert ("noe 10 of 60" in answer.stderr) == (name == "whole")
    killed, whole = (rows(tmp_path / name) for name in ("killed", "whole"))
    losses = [[float(row.pop("loss")) for row in logged] for logged in (killed, whole)]
    # other patches, or weights of another iteration, would give a very different loss
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert killed == whole
