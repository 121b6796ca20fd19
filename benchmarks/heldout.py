"""Quality of models on photos that they were not trained on, compared with methods without a network.

The simulated camera captures and renders scenes from held-out photos and newly drawn ones. Each method gets
the sRGB image and is scored against the camera's RAW. The same photos give the same pairs.

    python benchmarks/heldout.py PHOTO_OR_FOLDER... --models samsung_s7 --out benchmarks/heldout.md
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from heldout_pairs import COLUMNS, held_out_pairs, held_out_pictures, scores_by_region, table_head, table_row
from tqdm import tqdm

from omf.inference.base import Picture
from omf.inference.inverse import Inverse
from omf.inference.load import load_method
from omf.inference.unprocess import Unprocess
from omf.models.registry import find_model
from omf.raw import isp
from omf.raw.bayer import to_challenge_format
from omf.raw.camera import Camera, load_camera
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import cli_entry_point
from omf.utils.files import save_text

SIZE = 384  # image side, pixels
Method = Callable[[Picture], np.ndarray]  # -> packed RAW


def fused(name: str) -> Method:
    """Load a model of OE and NOE."""
    fuse, _, _ = load_method(find_model(name), "auto")
    return lambda picture: fuse.packed([picture])()[0]


def baseline(rgb: np.ndarray, camera: Camera) -> np.ndarray:
    """Reconstruct RAW without a network: invert the sRGB curve, then the average white balance.

    Args:
        rgb: uint8 or uint16 (H, W, 3).

    Returns:
        Packed Bayer in the challenge's format, uint16 (H/2, W/2, 4).
    """
    linear = isp.decode_srgb(rgb.astype(np.float32) / np.iinfo(rgb.dtype).max)
    return to_challenge_format(linear * camera.mean_neutral.astype(np.float32))


def plain(path: Path) -> Method:
    """Load a single network for all pixels."""
    from omf.inference.devices import pick_device
    from omf.inference.fusion import Fusion
    from omf.models.checkpoints import load_network

    network = load_network(path)
    fuse = Fusion(network, network, pick_device("auto"))
    return lambda picture: fuse.packed([picture])()[0]


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--models", nargs="+", default=["samsung_s7"])
    parser.add_argument("--plain", type=Path, metavar="FILE", help="weights of one network for all pixels")
    parser.add_argument("--pairs", type=int, default=80)
    parser.add_argument("--out", type=Path, help="Markdown table")
    arguments = parser.parse_args()

    camera = load_camera("samsung_s7")
    unprocess, inverse = Unprocess(camera), Inverse(camera)
    methods: dict[str, Method] = {name: fused(name) for name in arguments.models}
    if arguments.plain:
        methods["plain U-Net of the same size"] = plain(arguments.plain)
    methods["unprocess (Brooks et al. 2019), random gains"] = lambda picture: unprocess.packed([picture])()[0]
    methods["inverse: the profile's mean ISP"] = lambda picture: inverse.packed([picture])()[0]
    methods["inverse gamma, average white balance"] = lambda picture: baseline(picture.rgb, camera)
    methods["sRGB input, unchanged"] = lambda picture: to_challenge_format(picture.rgb / np.float32(255))

    pictures, contents = held_out_pictures(arguments.photos, camera, SIZE)
    scores = {name: [] for name in methods}
    pairs = held_out_pairs(pictures, arguments.pairs, SIZE)
    for number, pair in enumerate(tqdm(pairs, total=arguments.pairs, unit="pair", disable=None)):
        picture = Picture(pair.rgb, overexposure_mask(pair.rgb), f"pair {number}")
        for name, method in methods.items():
            scores[name].append(scores_by_region(method(picture), pair))
    num_overexposed = sum("psnr_oe" in row for row in scores[arguments.models[0]])
    lines = [
        f"Simulated pairs from {contents}, {SIZE} x {SIZE} pixels; mean (standard deviation).",
        f"PSNR and SSIM: {arguments.pairs - arguments.pairs // 2} random pairs. "
        "Overexposed: the Bayer cells with an overexposed pixel,",
        f"in the {num_overexposed} pairs that contain some, "
        f"out of these and {arguments.pairs // 2} more that were selected for highlights.",
        "",
        *table_head(list(COLUMNS)),
        *(table_row(name, rows, list(COLUMNS)) for name, rows in scores.items()),
    ]
    print("\n".join(lines))
    if arguments.out:
        save_text(arguments.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
