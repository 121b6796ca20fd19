"""Comparison of the model's parts with the same data and budget; three seeds each.

    python benchmarks/ablation.py PHOTO_OR_FOLDER... --pairs PAIRS --only 's7_*' --published PHOTO ANSWER \\
        --demosaic trained_models/samsung_s7/demosaic.safetensors

Scores are those of simulated held-out pairs (benchmarks/heldout_pairs.py) and of real references
(benchmarks/real.py; those of unknown scale after the best factor). The scores of each run are saved to
benchmarks/ablation.json, and an interrupted benchmark resumes from there. The table is written to
benchmarks/ablation.md. Use other files (--out) for other settings.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
import yaml
from heldout_pairs import (
    COLUMNS,
    HELD_OUT,
    HeldOutPair,
    held_out_pairs,
    held_out_pictures,
    scores_by_region,
)
from real import CHALLENGE_PATCH, Reference, add_references, patches, read_references
from real import score as real_scores
from reporting import head, row
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from omf.inference.base import Picture
from omf.inference.devices import pick_device
from omf.inference.fusion import Fusion
from omf.models.checkpoints import load_base, load_demosaic_net, save_network
from omf.networks.base import PaddedNetwork, network_input
from omf.networks.build import build
from omf.networks.global_net import BASE_CHANNELS, GlobalNet, refine
from omf.raw.bayer import crop_to_cells, from_challenge_counts, pack, to_challenge_counts
from omf.raw.camera import Camera, load_camera, profile_path
from omf.raw.overexposure import overexposure_mask
from omf.training.loop import Hyperparameters, fit
from omf.training.losses import BranchLoss
from omf.training.patches import WANTED, Patches, WholeImages
from omf.training.settings import Iterations, Loss, Losses, TrainingSettings
from omf.training.sources import Source, simulated_pictures
from omf.training.train import base_objective, branch_objective, mean_isp, weights_file
from omf.utils.errors import cli_entry_point
from omf.utils.files import save_json, save_text
from omf.utils.yaml import parse_yaml

SCORES = {key: COLUMNS[key] for key in ("psnr", "ssim", "psnr_oe", "ssim_oe")} | {
    "psnr_real": "PSNR, real references"
}
OE_SHARE = 1 / 3  # of the iterations, in variants with two networks
IMAGES = 32  # whole images in an iteration of the base network
CAMERA = "samsung_s7"
SIZE = 256  # height and width of held-out pairs, pixels
Reconstruct = Callable[[np.ndarray], np.ndarray]  # sRGB -> packed RAW, uint16


@dataclass(frozen=True)
class Variant:
    """A row of the table."""

    name: str
    base: bool = False
    target: str = "demosaiced"  # or bayer
    networks: tuple[str, ...] = ("all",)  # all: one network for all pixels; or of noe and oe
    loss: dict = field(default_factory=dict)  # terms besides L1
    one_kind: bool = False  # simulate photos of one kind, without the profile's tone groups
    crop_by_crop: bool = False  # judge each crop of a photo for itself
    own_exposure: bool = False  # the base network tells the exposure, in place of the mean ISP


PERCEPTUAL = {"ms_ssim": 0.2}
WITHOUT_BASE = [
    Variant("one network, to Bayer", target="bayer"),
    Variant("one network, to demosaiced RAW"),
    Variant("+ MS-SSIM", loss=PERCEPTUAL),
    Variant("+ mask fusion (NOE and OE)", networks=("noe", "oe"), loss=PERCEPTUAL),
]
WITH_BASE = [
    Variant("base alone", base=True, networks=()),
    Variant("base alone, its own exposure", base=True, networks=(), own_exposure=True),
    Variant("base alone, one kind of photo", base=True, networks=(), one_kind=True),
    Variant("base alone, crop by crop", base=True, networks=(), crop_by_crop=True),
    Variant("base, + mask fusion (NOE and OE)", base=True, networks=("noe", "oe"), loss=PERCEPTUAL),
    Variant("base, NOE only", base=True, networks=("noe",), loss=PERCEPTUAL),
    Variant("base, OE only", base=True, networks=("oe",), loss=PERCEPTUAL),
]
ROWS = [
    *(("unet", variant) for variant in (*WITHOUT_BASE, *WITH_BASE)),
    *(("packed_unet", variant) for variant in WITH_BASE[-3:]),
    *(("nafnet", variant) for variant in (WITHOUT_BASE[2], WITHOUT_BASE[3], WITH_BASE[-3])),
]


class Zero(PaddedNetwork):
    """A network that predicts 0: what it refines stays as it is."""

    receptive_radius, bytes_per_pixel = 0, 4

    def __init__(self):
        super().__init__((1,), BASE_CHANNELS, 3)

    def body(self, x: Tensor) -> Tensor:
        return x.new_zeros(len(x), 3, *x.shape[2:])


@dataclass(frozen=True)
class Trainer:
    """Trains the networks of a run."""

    arguments: argparse.Namespace
    source: Source
    seed: int
    run: Path  # contains the weights of the Demosaic Net, and of the base network for variants with base
    device: torch.device

    def train_base(self, source: Source, camera: Camera) -> GlobalNet:
        """Train a base network, whose answers have the exposure of the camera's mean ISP."""
        images = WholeImages(source, self.arguments.steps * IMAGES, self.seed)
        base = self.fit("base", GlobalNet(), base_objective, images, IMAGES)
        base.hold_exposure(*mean_isp(camera))
        return base

    def train(self, variant: Variant, architecture: str) -> Reconstruct:
        """Train the networks of a variant."""
        loss = Loss(**{"ms_ssim": 0.0} | variant.loss)
        settings = TrainingSettings(
            iterations=Iterations(base=int(variant.base), noe=1),
            loss=Losses(noe=loss, oe=loss),
        )
        if variant.one_kind:
            camera = one_kind_of_photo(self.run)
            base = self.train_base(training_source(self.arguments.photos, camera), load_camera(str(camera)))
        else:
            base = load_base(weights_file(self.run, "base")) if variant.base else None
        if variant.own_exposure:
            base.hold_exposure(None, None)

        def train(branch: str, objective, share: float = 1, initial: nn.Module | None = None, outputs=3):
            network = build(architecture, self.arguments.widths, BASE_CHANNELS if base else 4, outputs)
            if initial:
                network.load_state_dict(initial.state_dict())
            arguments = self.arguments
            patches = Patches(
                self.source,
                WANTED.get(branch, any_patch),
                arguments.patch,
                round(share * arguments.steps) * arguments.batch,
                self.seed,
                with_summary=variant.base,
            )
            return self.fit(branch, network, objective, patches, arguments.batch)

        if variant.target == "bayer":
            return partial(predict_bayer, train("all", bayer_objective, outputs=1))
        if "all" in variant.networks:
            noe = oe = train("all", whole_image_objective(settings, self.run, self.device))
        else:
            noe, oe, both = Zero(), Zero(), len(variant.networks) == 2
            if "noe" in variant.networks:
                objective = branch_objective("noe", settings, self.run, self.device)
                noe = train("noe", objective, 1 - OE_SHARE if both else 1)
            if "oe" in variant.networks:
                objective = branch_objective("oe", settings, self.run, self.device)
                oe = train("oe", objective, OE_SHARE if both else 1, noe if both else None)
        fusion = Fusion(oe, noe, self.device, base=base)

        def reconstruct(rgb: np.ndarray) -> np.ndarray:
            return fusion.packed([Picture(rgb.view(), overexposure_mask(rgb))])()[0]

        return partial(crop_by_crop, reconstruct) if variant.crop_by_crop else reconstruct

    def fit(self, name: str, network: nn.Module, objective, dataset: Dataset, batch: int) -> nn.Module:
        steps = len(dataset) // batch
        plan = Hyperparameters(name, steps, batch, self.arguments.learning_rate, 50, 0.995, "")
        with tempfile.TemporaryDirectory() as folder:
            return fit(network, objective, dataset, plan, Path(folder), self.device)


