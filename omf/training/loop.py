"""The training loop: one network, one objective, one or several devices; interrupted runs resume."""

import csv
import io
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset, Subset

from omf.inference.devices import device_label, training_precision
from omf.inference.gpu import is_out_of_memory, lacks_engine, on_device
from omf.utils.console import log, progress
from omf.utils.errors import InputError
from omf.utils.files import atomic_write, save_text
from omf.utils.machine import available_cores

Objective = Callable[[nn.Module, list[Tensor]], Tensor]  # network, batch -> loss

LOG = "log.csv"
LOG_EVERY = 50  # iterations
MAX_GRADIENT = 1.0  # L2 norm; larger gradients are scaled down
LOG_COLUMNS = ("network", "iteration", "loss", "learning_rate", "patches_per_second")


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters of the training of one network."""

    name: str  # of the network, in the log and in the file name of the checkpoint
    iterations: int
    batch_size: int  # patches in an iteration, over all devices
    learning_rate: float  # peak
    warmup_iterations: int
    ema_decay: float  # of the moving average of the weights, which is the result
    fingerprint: str  # of everything else that decides the result; other checkpoints are refused
    save_seconds: float = 120  # between checkpoints


def fit(
    network: nn.Module,
    objective: Objective,
    patches: Dataset,
    plan: Hyperparameters,
    out: Path,
    device: torch.device,
) -> nn.Module:
    """Train a network and log to `out/log.csv`.

    AdamW with linear warm-up, cosine decay and clipped gradients; autocast in `training_precision`. The state
    is saved to `out/NAME.state.pt` every `plan.save_seconds`; an interrupted run resumes from it. Under
    torchrun, each process trains on its share of each batch.

    Args:
        network: network to train in place; moved to `device`.
        objective: function that returns the loss of a batch.
        patches: training patches; iteration i takes those from i * batch_size on.
        plan: hyperparameters of this training.
        out: folder of the run.
        device: device of this process.

    Returns:
        The moving average of the network's weights, in evaluation mode.

    Raises:
        InputError: not enough memory, or a loss that is not finite.
        DeviceError: the GPU failed.
    """
    out.mkdir(parents=True, exist_ok=True)
    state_file = out / f"{plan.name}.state.pt"
    network.to(device, memory_format=torch.channels_last).train()  # the faster layout on a CPU too
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=1e-4)
    average = MovingAverage(network, plan.ema_decay)
    parts = {"network": network, "optimiser": optimiser, "average": average}
    done = load_state(state_file, plan, **parts)
    precision = training_precision(device)
    if is_first():
        log.info(f"{plan.name}: {world_size()} x {device_label(device)}; {precision}")
        trim_log(out / LOG, plan.name, done)
    model = DistributedDataParallel(network) if world_size() > 1 else network
    losses, began, saved_at = [], time.monotonic(), time.monotonic()
    batches = load_batches(patches, plan, done, device)
    options = {"initial": done, "total": plan.iterations, "unit": "iteration", "hidden": not is_first()}
    with on_device(device), memory_errors(plan), progress(batches, plan.name, **options) as bar:
        for iteration, batch in enumerate(bar, start=done):
            rate = learning_rate(plan, iteration)
            for group in optimiser.param_groups:
                group["lr"] = rate
            # no cache: within the context of `on_device` it would keep the weights of the first iteration
            with torch.autocast(device.type, precision, precision != torch.float32, cache_enabled=False):
                loss = objective(model, [part.to(device, non_blocking=True) for part in batch])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT)
            optimiser.step()
            average.update_parameters(network)
            losses.append(loss.detach())
            finished = iteration + 1
            last = finished == plan.iterations
            if finished % LOG_EVERY and not last:
                continue
            if is_first():
                mean = torch.stack(losses).mean().item()
                speed = plan.batch_size * len(losses) / (time.monotonic() - began)
                if not math.isfinite(mean):
                    raise InputError(
                        f"{plan.name}: the loss is {mean} at iteration {finished};"
                        " set a lower training.learning_rate"
                    )
                text = f"{plan.name} {finished} of {plan.iterations}: loss {mean:.4f}, {speed:.1f}/s"
                log.info(text) if bar.disable else bar.set_postfix_str(text)
                with (out / LOG).open("a") as file:
                    file.write(f"{plan.name},{finished},{mean:.6f},{rate:.3g},{speed:.2f}\n")
                if time.monotonic() - saved_at > plan.save_seconds or last:
                    save_state(state_file, plan, finished, **parts)
                    saved_at = time.monotonic()
            losses, began = [], time.monotonic()
    return average.module.eval()


@contextmanager
def memory_errors(plan: Hyperparameters) -> Iterator[None]:
    """Raise running out of memory as InputError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if lacks_engine(error) or not is_out_of_memory(error):
            raise
        raise InputError(
            f"{plan.name}: not enough memory for training.batch_size {plan.batch_size}; set a smaller one,"
            " or a smaller training.patch_size"
        ) from error


