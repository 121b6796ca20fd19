"""The method's steps, one after the other: same data, same budget, same network; three seeds each.

    python benchmarks/ablation.py PHOTO_OR_FOLDER... --demosaic trained_models/samsung_s7/demosaic.safetensors

Each run's scores are kept in benchmarks/ablation.json, from where a call that was cut off goes on; the
table is written to benchmarks/ablation.md. Runs of other settings go to other files (--out).
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
from omf.training.patches import Patches
from omf.training.settings import settings_from
from omf.training.sources import simulated_pictures
from omf.training.train import branch_objective
from omf.utils.errors import cli_entry_point
from omf.utils.files import save_json, save_text

FULL_REFERENCE_METRICS = ["psnr", "ssim", "psnr_oe", "ssim_oe"]
OE_SHARE = 1 / 3  # of the steps, in the variants with two networks


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    name: str
    target: str = "demosaiced"  # or bayer
    fused: bool = False
    noe: dict = field(default_factory=dict)  # parts of the loss that are not L1's; of the only network too
    oe: dict = field(default_factory=dict)
    even_brightness: bool = False


L1 = {"l1": 1.0, "l2": 0.0, "ms_ssim": 0.0}
PERCEPTUAL = {"ms_ssim": 0.2}
VARIANTS = [
    Variant("plain, to Bayer", target="bayer"),
    Variant("to demosaiced RAW"),
    Variant("+ MS-SSIM", noe=PERCEPTUAL),
    Variant("+ mask fusion", fused=True, noe=PERCEPTUAL, oe=PERCEPTUAL),
    Variant("mask fusion without MS-SSIM", fused=True),
    Variant("mask fusion, OE with L2", fused=True, oe={"l1": 0.0, "l2": 1.0}),
    Variant("mask fusion, NOE's loss in gamma space", fused=True, noe={"gamma": True}),
    Variant("mask fusion, even brightness", fused=True, even_brightness=True),
]
MAIN = VARIANTS[:4]  # the rows that the second network goes through too


def train_variant(
    variant: Variant,
    network: str,
    seed: int,
    arguments: argparse.Namespace,
    source,
    run: Path,
    device: torch.device,
):
    """Train one variant; returns sRGB -> packed RAW."""
    settings = settings_from({"loss": {"noe": L1 | variant.noe, "oe": L1 | variant.oe}})
    shutil.copy(arguments.demosaic, run / "demosaic.safetensors")

    def trained(branch: str, steps: int, start: nn.Module, objective) -> nn.Module:
        patches = Patches(
            source, branch, arguments.patch, steps * arguments.batch, seed, variant.even_brightness
        )
        return fit(
            start,
            objective,
            patches,
            Plan(branch, steps, arguments.batch, arguments.learning_rate, 50, 0.995, ""),
            run,
            device,
        )

    torch.manual_seed(seed)
    if variant.target == "bayer":
        model = trained("all", arguments.steps, build(network, arguments.widths, out_channels=1), bayer_loss)
        return lambda rgb: pack(to_challenge_counts(single(model, rgb, device)[..., 0]))
    first = build(network, arguments.widths)
    if not variant.fused:
        model = trained("all", arguments.steps, first, branch_objective("all", settings, run, device))
        return lambda rgb: to_challenge_format(single(model, rgb, device))
    steps_oe = round(arguments.steps * OE_SHARE)
    noe = trained("noe", arguments.steps - steps_oe, first, branch_objective("noe", settings, run, device))
    start = build(network, arguments.widths)
    start.load_state_dict(noe.state_dict())
    oe = trained("oe", steps_oe, start, branch_objective("oe", settings, run, device))
    fuse = Fusion(oe, noe, device)
    return lambda rgb: to_challenge_format(fuse(rgb, overexposure_mask(rgb)))


def bayer_loss(network: nn.Module, batch: list[torch.Tensor]) -> torch.Tensor:
    """Mean absolute error of a network of one output channel against the mosaic."""
    x, bayer = batch
    return (network(x).float() - bayer).abs().mean()


@torch.inference_mode()
def single(model: nn.Module, rgb: np.ndarray, device: torch.device) -> np.ndarray:
    """One network for all pixels: sRGB (H, W, 3) -> float32 (H, W, C) in [0, 1]."""
    return (
        model(network_input(rgb, overexposure_mask(rgb)).to(device))[0]
        .clamp(0, 1)
        .permute(1, 2, 0)
        .cpu()
        .numpy()
    )


def table(runs: list[dict], about: str) -> str:
    """Markdown: for every variant the mean over the seeds, and the seeds' standard deviation."""
    lines = [
        about,
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
        help="for training and, those in heldout_pairs.txt, for scoring; none: drawn scenes",
    )
    parser.add_argument("--demosaic", type=Path, required=True, help="weights of the Demosaic Net")
    parser.add_argument("--widths", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--steps", type=int, default=400, help="of each variant, both networks together")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=72)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=80, help="held-out pairs to score")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()

    device = pick_device("auto")
    source = simulated_pictures(
        settings_from({"photos": [str(path) for path in arguments.photos], "leave_out": str(HELD_OUT)})
    )
    pictures, contents = held_out_pictures(arguments.photos, load_camera("samsung_s7"), 256)
    pairs = list(held_out_pairs(pictures, arguments.pairs, 256))
    widths = "-".join(map(str, arguments.widths))
    budget = (
        f"{arguments.steps} steps of {arguments.batch} patches of {arguments.patch} pixels, widths {widths}"
    )
    about = (
        f"{arguments.pairs} simulated pairs of {contents}, every other one as it comes (PSNR, SSIM), the others chosen for their highlights"
        f" (overexposed: all pairs that hold some); {budget}; mean ± standard deviation over {arguments.seeds} seeds"
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
    save_text(arguments.out.with_suffix(".md"), table(runs, about))
    print(table(runs, about))


if __name__ == "__main__":
    main()
