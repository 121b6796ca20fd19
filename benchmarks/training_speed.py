"""Training throughput on this machine for several network sizes, and throughput of the simulation.

python benchmarks/training_speed.py --out benchmarks/training_speed.md
"""

import argparse
import csv
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
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
from omf.utils.files import save_text

PATCH = 120
RUNS = [  # network, widths, weight of MS-SSIM, batch size
    ("unet", [8, 16, 32, 64], 0.0, 12),
    ("unet", [16, 32, 64, 128, 256], 0.0, 12),
    ("unet", [16, 32, 64, 128, 256], 0.2, 12),
    ("nafnet", [16, 32, 64, 128, 256], 0.0, 12),
    ("unet", [64, 128, 256, 512, 1024], 0.0, 4),
]


def rates(
    network: str,
    widths: list[int],
    ms_ssim: float,
    batch: int,
    pictures: SimulatedPictures,
    steps: int,
    device: torch.device,
) -> np.ndarray:
    """Return patches per second for each tenth of a short training of NOE, without the first (warm-up)."""
    iterations, loss = Iterations(base=0, noe=1), Losses(noe=Loss(ms_ssim=ms_ssim))
    settings = TrainingSettings(network=network, widths=widths, iterations=iterations, loss=loss)
    with tempfile.TemporaryDirectory() as folder:
        save_network(DemosaicNet(), Path(folder) / "demosaic.safetensors")
        objective = branch_objective("noe", settings, Path(folder), device)
        patches = Patches(pictures, WANTED["noe"], PATCH, steps * batch, 0)
        fit(
            build(network, widths),
            objective,
            patches,
            Hyperparameters("noe", steps, batch, 1e-3, 1, 0.9, ""),
            Path(folder),
            device,
        )
        with (Path(folder) / "log.csv").open() as file:
            return np.array([float(row["patches_per_second"]) for row in csv.DictReader(file)][1:])


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--out", type=Path, help="Markdown table")
    arguments = parser.parse_args()
    loop.LOG_EVERY = max(arguments.steps // 10, 1)
    device = pick_device("auto", own_process=True)
    pictures = SimulatedPictures([], draw_scenes(16, 0), load_camera("samsung_s7"))
    lines = [
        f"{device_label(device)}; patches of {PATCH} x {PATCH} pixels;"
        " median (min to max) over nine parts of a short training",
        "",
    ]
    lines += ["| network | widths | MS-SSIM | batch size | patches/s |", "|---|---|---|---|---|"]
    for network, widths, ms_ssim, batch in tqdm(RUNS, unit="network", disable=None):
        measured = rates(network, widths, ms_ssim, batch, pictures, arguments.steps, device)
        name = "-".join(map(str, widths))
        lines.append(
            f"| {network} | {name} | {ms_ssim:g} | {batch} |"
            f" {np.median(measured):.1f} ({measured.min():.1f} to {measured.max():.1f}) |"
        )
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
    print("\n".join(lines))
    if arguments.out:
        save_text(arguments.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
