"""Quality of the Demosaic Net compared with classical methods, on photos that it was not trained on.

Each photo is linearised, downscaled (which hides its own demosaicing and JPEG blocks), given the colour cast
of RAW before white balance, and mosaicked without noise. Malvar and Menon assume that colours are correlated,
so they are also run on the white-balanced mosaic, as in RAW converters; only they need to know the white
balance. The same photos and seed give the same crops. Time is the median over the crops, with interleaved
methods.

    python benchmarks/demosaic.py PHOTO_OR_FOLDER... --net FILE --out benchmarks/demosaic.md
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from reporting import head, make_parser, publish

from omf.evaluation.alignment import downscale
from omf.evaluation.metrics import psnr
from omf.io.images import read_rgb
from omf.io.photos import find_photos, match_patterns
from omf.raw.bayer import demosaic, mosaic
from omf.raw.isp import decode_srgb
from omf.utils.errors import InputError, cli_entry_point

HELD_OUT = Path(__file__).with_name("heldout_pairs.txt")
NEUTRAL = np.array([0.5, 1, 0.6], np.float32)  # RAW of a neutral grey, as in phones in daylight
MAX_SIDE = 1200  # long side of the downscaled photo, pixels
CROP = 256
BORDER = 8  # pixels excluded on each side
SEED = 77

Method = Callable[[np.ndarray], np.ndarray]  # float32 (H, W), RGGB -> (H, W, 3)


def linear_crops(photo: Path, number: int, crops: int) -> list[np.ndarray]:
    """Return up to `crops` crops as demosaiced RAW: float32 (H, W, 3), H and W even and at most CROP."""
    rgb = read_rgb(photo)
    linear = decode_srgb(rgb.astype(np.float32) / np.iinfo(rgb.dtype).max)
    raw = (downscale(linear, max(2, -(-max(linear.shape) // MAX_SIDE))) * NEUTRAL).astype(np.float32)
    height, width = raw.shape[:2]
    result = []
    for crop in range(crops if min(height, width) > CROP else 1):
        rng = np.random.default_rng([SEED, number, crop])
        top, left = (rng.integers(max(size - CROP, 0) + 1) for size in (height, width))
        rows, columns = (min(CROP, size) // 2 * 2 for size in (height, width))
        result.append(raw[top : top + rows, left : left + columns])
    return result


def classical_methods() -> dict[str, Method]:
    try:
        import colour_demosaicing as library
    except ImportError as error:
        raise InputError(
            "colour_demosaicing: not installed; install it with: pip install colour-demosaicing"
        ) from error
    plain = {
        "bilinear": lambda bayer: library.demosaicing_CFA_Bayer_bilinear(bayer, "RGGB"),
        "Malvar 2004": lambda bayer: library.demosaicing_CFA_Bayer_Malvar2004(bayer, "RGGB"),
        "Malvar 2004 in omf.raw.bayer": demosaic,
        "Menon 2007": lambda bayer: library.demosaicing_CFA_Bayer_Menon2007(bayer, "RGGB"),
    }
    return plain | {
        f"{name}, white-balanced": balanced(plain[name]) for name in ("Malvar 2004", "Menon 2007")
    }


def balanced(method: Method) -> Method:
    """Apply white balance before a method and invert it afterwards."""

    def run(bayer: np.ndarray) -> np.ndarray:
        return method(bayer / mosaic(np.broadcast_to(NEUTRAL, (*bayer.shape, 3)))) * NEUTRAL

    return run


def learned_method(path: Path) -> Method:
    import torch

    from omf.models.checkpoints import load_demosaic_net

    network = load_demosaic_net(path)

    def run(bayer: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(bayer)[None, None])[0].permute(1, 2, 0).numpy()

    return run


def full_reference_scores(rgb: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the PSNR of linear values, and that after a gamma of 1/2.2."""
    inner = (slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    rgb, truth = np.clip(rgb[inner], 0, 1).astype(np.float64), truth[inner].astype(np.float64)
    return psnr(rgb, truth), psnr(rgb ** (1 / 2.2), truth ** (1 / 2.2))


@cli_entry_point
def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--net", type=Path, help="weights of the Demosaic Net")
    parser.add_argument("--every", type=int, default=4, help="use every n-th held-out photo")
    parser.add_argument(
        "--crops",
        type=int,
        default=4,
        help=f"crops per photo, if larger than {CROP} x {CROP} after downscaling",
    )
    arguments = parser.parse_args()

    photos = sorted(match_patterns(find_photos(arguments.photos), HELD_OUT))[:: arguments.every]
    if not photos:
        raise InputError(f"no photo is one of those listed in {HELD_OUT}; give the folders that hold them")
    methods = classical_methods()
    if arguments.net:
        methods["Demosaic Net"] = learned_method(arguments.net)
    references = [
        crop for number, photo in enumerate(photos) for crop in linear_crops(photo, number, arguments.crops)
    ]

    results = {name: [] for name in methods}
    times = {name: [] for name in methods}
    for method in methods.values():
        method(mosaic(references[0]))  # warm up
    for truth in references:
        bayer = mosaic(truth)
        for name, method in methods.items():
            began = time.perf_counter()
            rgb = method(bayer)
            times[name].append((time.perf_counter() - began) / (bayer.size / 1e6))
            results[name].append(full_reference_scores(rgb, truth))

    lines = [
        f"{len(references)} crops from {len(photos)} held-out photos; mean (standard deviation)",
        "",
        *head("", "PSNR (linear)", "PSNR (gamma 1/2.2)", "s/megapixel (CPU)"),
    ]
    for name in methods:
        cells = [f"{column.mean():.2f} ({column.std():.2f})" for column in np.array(results[name]).T]
        lines.append(f"| {name} | {' | '.join(cells)} | {np.median(times[name]):.3f} |")
    publish(lines, arguments.out)


if __name__ == "__main__":
    main()