def one_kind_of_photo(folder: Path) -> Path:
    """Write the profile of the S7 without its tone groups, and return its path."""
    profile = parse_yaml(profile_path(CAMERA).read_text("utf-8"))
    del profile["tone_groups"]
    save_text(path := folder / "one_kind.yaml", yaml.safe_dump(profile))
    return path


def training_source(photos: list[Path], camera: str | Path) -> Source:
    """Return the simulated pictures of a camera."""
    names = [str(path) for path in photos]
    return simulated_pictures(TrainingSettings(photos=names, exclude=str(HELD_OUT), camera=str(camera)))


def crop_by_crop(reconstruct: Reconstruct, rgb: np.ndarray) -> np.ndarray:
    """Reconstruct the crops of a photo, of the size of the challenge's, each for itself."""
    predicted = np.empty((rgb.shape[0] // 2, rgb.shape[1] // 2, 4), np.uint16)
    for rows, columns in patches(rgb.shape, CHALLENGE_PATCH):
        packed = reconstruct(rgb[rows, columns])
        predicted[rows.start // 2 : rows.stop // 2, columns.start // 2 : columns.stop // 2] = packed
    return predicted


def any_patch(luma: np.ndarray) -> bool:
    """Select every patch."""
    return True


def whole_image_objective(
    settings: TrainingSettings, run: Path, device: torch.device
) -> Callable[[nn.Module, list[Tensor]], Tensor]:
    """Return the objective of NOE, over all pixels, of a network without base."""
    demosaic = load_demosaic_net(weights_file(run, "demosaic")).to(device)
    criterion = BranchLoss(settings.loss.noe, load_camera(settings.camera).mean_neutral).to(device)

    def objective(network: nn.Module, batch: list[Tensor]) -> Tensor:
        x, bayer = batch
        predicted = refine(network, x.contiguous(memory_format=torch.channels_last))
        with torch.autocast(device.type, enabled=False):
            with torch.no_grad():
                truth = demosaic(bayer).clamp(0, 1)
            return criterion(predicted.float(), truth, torch.ones_like(x[:, 3:4]))

    return objective


def bayer_objective(network: nn.Module, batch: list[Tensor]) -> Tensor:
    """Return the mean absolute error of a single-channel output against the mosaic."""
    x, bayer = batch
    return (network(x) - bayer).abs().mean()


@torch.inference_mode()
def predict_bayer(network: nn.Module, rgb: np.ndarray) -> np.ndarray:
    """Predict packed RAW by a network of one output channel, in one piece."""
    x = network_input(rgb, overexposure_mask(rgb)).to(next(network.parameters()).device)
    return pack(crop_to_cells(to_challenge_counts(network(x)[0, 0].clamp(0, 1).cpu().numpy())))


def score(
    reconstruct: Reconstruct, pairs: list[HeldOutPair], references: list[Reference]
) -> dict[str, float]:
    """Return the means of `SCORES`."""
    rows = [scores_by_region(reconstruct(pair.rgb), pair) for pair in pairs]
    means = {key: np.mean([one[key] for one in rows if key in one]) for key in SCORES if key != "psnr_real"}
    if references:
        scores = [real_scores(from_challenge_counts(reconstruct(item.rgb)), item) for item in references]
        means["psnr_real"] = np.mean(
            [one["psnr_factor" if item.is_stretched else "psnr"] for one, item in zip(scores, references)]
        )
    return {key: float(value) for key, value in means.items()}


def table(runs: list[dict], caption: str) -> str:
    """Return a Markdown table with mean and standard deviation over the seeds for each variant."""
    lines = [caption, "", *head("network", "variant", *SCORES.values())]
    for network, variant in ROWS:
        chosen = [run for run in runs if (run["network"], run["variant"]) == (network, variant.name)]
        cells = [spread([run[key] for run in chosen if key in run], key) for key in SCORES]
        lines.append(row(network, variant.name, *cells))
    return "\n".join(lines) + "\n"


def spread(values: list[float], key: str) -> str:
    """Return mean and standard deviation in words."""
    if not values:
        return ""
    digits = 4 if key.startswith("ssim") else 2
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=min(1, len(values) - 1)):.{digits}f}"


def parse_arguments() -> argparse.Namespace:
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
    add_references(parser)
    parser.add_argument("--widths", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--steps", type=int, default=400, help="iterations of the networks, and of the base")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=72)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--count", type=int, default=80, help="number of held-out pairs")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    return parser.parse_args()


@cli_entry_point
def main() -> None:
    arguments, device = parse_arguments(), pick_device("auto", own_process=True)
    source, camera = training_source(arguments.photos, CAMERA), load_camera(CAMERA)
    pictures, contents = held_out_pictures(arguments.photos, camera, SIZE)
    pairs = list(held_out_pairs(pictures, arguments.count, SIZE))
    references = read_references(arguments)
    caption = (
        f"{arguments.count} simulated pairs from {contents}: every other pair random (PSNR, SSIM), the rest"
        f" selected for highlights (overexposed: all pairs with overexposed pixels); {len(references)} real"
        f" references, {sum(item.is_stretched for item in references)} of them after the best factor."
        f" {arguments.steps} iterations, batches of {arguments.batch} patches of"
        f" {arguments.patch} x {arguments.patch} pixels, widths {'-'.join(map(str, arguments.widths))}; base:"
        f" as many iterations of {IMAGES} thumbnails; mean ± standard deviation over"
        f" {arguments.seeds} seeds"
    )
    runs = json.loads(arguments.out.read_text()) if arguments.out.is_file() else []
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(arguments, source, seed, Path(folder), device)
            shutil.copy(arguments.demosaic, weights_file(trainer.run, "demosaic"))
            for network, variant in tqdm(ROWS, f"seed {seed}", unit="run", disable=None):
                key = {"network": network, "variant": variant.name, "seed": seed}
                if any(key.items() <= run.items() for run in runs):
                    continue
                torch.manual_seed(seed)
                if variant.base and not variant.one_kind and not weights_file(trainer.run, "base").is_file():
                    save_network(trainer.train_base(source, camera), weights_file(trainer.run, "base"))
                reconstruct = trainer.train(variant, network)
                runs.append(key | score(reconstruct, pairs, references))
                save_json(arguments.out, runs)
                print(runs[-1], flush=True)
    save_text(arguments.out.with_suffix(".md"), table(runs, caption))
    print(table(runs, caption))


if __name__ == "__main__":
    main()