def load_batches(
    patches: Dataset, plan: Hyperparameters, done: int, device: torch.device
) -> Iterator[list[Tensor]]:
    """Return the batches of this process from iteration `done` on.

    Raises:
        InputError: the batch size is not a multiple of the number of processes.
    """
    share = plan.batch_size // world_size()
    if share * world_size() != plan.batch_size:
        raise InputError(
            f"training.batch_size is {plan.batch_size}; it must be a multiple of {world_size()} (processes)"
        )
    first = rank() * share
    mine = [n * plan.batch_size + first + i for n in range(done, plan.iterations) for i in range(share)]
    cores, on_gpu = available_cores(), device.type == "cuda"
    workers = max(1, min(16, cores if on_gpu else cores // 2) // world_size())
    return DataLoader(
        Subset(patches, mine),
        share,
        num_workers=workers,
        prefetch_factor=8,
        pin_memory=on_gpu,
        multiprocessing_context="fork",  # shares the scenes in memory; the workers use no GPU
    )


def learning_rate(plan: Hyperparameters, iteration: int) -> float:
    """Return the learning rate: linear warm-up, then half a cosine down to a hundredth of the peak."""
    if iteration < plan.warmup_iterations:
        return plan.learning_rate * (iteration + 1) / plan.warmup_iterations
    progress = (iteration - plan.warmup_iterations) / max(plan.iterations - plan.warmup_iterations, 1)
    return plan.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


class MovingAverage(AveragedModel):
    """Exponential moving average of the weights, shorter at first to forget the initial weights."""

    def __init__(self, network: nn.Module, decay: float):
        super().__init__(network, multi_avg_fn=self.update, use_buffers=True)
        self.decay = decay

    @torch.no_grad()
    def update(self, averages: list[Tensor], values: list[Tensor], _: Tensor) -> None:
        """Move averages of one dtype towards the present values."""
        # that of this object is on the CPU; the argument is on the GPU, which would have to be waited for
        count = int(self.n_averaged)
        weight = 1 - min(self.decay, (1 + count) / (10 + count))
        if torch.is_floating_point(averages[0]):
            torch._foreach_lerp_(averages, values, weight)
        else:
            torch._foreach_copy_(averages, values)


def load_state(path: Path, plan: Hyperparameters, **parts: nn.Module | torch.optim.Optimizer) -> int:
    """Load the checkpoint of a run with the same hyperparameters into its parts, if there is one.

    Returns:
        The number of finished iterations.

    Raises:
        InputError: the checkpoint is from a run with other settings.
    """
    if not path.is_file():
        return 0
    # on the CPU, where AdamW's counts of steps must stay: on a GPU each step would wait for them
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["fingerprint"] != plan.fingerprint:
        raise InputError(
            f"{path}: from a run with other settings; give another folder or name, or delete it to start anew"
        )
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return state["iteration"]


def save_state(
    path: Path, plan: Hyperparameters, iteration: int, **parts: nn.Module | torch.optim.Optimizer
) -> None:
    """Write a checkpoint atomically."""
    state = {name: part.state_dict() for name, part in parts.items()}
    buffer = io.BytesIO()  # so that a full disk raises OSError
    torch.save(state | {"iteration": iteration, "fingerprint": plan.fingerprint}, buffer)
    with atomic_write(path, own=True) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def starts_with_header(path: Path) -> bool:
    """Return True for the log of a training."""
    with suppress(OSError), path.open("rb") as file:
        return file.readline(1000).decode(errors="replace").strip() == ",".join(LOG_COLUMNS)
    return False


def trim_log(path: Path, name: str, done: int) -> None:
    """Remove the rows after the last checkpoint of an interrupted run; start a new log with a header."""
    rows = [LOG_COLUMNS]
    if path.is_file():
        with path.open(newline="") as file:
            rows += [
                row
                for row in csv.reader(file)
                if row[0] != LOG_COLUMNS[0] and not (row[0] == name and int(row[1]) > done)
            ]
    save_text(path, "".join(",".join(row) + "\n" for row in rows), own=True)


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the processes that torchrun started, if it did, each on its `device`, until all are done."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
        distributed.init_process_group("nccl", device_id=device)
    else:
        distributed.init_process_group("gloo")
    yield
    distributed.destroy_process_group()  # not after an error, when others may wait for this process for ever


def wait_for_others() -> None:
    """Wait until all processes are here."""
    if distributed.is_initialized():
        distributed.barrier()


def world_size() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_first() -> bool:
    return rank() == 0
