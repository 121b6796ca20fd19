"""Difference of each precision from float64, in counts.

python benchmarks/precision.py PHOTOS --out benchmarks/precision.md
"""

import argparse
import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from tqdm import tqdm

from omf.inference.devices import device_label, pick_device
from omf.inference.fusion import Fusion
from omf.io.photos import find_photos
from omf.models.checkpoints import load_networks
from omf.models.registry import Model, find_model
from omf.networks.fused_unet import FusedUNet
from omf.networks.global_net import refine
from omf.networks.unet import UNet
from omf.raw.bayer import WHITE_LEVEL, mosaic, to_challenge_counts
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import cli_entry_point
from omf.utils.files import save_text


def load_precisions(model: Model, device: torch.device) -> dict[str, Fusion]:
    """Return the method in each precision; the float64 reference has the name ''."""
    oe, noe, base, _ = load_networks(model)

    def with_body(body: Callable[[UNet], Callable]) -> Fusion:
        """Return the method with replaced functions for its networks."""
        fusion = Fusion(oe, noe, device, "published", base)
        for branch, unet in zip(fusion.branches, filter(None, (noe, oe))):
            branch.run = partial(refine, body(unet))
        return fusion

    return {
        "`precision: published`": Fusion(oe, noe, device, "published", base),
        "`precision: float32`, the default": Fusion(oe, noe, device, base=base),
        "`precision: float16`": with_body(lambda unet: FusedUNet(unet, torch.float16).to(device)),
        "`precision: float16`, in bfloat16": with_body(
            lambda unet: FusedUNet(unet, torch.bfloat16).to(device)
        ),
        "": with_body(lambda unet: in_float64(copy.deepcopy(unet).double().to(device))),
    }


def in_float64(unet: UNet) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the body of a U-Net whose weights are float64, for float32 input."""
    return lambda x: unet.body(x.double())


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=20, help="number of photos, evenly spaced by name")
    parser.add_argument("--model", default="samsung_s7", help="model of U-Nets")
    parser.add_argument("--out", type=Path, help="Markdown table")
    arguments = parser.parse_args()
    photos = find_photos(arguments.photos)
    photos = photos[:: max(len(photos) // arguments.count, 1)][: arguments.count]
    device = pick_device("auto", own_process=True)
    fusions = load_precisions(find_model(arguments.model), device)
    reference = fusions.pop("")
    errors: dict[str, list[np.ndarray]] = {name: [] for name in fusions}
    changed: dict[str, list[np.ndarray]] = {name: [] for name in fusions}
    for photo in tqdm(photos, unit="photo", disable=None):
        rgb = iio.imread(photo)
        mask = overexposure_mask(rgb)
        expected = mosaic(reference(rgb, mask))
        for name, fuse in fusions.items():
            predicted = mosaic(fuse(rgb, mask))
            errors[name].append(np.abs(predicted - expected).ravel() * WHITE_LEVEL)
            changed[name].append(
                np.abs(to_challenge_counts(predicted).astype(int) - to_challenge_counts(expected)).ravel()
            )
    lines = [
        f"{device_label(device)}; model {arguments.model}, {len(photos)} photos; differences from float64",
        "",
    ]
    lines += [
        "| | mean before truncation (counts) | fraction of values changed | maximum (counts) |",
        "|---|---|---|---|",
    ]
    for name in fusions:
        error, counts = np.concatenate(errors[name]), np.concatenate(changed[name])
        lines.append(f"| {name} | {error.mean():.1g} | {(counts > 0).mean():.2g} | {counts.max()} |")
    print("\n".join(lines))
    if arguments.out:
        save_text(arguments.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
