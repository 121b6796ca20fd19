"""Ablation of the method's components with the same data, training budget and network; three seeds each.

    python benchmarks/ablation.py PHOTO_OR_FOLDER... --demosaic trained_models/samsung_s7/demosaic.safetensors

The scores of each run are saved to benchmarks/ablation.json, and an interrupted benchmark resumes from there.
The table is written to benchmarks/ablation.md. Use other files (--out) for other settings.
"""

import argparse
import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from heldout_pairs import COLUMNS, HELD_OUT, digits, held_out_pairs, held_out_pictures, scores_by_region
from single_network import any_patch, whole_image_objective
from torch import nn
from tqdm import tqdm

from omf.inference.devices import pick_device
from omf.inference.fusion import Fusion
from omf.networks.base import network_input
from omf.networks.registry import build
from omf.raw.bayer import pack, to_challenge_counts, to_challenge_format
from omf.raw.camera import load_camera
from omf.raw.overexposure import overexposure_mask
from omf.training.loop import Plan, fit
from omf.training.patches import WANTED, Patches
from omf.training.settings import Loss, Losses, TrainingSettings
from omf.training.sources import simulated_pictures
from omf.training.train import branch_objective
from omf.utils.errors import cli_entry_point
from omf.utils.files import save_json, save_text

FULL_REFERENCE_METRICS = ["psnr", "ssim", "psnr_oe", "ssim_oe"]
OE_SHARE = 1 / 3  # of the iterations, in variants with two networks


@dataclass(frozen=True)
class Variant:
    """A row of the table."""

    name: str
    target: str = "demosaiced"  # or bayer
    fused: bool = False
    noe: dict = field(default_factory=dict)  # loss terms besides L1; also for a single network
    oe: dict = field(default_factory=dict)


PERCEPTUAL = {"ms_ssim": 0.2}
VARIANTS = [
    Variant("plain, to Bayer", target="bayer"),
    Variant("to demosaiced RAW"),
    Variant("+ MS-SSIM", noe=PERCEPTUAL),
    Variant("+ mask fusion", fused=True, noe=PERCEPTUAL, oe=PERCEPTUAL),
    Variant("mask fusion without MS-SSIM", fused=True),
    Variant("mask fusion, OE with L2", fused=True, oe={"l1": 0.0, "l2": 1.0}),
]
MAIN = VARIANTS[:4]  # also run with the second network


def train_variant(
    variant: Variant,
    network: str,
    seed: int,
    arguments: argparse.Namespace,
    source,
    run: Path,
    device: torch.device,
):
    """Train one variant and return a function sRGB -> packed RAW."""
    settings = TrainingSettings(loss=Losses(noe=Loss(**variant.noe), oe=Loss(**variant.oe)))
    shutil.copy(arguments.demosaic, run / "demosaic.safetensors")

    def train(branch: str, steps: int, initial: nn.Module, objective) -> nn.Module:
        patches = Patches(
            source, WANTED.get(branch, any_patch), arguments.patch, steps * arguments.batch, seed
        )
        return fit(
            initial,
            objective,
            patches,
            Plan(branch, steps, arguments.batch, arguments.learning_rate, 50, 0.995, ""),
            run,
            device,
        )

    torch.manual_seed(seed)
    if variant.target == "bayer":
        model = train("all", arguments.steps, build(network, arguments.widths, out_channels=1), bayer_loss)
        return lambda rgb: pack(to_challenge_counts(run_network(model, rgb, device)[..., 0]))
    first = build(network, arguments.widths)
    if not variant.fused:
        model = train("all", arguments.steps, first, whole_image_objective(settings, run, device))
        return lambda rgb: to_challenge_format(run_network(model, rgb, device))
    steps_oe = round(arguments.steps * OE_SHARE)
    noe = train("noe", arguments.steps - steps_oe, first, branch_objective("noe", settings, run, device))
    initial = build(network, arguments.widths)
    initial.load_state_dict(noe.state_dict())
    oe = train("oe", steps_oe, initial, branch_objective("oe", settings, run, device))
    fuse = Fusion(oe, noe, device)
    return lambda rgb: to_challenge_format(fuse(rgb, overexposure_mask(rgb)))


