"""The training loop: one network, one objective, on one or several devices; a killed run goes on where it was."""

import csv
import io
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm import tqdm

from omf.utils.console import log, progress
from omf.utils.errors import InputError
from omf.utils.files import atomic_write, save_text

Objective = Callable[[nn.Module, list[Tensor]], Tensor]  # network, batch -> loss

LOG_EVERY = 50  # steps
SAVE_SECONDS = 120  # between checkpoints
LOG_COLUMNS = ("network", "step", "loss", "learning_rate", "patches_per_second")


@dataclass(frozen=True)
class Plan:
    """How one network is trained."""

    name: str  # of the network, in the log and the checkpoint's file name
    steps: int
    batch: int  # patches of a step, of all devices together
    learning_rate: float  # at its highest
    warm_up: int  # steps
    ema: float  # decay of the moving average of the weights, which is what is kept
    fingerprint: (
        str  # of everything else that decides the outcome; a checkpoint with another one is not taken
    )


def fit(
    network: nn.Module, objective: Objective, patches: Dataset, plan: Plan, out: Path, device: torch.device
) -> nn.Module:
    """Train a network; leaves rows in `out/log.csv`.

    AdamW, a learning rate that rises in a line and falls along a cosine, clipped gradients, bfloat16 on a
    GPU. The state is saved to `out/NAME.state.pt` every two minutes, from where a run that was cut off
    goes on; it is removed at the end. Under torchrun, each process trains on its part of each batch.

    Args:
        network: moved to `device`, trained in place.
        objective: gives the loss of a batch.
        patches: patch i of step s is number s * batch + i.
        plan: how.
        out: folder of the run.
        device: of this process.

    Returns:
        The average of the network's weights over its last steps, in evaluation mode.
    """
    out.mkdir(parents=True, exist_ok=True)
    state_file = out / f"{plan.name}.state.pt"
    network.to(device, memory_format=torch.channels_last).train()  # the faster layout on a CPU too
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=1e-4)
    average = AveragedModel(network, multi_avg_fn=moving_average(plan.ema), use_buffers=True)
    done = 0
    if state := load_state(state_file, plan, device):
        done = state["step"]
        for part, saved in ((network, "network"), (optimiser, "optimiser"), (average, "average")):
            part.load_state_dict(state[saved])
    if is_first():
        trim_log(out / "log.csv", plan.name, done)
    model = DistributedDataParallel(network) if world_size() > 1 else network
    losses, began, saved_at = [], time.monotonic(), time.monotonic()
    batches = load_batches(patches, plan, done, device)
    with progress(
        batches, plan.name, initial=done, total=plan.steps, unit="step", hidden=not is_first()
    ) as bar:
        for step, batch in enumerate(bar, start=done):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(plan, step)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                loss = objective(model, [part.to(device, non_blocking=True) for part in batch])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            average.update_parameters(network)
            losses.append(loss.detach())
            last = step + 1 == plan.steps
            if ((step + 1) % LOG_EVERY == 0 or last) and is_first():
                mean, seconds = torch.stack(losses).mean().item(), time.monotonic() - began
                if not math.isfinite(mean):
                    raise InputError(
                        f"{plan.name}: the loss is {mean} at step {step + 1}; set a lower training.learning_rate"
                    )
                rate = plan.batch * len(losses) / seconds
                say(
                    bar, f"{plan.name} step {step + 1} of {plan.steps}: loss {mean:.4f}, {rate:.1f} patches/s"
                )
                append_log(
                    out / "log.csv",
                    (plan.name, step + 1, f"{mean:.6f}", f"{learning_rate(plan, step):.3g}", f"{rate:.2f}"),
                )
                losses, began = [], time.monotonic()
                if began - saved_at > SAVE_SECONDS or last:
                    save_state(
                        state_file, plan, step + 1, network=network, optimiser=optimiser, average=average
                    )
                    saved_at = time.monotonic()
    return average.module.eval()


def say(bar: tqdm, text: str) -> None:
    """Beside the progress bar, or where there is none, in a line of its own."""
    if bar.disable:
        log.info(text)
    else:
        bar.set_postfix_str(text)


def load_batches(patches: Dataset, plan: Plan, done: int, device: torch.device) -> Iterator[list[Tensor]]:
    """The batches of this process from step `done` on."""
    share = plan.batch // world_size()
    if share * world_size() != plan.batch:
        raise InputError(
            f"training.batch is {plan.batch}; with {world_size()} processes it must be a multiple of that"
        )
    first = rank() * share
    mine = [step * plan.batch + first + i for step in range(done, plan.steps) for i in range(share)]
    cores = os.cpu_count() or 1
    workers = max(1, min(16, cores if device.type == "cuda" else cores // 2) // world_size())
    return DataLoader(
        Subset(patches, mine), share, num_workers=workers, prefetch_factor=8, pin_memory=device.type == "cuda"
    )


def learning_rate(plan: Plan, step: int) -> float:
    """Up in a line, then down along half a cosine to a hundredth."""
    if step < plan.warm_up:
        return plan.learning_rate * (step + 1) / plan.warm_up
    progress = (step - plan.warm_up) / max(plan.steps - plan.warm_up, 1)
    return plan.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def moving_average(decay: float) -> Callable:
    """Exponential moving average of weights, over few steps at first, so that the beginning is soon forgotten."""

    @torch.no_grad()
    def update(averages: list[Tensor], values: list[Tensor], count: Tensor) -> None:
        weight = 1 - min(decay, (1 + int(count)) / (10 + int(count)))
        if torch.is_floating_point(averages[0]):
            torch._foreach_lerp_(averages, values, weight)
        else:
            torch._foreach_copy_(averages, values)

    return update


def load_state(path: Path, plan: Plan, device: torch.device) -> dict | None:
    """The checkpoint of a run with the same plan; None where there is no checkpoint."""
    if not path.is_file():
        return None
    state = torch.load(path, map_location=device, weights_only=True)
    if state["fingerprint"] != plan.fingerprint:
        raise InputError(
            f"{path}: from a run with other settings; give another folder or name, or delete it to start anew"
        )
    return state


def save_state(path: Path, plan: Plan, step: int, **parts: nn.Module | torch.optim.Optimizer) -> None:
    """Write a checkpoint, whole or not at all."""
    state = {name: part.state_dict() for name, part in parts.items()}
    buffer = io.BytesIO()  # a full disk is then an error of the file, not of torch
    torch.save(state | {"step": step, "fingerprint": plan.fingerprint}, buffer)
    with atomic_write(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def trim_log(path: Path, name: str, done: int) -> None:
    """Take out what a cut-off run logged of a network after its last checkpoint; write the header of a new log."""
    rows = [LOG_COLUMNS]
    if path.is_file():
        with path.open(newline="") as file:
            rows += [
                row
                for row in csv.reader(file)
                if row[0] != LOG_COLUMNS[0] and not (row[0] == name and int(row[1]) > done)
            ]
    save_text(path, "".join(",".join(row) + "\n" for row in rows))


def append_log(path: Path, row: tuple) -> None:
    """Add a row."""
    with path.open("a", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(row)


def start_processes() -> None:
    """Join the other processes, if torchrun started this one."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


def world_size() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_first() -> bool:
    return rank() == 0
