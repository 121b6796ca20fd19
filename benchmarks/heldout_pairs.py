"""What the benchmarks share: simulated pairs of scenes that no model was trained on, and scores by region."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omf.evaluation.metrics import psnr, ssim_map
from omf.evaluation.scores import challenge_scores
from omf.io.photos import gather, matching
from omf.raw.bayer import from_challenge_counts, pack, to_challenge_counts
from omf.raw.camera import Camera
from omf.raw.overexposure import THRESHOLD, overexposure_mask
from omf.training.sources import SimulatedPictures, draw_scenes, load_scenes

HELD_OUT = Path(__file__).with_name("heldout_pairs.txt")
DRAWN_SEED, PAIR_SEED = 990, 77  # training draws with the seeds of its settings, 0 and a little more
DRAWN = 16
MIN_CELLS = 50  # overexposed ones; fewer say nothing
COLUMNS = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "psnr_exposed": "PSNR, exposure known",
    "psnr_oe": "PSNR, overexposed",
    "ssim_oe": "SSIM, overexposed",
}


def held_out_pictures(photos: list[Path], camera: Camera, size: int) -> tuple[SimulatedPictures, str]:
    """The simulated camera in front of held-out photos and newly drawn scenes, and a line that says so."""
    kept = sorted(matching(gather(photos), HELD_OUT))
    scenes = load_scenes(kept, size + 2)
    drawn = draw_scenes(DRAWN, DRAWN_SEED, size + 2)
    return SimulatedPictures(scenes, drawn, camera), f"{len(scenes)} held-out photos and {DRAWN} drawn scenes"


@dataclass(frozen=True)
class HeldOutPair:
    rgb: np.ndarray  # sRGB, uint8 (S, S, 3)
    truth: np.ndarray  # packed RAW, uint16 (S/2, S/2, 4)
    as_it_comes: bool  # False: chosen for its highlights


def held_out_pairs(pictures: SimulatedPictures, count: int, size: int) -> Iterator[HeldOutPair]:
    """Every other pair as it comes, and every other one with 2 % or more of its pixels overexposed."""
    for number in range(count):
        as_it_comes = number % 2 == 0

        def wanted(brightness: np.ndarray, anything: bool = as_it_comes) -> bool:
            return anything or (brightness >= THRESHOLD / 1000).mean() > 0.02

        rgb, bayer = pictures.draw(np.random.default_rng([PAIR_SEED, number]), size, wanted)
        yield HeldOutPair(rgb, pack(to_challenge_counts(bayer)), as_it_comes)


def scores_by_region(predicted: np.ndarray, pair: HeldOutPair) -> dict[str, float]:
    """The challenge's scores, of pairs as they come; and, of all pairs, those over the Bayer cells with an overexposed pixel.

    The prediction: uint16 (S/2, S/2, 4).
    """
    height, width, _ = pair.truth.shape
    overexposed = (
        overexposure_mask(pair.rgb)[: 2 * height, : 2 * width].reshape(height, 2, width, 2).any(axis=(1, 3))
    )
    result = challenge_scores(predicted, pair.truth) if pair.as_it_comes else {}
    predicted, truth = from_challenge_counts(predicted), from_challenge_counts(pair.truth)
    if pair.as_it_comes:  # how much is lost by the one factor that a photo doesn't tell
        factor = (predicted * truth).sum() / max((predicted**2).sum(), 1e-9)
        result["psnr_exposed"] = psnr(np.minimum(factor * predicted, 1), truth)
    if overexposed.sum() >= MIN_CELLS:
        result["psnr_oe"] = psnr(predicted[overexposed], truth[overexposed])
        result["ssim_oe"] = float(ssim_map(predicted, truth)[overexposed].mean())
    return result


def table_row(name: str, scores: list[dict[str, float]], columns: list[str]) -> str:
    """A row of a Markdown table: mean (standard deviation) of each column over the pictures that have it."""
    cells = [np.array([picture[key] for picture in scores if key in picture]) for key in columns]
    texts = [f"{c.mean():.{d}f} ({c.std():.{d}f})" if len(c) else "" for c, d in zip(cells, digits(columns))]
    return f"| {name} | " + " | ".join(texts) + " |"


def table_head(columns: list[str]) -> list[str]:
    return ["| | " + " | ".join(COLUMNS[key] for key in columns) + " |", "|---" * (len(columns) + 1) + "|"]


def digits(columns: list[str]) -> list[int]:
    return [4 if key.startswith("ssim") else 2 for key in columns]
