"""Training throughput on this machine for several network sizes, and throughput of the simulation.

python benchmarks/training_speed.py --out benchmarks/training_speed.md
"""

import csv
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from reporting import head, make_parser, median_and_range, publish
from tqdm import tqdm

from omf.inference.devices import device_label, pick_device
from omf.models.checkpoints import save_network
from omf.networks.build import build
from omf.networks.demosaic_net import DemosaicNet
from omf.raw.camera import load_camera
from omf.training import loop
from omf.training.loop import Hyperparameters, fit
from omf.training.patches import WANTED, Patches
from omf.training.settings import Iterations, Loss, Losses, TrainingSettings
from omf.training.sources import SimulatedPictures, draw_scenes
from omf.training.train import branch_objective
from omf.utils.errors import cli_entry_point

PATCH = 120
RUNS = [  # network, widths, weight of MS-SSIM, batch size
    ("unet", [8, 16, 32, 64], 0.0, 12),
    ("unet", [16, 32, 64, 128, 256], 0.0, 12),
    ("unet", [16, 32, 64, 128, 256], 0.2, 12),
    ("nafnet", [16, 32, 64, 128, 256], 0.0, 12),
    ("unet", [64, 128, 256, 512, 1024], 0.0, 4),
]


def train_noe(
    settings: TrainingSettings,
    batch: int,
    pictures: SimulatedPictures,
    steps: int,
    device: torch.device,
    warmup: int = 1,
    parts: int = 10,
) -> tuple[list[float], list[float]]:
    """Train NOE for a short time; return the losses of its parts, and patches per second after the first."""
    loop.LOG_EVERY = max(steps // parts, 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_network(DemosaicNet(), folder / "demosaic.safetensors")
        objective = branch_objective("noe", settings, folder, device)
        patches = Patches(pictures, WANTED["noe"], PATCH, steps * batch, 0)
        plan = Hyperparameters("noe", steps, batch, 1e-3, warmup, 0.9, "")
        fit(build(settings.network, settings.widths), objective, patches, plan, folder, device)
        with (folder / "log.csv").open() as file:
            logged = list(csv.DictReader(file))
    losses, rates = ([float(entry[key]) for entry in logged] for key in ("loss", "patches_per_second"))
    return losses, rates[1:]


@cli_entry_point
def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()
    device = pick_device("auto", own_process=True)
    pictures = SimulatedPictures([], draw_scenes(16, 0), load_camera("samsung_s7"))
    lines = [
        f"{device_label(device)}; patches of {PATCH} x {PATCH} pixels;"
        " median (min to max) over nine parts of a short training",
        "",
    ]
    lines += head("network", "widths", "MS-SSIM", "batch size", "patches/s")
    for network, widths, ms_ssim, batch in tqdm(RUNS, unit="network", disable=None):
        iterations, loss = Iterations(base=0, noe=1), Losses(noe=Loss(ms_ssim=ms_ssim))
        settings = TrainingSettings(network=network, widths=widths, iterations=iterations, loss=loss)
        _, rates = train_noe(settings, batch, pictures, arguments.steps, device)
        name = "-".join(map(str, widths))
        lines.append(f"| {network} | {name} | {ms_ssim:g} | {batch} | {median_and_range(rates, 1)} |")
    for branch in ("noe", "oe"):
        patches = Patches(pictures, WANTED[branch], PATCH, 200, 0)
        seconds = []
        for index in range(200):
            began = time.perf_counter()
            patches[index]
            seconds.append(time.perf_counter() - began)
        lines.append(
            f"| simulation of {branch.upper()} pairs only, one process | | | | {1 / np.mean(seconds):.1f} |"
        )
    publish(lines, arguments.out)


if __name__ == "__main__":
    main()
