"""The training loop: first NOE, then OE, each judged on its own pixels only."""

import copy
import csv
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from omf.camera import Camera
from omf.checkpoints import load_unet, save_unet
from omf.errors import InputError
from omf.files import written_whole
from omf.models import Model
from omf.training.pairs import SimulatedPairs
from omf.unet import UNet


@dataclass(frozen=True)
class Settings:
    """What a training run is; a run resumes only with the same settings."""

    camera: str = "samsung_s7"
    widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    steps_noe: int = 4000
    steps_oe: int = 1300  # fewer: OE starts from NOE's weights
    batch: int = 12
    patch: int = 120  # pixels a side; with the network's border of 4 a multiple of 16
    learning_rate: float = 2e-3  # at its highest, after the warm-up; falls to a hundredth along a cosine
    warm_up: int = 100  # steps
    seed: int = 0
    start: str | None = None  # the model to go on from


SAVE_EVERY = 100  # steps
WORKERS = 1  # processes that simulate pairs while the network trains


def train(
    settings: Settings, scenes: list[np.ndarray], camera: Camera, out: Path, device: torch.device, start: Model | None = None
) -> None:
    """Train both branches; leaves `noe.safetensors`, `oe.safetensors` and `log.csv` in `out`.

    A run that was cut off goes on from its last checkpoint, `out/state.pt`.

    Args:
        settings: what is trained, and how.
        scenes: linear scenes of photos, see `load_scenes`; may be empty.
        camera: whose pictures are simulated.
        out: folder of the model.
        device: where to train.
        start: a model to go on from; without one, NOE starts from nothing and OE from NOE.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    state = load_state(out / "state.pt", settings)
    noe = load_unet(start.noe.path) if start else UNet(settings.widths)
    if state is None or state["branch"] == "noe":
        train_branch("noe", noe, settings, scenes, camera, out, device, state)
        save_unet(noe, out / "noe.safetensors")
        state = None
    oe = load_unet(start.oe.path) if start else copy.deepcopy(noe)
    train_branch("oe", oe, settings, scenes, camera, out, device, state)
    save_unet(oe, out / "oe.safetensors")
    (out / "state.pt").unlink()


def train_branch(
    branch: str,
    network: UNet,
    settings: Settings,
    scenes: list[np.ndarray],
    camera: Camera,
    out: Path,
    device: torch.device,
    state: dict | None,
) -> None:
    """Train one network in place, from `state` if there is one."""
    steps = settings.steps_noe if branch == "noe" else settings.steps_oe
    network.to(device, memory_format=torch.channels_last).train()  # the faster layout on a CPU
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=1e-4)
    done = 0
    if state is not None:
        done = state["step"]
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
    pairs = SimulatedPairs(scenes, camera, branch, settings.patch, steps * settings.batch, settings.seed + (branch == "oe"))
    rest = Subset(pairs, range(done * settings.batch, len(pairs)))
    loader = DataLoader(rest, settings.batch, num_workers=WORKERS, prefetch_factor=8)
    losses, began = [], time.monotonic()
    with tqdm(loader, branch.upper(), initial=done, total=steps, unit="step", disable=None) as progress:
        for step, (x, raw) in enumerate(progress, start=done):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(settings, step, steps)
            predicted = network(x.to(device, memory_format=torch.channels_last))
            loss = branch_loss(predicted, raw.to(device), x[:, 3:].to(device), branch)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            losses.append(loss.detach())
            if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
                mean = torch.stack(losses).mean().item()
                rate = settings.batch * len(losses) / (time.monotonic() - began)
                losses, began = [], time.monotonic()
                progress.set_postfix(loss=f"{mean:.4f}")
                append_log(out / "log.csv", branch, step + 1, mean, rate)
                state = {"network": network.state_dict(), "optimiser": optimiser.state_dict()}
                save_state(out / "state.pt", state | {"settings": asdict(settings), "branch": branch, "step": step + 1})
    network.eval()


def branch_loss(predicted: Tensor, raw: Tensor, mask: Tensor, branch: str) -> Tensor:
    """Mean absolute error over the branch's own pixels: (N, 3, H, W), (N, 3, H, W), (N, 1, H, W) -> ()."""
    own = mask if branch == "oe" else 1 - mask
    return ((predicted - raw).abs() * own).sum() / (3 * own.sum())


def learning_rate(settings: Settings, step: int, steps: int) -> float:
    """Up in a line, then down along half a cosine to a hundredth."""
    if step < settings.warm_up:
        return settings.learning_rate * (step + 1) / settings.warm_up
    progress = (step - settings.warm_up) / max(steps - settings.warm_up, 1)
    return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def load_state(path: Path, settings: Settings) -> dict | None:
    """The checkpoint of a run with the same settings; None where there is no checkpoint."""
    if not path.is_file():
        return None
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["settings"] != asdict(settings):
        raise InputError(f"{path}: from a run with other settings; give another folder, or delete it to start anew")
    return state


def save_state(path: Path, state: dict) -> None:
    with written_whole(path) as temporary:
        torch.save(state, temporary)


def append_log(path: Path, branch: str, step: int, loss: float, rate: float) -> None:
    """Add a row; the first one writes the header."""
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(["branch", "step", "loss", "pairs_per_second"])
        writer.writerow([branch, step, f"{loss:.6f}", f"{rate:.2f}"])
