"""Held-out simulated pairs and scores by region, shared by the benchmarks."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omf.evaluation.metrics import psnr, ssim_map
from omf.evaluation.scores import challenge_scores
from omf.io.photos import find_photos, match_patterns
from omf.raw.bayer import from_challenge_counts, pack, to_challenge_counts
from omf.raw.camera import Camera
from omf.raw.overexposure import THRESHOLD, overexposure_mask
from omf.training.sources import SimulatedPictures, draw_scenes, load_scenes

HELD_OUT = Path(__file__).with_name("heldout_pairs.txt")
DRAWN_SEED, PAIR_SEED = 990, 77  # training uses the seeds of its settings, 0 and small numbers
DRAWN = 16
MIN_CELLS = 50  # overexposed Bayer cells; fewer give no meaningful score
COLUMNS = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "psnr_exposed": "PSNR, exposure known",
    "psnr_oe": "PSNR, overexposed",
    "ssim_oe": "SSIM, overexposed",
}


def held_out_pictures(photos: list[Path], camera: Camera, size: int) -> tuple[SimulatedPictures, str]:
    """Return a source of simulated pairs of held-out photos and newly drawn scenes, and its description."""
    kept = sorted(match_patterns(find_photos(photos), HELD_OUT))
    scenes = load_scenes(kept, size + 2)
    drawn = draw_scenes(DRAWN, DRAWN_SEED, size + 2)
    return SimulatedPictures(scenes, drawn, camera), f"{len(scenes)} held-out photos and {DRAWN} drawn scenes"


@dataclass(frozen=True)
class HeldOutPair:
    """A simulated pair."""

    rgb: np.ndarray  # sRGB, uint8 (S, S, 3)
    truth: np.ndarray  # packed RAW, uint16 (S/2, S/2, 4)
    is_random: bool  # False: selected for highlights


def held_out_pairs(pictures: SimulatedPictures, count: int, size: int) -> Iterator[HeldOutPair]:
    """Yield random pairs, alternating with pairs with at least 2 % overexposed pixels."""
    for number in range(count):
        is_random = number % 2 == 0

        def accept(brightness: np.ndarray, any_patch: bool = is_random) -> bool:
            return any_patch or (brightness >= THRESHOLD / 1000).mean() > 0.02

        rgb, bayer, _ = pictures.draw(np.random.default_rng([PAIR_SEED, number]), size, accept)
        yield HeldOutPair(rgb, pack(to_challenge_counts(bayer)), is_random)


def scores_by_region(predicted: np.ndarray, pair: HeldOutPair) -> dict[str, float]:
    """Return the challenge's scores (of random pairs) and scores over overexposed Bayer cells (of all pairs).

    Args:
        predicted: packed RAW, uint16 (S/2, S/2, 4).
        pair: pair with the ground truth.
    """
    height, width, _ = pair.truth.shape
    overexposed = (
        overexposure_mask(pair.rgb)[: 2 * height, : 2 * width].reshape(height, 2, width, 2).any(axis=(1, 3))
    )
    result = challenge_scores(predicted, pair.truth) if pair.is_random else {}
    predicted, truth = from_challenge_counts(predicted), from_challenge_counts(pair.truth)
    if pair.is_random:  # PSNR after the best global factor, since a photo does not determine the exposure
        factor = (predicted * truth).sum() / max((predicted**2).sum(), 1e-9)
        result["psnr_exposed"] = psnr(np.minimum(factor * predicted, 1), truth)
    if overexposed.sum() >= MIN_CELLS:
        result["psnr_oe"] = psnr(predicted[overexposed], truth[overexposed])
        result["ssim_oe"] = float(ssim_map(predicted, truth)[overexposed].mean())
    return result


def table_row(name: str, scores: list[dict[str, float]], columns: list[str]) -> str:
    """Return a Markdown row: mean (standard deviation) of each column over the images that have it."""
    cells = [np.array([image[key] for image in scores if key in image]) for key in columns]
    texts = [f"{c.mean():.{d}f} ({c.std():.{d}f})" if len(c) else "" for c, d in zip(cells, digits(columns))]
    return f"| {name} | " + " | ".join(texts) + " |"


def table_head(columns: list[str]) -> list[str]:
    return ["| | " + " | ".join(COLUMNS[key] for key in columns) + " |", "|---" * (len(columns) + 1) + "|"]


def digits(columns: list[str]) -> list[int]:
    return [4 if key.startswith("ssim") else 2 for key in columns]
