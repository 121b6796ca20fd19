"""Difference of each precision from float64, in counts, and scores of float32 and bfloat16.

    python benchmarks/precision.py PHOTOS --samples test_rgb test_raw --pairs PAIRS \\
        --stretched 's7_deepisp_*' --out benchmarks/precision.md

The first table is over PHOTOS, as they are. In the second OE predicts all their pixels, and so decides the
answer. Samples are a folder of photos and one of their RAW, of the S7; PAIRS are real references, as
benchmarks/real.py reads them.
"""

import copy
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from real import Reference, read_pairs, reconstruct, score
from reporting import evenly_spaced, head, make_parser, publish
from tqdm import tqdm

from omf.inference.devices import device_label, pick_device
from omf.inference.fusion import Fusion
from omf.io.photos import find_photos
from omf.models.checkpoints import load_networks
from omf.models.registry import Model, find_model
from omf.networks.base import PaddedNetwork
from omf.networks.fused_unet import FusedUNet
from omf.networks.global_net import refine
from omf.raw.bayer import WHITE_LEVEL, from_challenge_counts, mosaic, to_challenge_counts
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import cli_entry_point


def load_precisions(model: Model, device: torch.device) -> dict[str, Fusion]:
    """Return the method in each precision; the float64 reference has the name ''."""
    oe, noe, base, _ = load_networks(model)

    def with_body(body: Callable[[PaddedNetwork], Callable]) -> Fusion:
        """Return the method with replaced functions for its networks."""
        fusion = Fusion(oe, noe, device, "published", base)
        for branch, network in zip(fusion.branches, filter(None, (noe, oe))):
            branch.run = partial(refine, body(network))
        return fusion

    return {
        "published": Fusion(oe, noe, device, "published", base),
        "float32": Fusion(oe, noe, device, base=base),
        "bfloat16": Fusion(oe, noe, device, "bfloat16", base),
        "float16": with_body(lambda network: FusedUNet(network, torch.float16).to(device)),
        "": with_body(lambda network: in_float64(copy.deepcopy(network).double().to(device))),
    }


def in_float64(network: PaddedNetwork) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the body of a network whose weights are float64, for float32 input."""
    return lambda x: network.body(x.double())


def differences(fusions: dict[str, Fusion], photos: list[np.ndarray], everywhere: bool) -> list[str]:
    """Return a Markdown table of the differences from float64.

    Args:
        fusions: see `load_precisions`.
        photos: sRGB (H, W, 3).
        everywhere: True for OE in all pixels, False as the mask tells.
    """
    errors: dict[str, list[np.ndarray]] = {name: [] for name in fusions if name}
    changed: dict[str, list[np.ndarray]] = {name: [] for name in errors}
    for rgb in tqdm(photos, unit="photo", disable=None):
        mask = np.ones(rgb.shape[:2], bool) if everywhere else overexposure_mask(rgb)
        expected = mosaic(fusions[""](rgb, mask))
        for name in errors:
            predicted = mosaic(fusions[name](rgb, mask))
            errors[name].append(np.abs(predicted - expected).ravel() * WHITE_LEVEL)
            counts = (to_challenge_counts(values).astype(int) for values in (predicted, expected))
            changed[name].append(np.abs(np.subtract(*counts)).ravel())
    lines = head("`precision`", "mean before truncation (counts)", "values changed", "maximum (counts)")
    for name in errors:
        error, counts = np.concatenate(errors[name]), np.concatenate(changed[name])
        lines.append(f"| {name} | {error.mean():.1g} | {(counts > 0).mean():.2g} | {counts.max()} |")
    return [*lines, ""]


def read_samples(photos: Path, raw: Path) -> Iterator[Reference]:
    """Yield the photos of a folder, with the RAW of another one in the challenge's format."""
    for path in find_photos([photos]):
        truth = from_challenge_counts(np.load(raw / f"{path.stem}.npy"))
        yield Reference(path.stem, iio.imread(path), truth, np.ones(truth.shape[:2], bool))


@cli_entry_point
def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=20, help="number of photos, evenly spaced by name")
    parser.add_argument("--models", nargs="+", default=["samsung_s7"], help="models of U-Nets")
    parser.add_argument("--samples", nargs=2, type=Path, metavar=("PHOTOS", "RAW"))
    parser.add_argument("--pairs", nargs="+", type=Path, default=[], help="folders of real pairs")
    parser.add_argument("--stretched", default="", metavar="PATTERN", help="names of RAW of unknown scale")
    arguments = parser.parse_args()
    paths = find_photos(arguments.photos)
    photos = [iio.imread(path) for path in evenly_spaced(paths, arguments.count)]
    references = [item for folder in arguments.pairs for item in read_pairs(folder, arguments.stretched)]
    if arguments.samples:
        references += read_samples(*arguments.samples)
    device = pick_device("auto", own_process=True)
    lines = [f"{device_label(device)}; {len(photos)} photos; differences from float64", ""]
    scores = head("reference", "model", "float32, dB", "bfloat16, dB")
    for name in arguments.models:
        model = find_model(name)
        fusions = load_precisions(model, device)
        for everywhere in (False, True):
            lines += [f"{name}{', OE in all pixels' if everywhere else ''}:", ""]
            lines += differences(fusions, photos, everywhere)
        for item in references:
            if model.camera.endswith(item.camera):
                psnrs = [
                    score(reconstruct(fusions[precision], item), item)["psnr_factor"]
                    for precision in ("float32", "bfloat16")
                ]
                scores.append(f"| {item.name} | {name} | {psnrs[0]:.3f} | {psnrs[1]:.3f} |")
    if references:
        lines += ["PSNR after one factor, which each reference determines:", "", *scores, ""]
    publish(lines, arguments.out)


if __name__ == "__main__":
    main()
