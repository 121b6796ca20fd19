"""By how many counts the ways to run the networks differ from `precision: exact`.

python benchmarks/precision.py PHOTOS --out benchmarks/precision.md
"""

import argparse
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from tqdm import tqdm

from omf.bayer import WHITE_LEVEL, mosaic, quantise
from omf.checkpoints import load_network
from omf.devices import device_label, pick_device
from omf.errors import told_in_one_line
from omf.files import save_text
from omf.folding import FoldedUNet
from omf.fusion import Fusion
from omf.images import gather
from omf.models import find_model
from omf.overexposure import overexposure_mask


@told_in_one_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=20, help="photos, at equal steps through the names")
    parser.add_argument("--model", default="samsung_s7", help="of U-Nets")
    parser.add_argument("--out", type=Path, help="Markdown table")
    arguments = parser.parse_args()
    photos = gather(arguments.photos)
    photos = photos[:: max(len(photos) // arguments.count, 1)][: arguments.count]
    device, model = pick_device("auto"), find_model(arguments.model)
    oe, noe = load_network(model.oe.path), load_network(model.noe.path)

    ways = {}
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        ways[dtype] = Fusion(oe, noe, device)
        for branch, network in zip(ways[dtype].branches, (noe, oe)):
            if dtype == torch.float64:
                double = load_network((model.noe if network is noe else model.oe).path).double().to(device)
                branch.run = lambda x, double=double: double.body(x.double())
            else:
                branch.run = FoldedUNet(network, dtype, winograd=dtype == torch.float32 and device.type == "cpu").to(device)
    names = {
        torch.float64: "as published, float64",
        torch.float32: "folded, float32: `fast` on a CPU",
        torch.float16: "folded, float16: `fast` on a GPU",
        torch.bfloat16: "folded, bfloat16",
    }
    exact = Fusion(oe, noe, device)
    errors: dict[torch.dtype, list[np.ndarray]] = {dtype: [] for dtype in ways}
    changed: dict[torch.dtype, list[np.ndarray]] = {dtype: [] for dtype in ways}
    for photo in tqdm(photos, unit="photo", disable=None):
        rgb = iio.imread(photo)
        mask = overexposure_mask(rgb)
        expected = mosaic(exact(rgb, mask))
        for dtype, fuse in ways.items():
            given = mosaic(fuse(rgb, mask))
            errors[dtype].append(np.abs(given - expected).ravel() * WHITE_LEVEL)
            changed[dtype].append(np.abs(quantise(given).astype(int) - quantise(expected)).ravel())
    lines = [f"{device_label(device)}; model {arguments.model}, {len(photos)} photos; differences from `precision: exact`", ""]
    lines += ["| | mean, before truncation, counts | values that change | worst, counts |", "|---|---|---|---|"]
    for dtype, name in names.items():
        error, counts = np.concatenate(errors[dtype]), np.concatenate(changed[dtype])
        lines.append(f"| {name} | {error.mean():.1g} | {(counts > 0).mean():.2g} | {counts.max()} |")
    print("\n".join(lines))
    if arguments.out:
        save_text(arguments.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
