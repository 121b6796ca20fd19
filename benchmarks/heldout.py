"""How good a model is on photos that it was not trained on, beside the classical baseline.

Each photo becomes a scene, which the simulated camera takes and develops; the model and the baseline
get the JPEG and are scored against the camera's RAW. The same photos and seed give the same pairs.

    python benchmarks/heldout.py PHOTO_OR_FOLDER... --model samsung_s7 --out benchmarks/heldout.md
"""

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from omf.bayer import dequantise, to_challenge_format
from omf.camera import baseline, develop, expose, load_camera, random_shot
from omf.challenge import score
from omf.checkpoints import load_fusion
from omf.cli import gather, matching
from omf.errors import told_in_one_line
from omf.files import save_text
from omf.fusion import pick_device
from omf.metrics import psnr
from omf.models import find_model
from omf.overexposure import overexposure_mask
from omf.training.pairs import jpeg, load_scenes

HELD_OUT = Path(__file__).with_name("held_out.txt")
CROP = 504
SEED = 77


def simulated_pairs(scenes: list[np.ndarray], camera, crops: int):
    """(sRGB uint8 (H, W, 3), packed RAW) of `crops` crops of every scene."""
    for number, scene in enumerate(scenes):
        for crop in range(crops if min(scene.shape[:2]) > CROP else 1):
            rng = np.random.default_rng([SEED, number, crop])
            top, left = (rng.integers(max(size - CROP, 0) + 1) for size in scene.shape[:2])
            shot = random_shot(camera, rng)
            raw = expose(scene[top : top + CROP, left : left + CROP].astype(np.float32), shot)
            yield jpeg(develop(raw, shot, rng), 95, 0), to_challenge_format(raw)


def scores_by_region(predicted: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """The challenge's scores, and PSNR over the cells with and without an overexposed pixel."""
    cells = mask[: mask.shape[0] // 2 * 2, : mask.shape[1] // 2 * 2].reshape(truth.shape[0], 2, truth.shape[1], 2).any(axis=(1, 3))
    result = score(predicted, truth)
    for name, region in (("psnr_oe", cells), ("psnr_rest", ~cells)):
        if region.sum() >= 50:  # fewer cells say nothing
            result[name] = psnr(dequantise(predicted[region]), dequantise(truth[region]))
    return result


@told_in_one_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--model", default="samsung_s7")
    parser.add_argument("--every", type=int, default=4, help="take every n-th of the held-out photos")
    parser.add_argument("--crops", type=int, default=4, help="of each photo that is larger than 504 x 504")
    parser.add_argument("--out", type=Path, help="Markdown table")
    arguments = parser.parse_args()

    photos = sorted(matching(gather(arguments.photos), HELD_OUT))[:: arguments.every]
    camera = load_camera("samsung_s7")
    fuse = load_fusion(find_model(arguments.model), pick_device("auto"))
    rows = {arguments.model: [], "baseline": []}
    pairs = list(simulated_pairs(load_scenes(photos), camera, arguments.crops))
    for rgb, truth in tqdm(pairs, unit="pair", disable=None):
        mask = overexposure_mask(rgb)
        rows[arguments.model].append(scores_by_region(to_challenge_format(fuse(rgb, mask)), truth, mask))
        rows["baseline"].append(scores_by_region(baseline(rgb, camera), truth, mask))

    keys = {"psnr": "PSNR", "ssim": "SSIM", "psnr_oe": "PSNR, overexposed", "psnr_rest": "PSNR, rest"}
    lines = [
        f"{len(pairs)} simulated pairs from {len(photos)} held-out photos; mean (standard deviation)",
        "",
        "| | " + " | ".join(keys.values()) + " |",
        "|---" * (len(keys) + 1) + "|",
    ]
    for name, scores in rows.items():
        cells = [np.array([image[key] for image in scores if key in image]) for key in keys]
        digits = [4 if key == "ssim" else 2 for key in keys]
        lines.append(f"| {name} | " + " | ".join(f"{c.mean():.{d}f} ({c.std():.{d}f})" for c, d in zip(cells, digits)) + " |")
    lines.append(f"\nOverexposed cells are in {sum('psnr_oe' in scores for scores in rows['baseline'])} of the pairs.")
    print("\n".join(lines))
    if arguments.out:
        save_text(arguments.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
