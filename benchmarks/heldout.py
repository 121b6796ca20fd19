"""Quality of models on photos that they were not trained on, compared with methods without a network.

The simulated camera captures scenes from held-out photos and newly drawn ones, and renders each RAW several
times, with other settings of its ISP. Each method gets the sRGB image and is scored against the camera's RAW.
The same photos give the same pairs. Remove the extra tone curves of AIM 2022's photos first
(tools/remove_extra_curves.py).

    python benchmarks/heldout.py PHOTO_OR_FOLDER... --models samsung_s7 --out benchmarks/heldout.md
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from heldout_pairs import COLUMNS, held_out_pairs, held_out_pictures, scores_by_region
from reporting import head, make_parser, publish, row
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


def renditions_row(name: str, rows: list[list[dict[str, float]]]) -> str:
    """Return a Markdown row of the scores of each RAW's renditions."""
    psnrs = np.array([[scores["psnr"] for scores in each] for each in rows if "psnr" in each[0]])
    cells = [
        f"{psnrs.mean():.2f} ({psnrs.mean(1).std():.2f})",
        f"{psnrs.std(1).mean():.2f}",
        f"{psnrs.min(1).mean():.2f}",
    ]
    for key in list(COLUMNS)[1:]:
        values = np.array([scores[key] for each in rows for scores in each if key in scores])
        digits = 4 if key.startswith("ssim") else 2
        cells.append(f"{values.mean():.{digits}f} ({values.std():.{digits}f})")
    return row(name, *cells)


@cli_entry_point
def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--models", nargs="+", default=["samsung_s7"])
    parser.add_argument("--camera", default="samsung_s7", help="camera of the models")
    parser.add_argument("--pairs", type=int, default=80)
    parser.add_argument("--renditions", type=int, default=5, help="photos of each RAW")
    arguments = parser.parse_args()

    camera = load_camera(arguments.camera)
    unprocess, inverse = Unprocess(camera), Inverse(camera)
    methods: dict[str, Method] = {name: fused(name) for name in arguments.models}
    methods["unprocess (Brooks et al. 2019), random gains"] = lambda picture: unprocess.packed([picture])()[0]
    methods["inverse: the profile's mean ISP"] = lambda picture: inverse.packed([picture])()[0]
    methods["inverse gamma, average white balance"] = lambda picture: baseline(picture.rgb, camera)
    methods["sRGB input, unchanged"] = lambda picture: to_challenge_format(picture.rgb / np.float32(255))

    pictures, contents = held_out_pictures(arguments.photos, camera, SIZE)
    scores = {name: [] for name in methods}
    pairs = held_out_pairs(pictures, arguments.pairs, SIZE, arguments.renditions)
    for number, pair in enumerate(tqdm(pairs, total=arguments.pairs, unit="pair", disable=None)):
        for name, method in methods.items():
            pictures = [
                Picture(rgb, overexposure_mask(rgb), f"pair {number}.{index}")
                for index, rgb in enumerate(pair.renditions)
            ]
            scores[name].append([scores_by_region(method(shown), pair, shown.rgb) for shown in pictures])
    num_overexposed = sum("psnr_oe" in one for rows in scores[arguments.models[0]] for one in rows)
    num_random = arguments.pairs - arguments.pairs // 2
    columns = ("PSNR", "spread of renditions", "worst rendition", *list(COLUMNS.values())[1:])
    lines = [
        f"Simulated pairs of {arguments.camera} from {contents}, {SIZE} x {SIZE} pixels; mean (standard",
        f"deviation). PSNR and SSIM: {num_random} random RAW, {arguments.renditions} photos of each: the ISP"
        " with other settings.",
        "Spread: standard deviation of the photos of one RAW. Overexposed: Bayer cells with an overexposed",
        f"pixel, in the {num_overexposed} photos that contain some, of these RAW and of"
        f" {arguments.pairs // 2} more with highlights.",
        "",
        *head("", *columns),
        *(renditions_row(name, rows) for name, rows in scores.items()),
    ]
    publish(lines, arguments.out)


if __name__ == "__main__":
    main()