def bayer_loss(network: nn.Module, batch: list[torch.Tensor]) -> torch.Tensor:
    """Return the mean absolute error of a single-channel output against the mosaic."""
    x, bayer = batch
    return (network(x).float() - bayer).abs().mean()


@torch.inference_mode()
def run_network(model: nn.Module, rgb: np.ndarray, device: torch.device) -> np.ndarray:
    """Run one network on all pixels: sRGB (H, W, 3) -> float32 (H, W, C) in [0, 1]."""
    return (
        model(network_input(rgb, overexposure_mask(rgb)).to(device))[0]
        .clamp(0, 1)
        .permute(1, 2, 0)
        .cpu()
        .numpy()
    )


def table(runs: list[dict], caption: str) -> str:
    """Return a Markdown table with mean and standard deviation over the seeds for each variant."""
    lines = [
        caption,
        "",
        "| network | variant | " + " | ".join(COLUMNS[key] for key in FULL_REFERENCE_METRICS) + " |",
        "|---" * (len(FULL_REFERENCE_METRICS) + 2) + "|",
    ]
    for network, variant in dict.fromkeys((run["network"], run["variant"]) for run in runs):
        values = np.array(
            [
                [run[key] for key in FULL_REFERENCE_METRICS]
                for run in runs
                if (run["network"], run["variant"]) == (network, variant)
            ]
        )
        spreads = values.std(0, ddof=min(1, len(values) - 1))
        cells = [
            f"{mean:.{d}f} ± {spread:.{d}f}"
            for mean, spread, d in zip(values.mean(0), spreads, digits(FULL_REFERENCE_METRICS))
        ]
        lines.append(f"| {network} | {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "photos",
        nargs="*",
        type=Path,
        help="training photos and, if listed in heldout_pairs.txt, test photos; none: drawn scenes",
    )
    parser.add_argument("--demosaic", type=Path, required=True, help="weights of the Demosaic Net")
    parser.add_argument("--widths", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument(
        "--steps", type=int, default=400, help="iterations per variant, both networks together"
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=72)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=80, help="number of held-out pairs")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()

    device = pick_device("auto")
    source = simulated_pictures(
        TrainingSettings(photos=[str(path) for path in arguments.photos], exclude=str(HELD_OUT))
    )
    pictures, contents = held_out_pictures(arguments.photos, load_camera("samsung_s7"), 256)
    pairs = list(held_out_pairs(pictures, arguments.pairs, 256))
    widths = "-".join(map(str, arguments.widths))
    budget = (
        f"{arguments.steps} iterations, batches of {arguments.batch} patches of {arguments.patch} x"
        f" {arguments.patch} pixels, widths {widths}"
    )
    caption = (
        f"{arguments.pairs} simulated pairs from {contents}: every other pair random (PSNR, SSIM), the rest"
        " selected for highlights (overexposed: all pairs with overexposed pixels);"
        f" {budget}; mean ± standard deviation over {arguments.seeds} seeds"
    )
    runs = json.loads(arguments.out.read_text()) if arguments.out.is_file() else []
    todo = [("unet", variant, seed) for seed in range(arguments.seeds) for variant in VARIANTS]
    todo += [("nafnet", variant, seed) for seed in range(arguments.seeds) for variant in MAIN]
    for network, variant, seed in tqdm(todo, "ablation", unit="run", disable=None):
        key = {"network": network, "variant": variant.name, "seed": seed}
        if any(key.items() <= run.items() for run in runs):
            continue
        with tempfile.TemporaryDirectory() as folder:
            reconstruct = train_variant(variant, network, seed, arguments, source, Path(folder), device)
        scores = [scores_by_region(reconstruct(pair.rgb), pair) for pair in pairs]
        runs.append(
            key
            | {
                column: float(np.mean([score[column] for score in scores if column in score]))
                for column in FULL_REFERENCE_METRICS
            }
        )
        save_json(arguments.out, runs)
        print(runs[-1], flush=True)
    order = [(network, variant.name) for network in ("unet", "nafnet") for variant in VARIANTS]
    runs.sort(key=lambda run: (order.index((run["network"], run["variant"])), run["seed"]))
    save_text(arguments.out.with_suffix(".md"), table(runs, caption))
    print(table(runs, caption))


if __name__ == "__main__":
    main()
