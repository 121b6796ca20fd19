"""What the benchmarks share: simulated pairs of scenes that no model was trained on, and scores by region."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from omf.bayer import dequantise, pack, quantise
from omf.camera import Camera
from omf.challenge import score
from omf.images import gather, matching
from omf.metrics import psnr, ssim_map
from omf.overexposure import THRESHOLD, overexposure_mask
from omf.training.pairs import SimulatedPictures, draw_scenes, load_scenes

HELD_OUT = Path(__file__).with_name("held_out.txt")
DRAWN_SEED, PAIR_SEED = 990, 77  # training draws with the seeds of its settings, 0 and a little more
DRAWN = 16
FEWEST_CELLS = 50  # overexposed ones; fewer say nothing
COLUMNS = {"psnr": "PSNR", "ssim": "SSIM", "psnr_oe": "PSNR, overexposed", "ssim_oe": "SSIM, overexposed", "psnr_rest": "PSNR, rest"}


def held_out_pictures(photos: list[Path], camera: Camera, size: int) -> tuple[SimulatedPictures, str]:
    """The simulated camera in front of held-out photos and newly drawn scenes, and a line that says so."""
    kept = sorted(matching(gather(photos), HELD_OUT))
    scenes = load_scenes(kept, size + 2)
    drawn = draw_scenes(DRAWN, DRAWN_SEED, size + 2)
    return SimulatedPictures(scenes + drawn, camera), f"{len(scenes)} held-out photos and {DRAWN} drawn scenes"


def held_out_pairs(pictures: SimulatedPictures, count: int, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(sRGB uint8 (S, S, 3), packed RAW uint16 (S/2, S/2, 4)) `count` times; in every other one, 2 % or more is overexposed."""
    for number in range(count):

        def wanted(brightness: np.ndarray, overexposed: bool = number % 2 == 1) -> bool:
            return not overexposed or (brightness >= THRESHOLD / 1000).mean() > 0.02

        rgb, bayer = pictures.draw(np.random.default_rng([PAIR_SEED, number]), size, wanted)
        yield rgb, pack(quantise(bayer))


def scores_by_region(predicted: np.ndarray, truth: np.ndarray, rgb: np.ndarray) -> dict[str, float]:
    """The challenge's scores, and those over the Bayer cells with and without an overexposed pixel.

    uint16 (H/2, W/2, 4) twice, sRGB (H, W, 3).
    """
    height, width, _ = truth.shape
    cells = overexposure_mask(rgb)[: 2 * height, : 2 * width].reshape(height, 2, width, 2).any(axis=(1, 3))
    result = score(predicted, truth)
    predicted, truth = dequantise(predicted), dequantise(truth)
    for name, region in (("oe", cells), ("rest", ~cells)):
        if region.sum() >= FEWEST_CELLS:
            result[f"psnr_{name}"] = psnr(predicted[region], truth[region])
            result[f"ssim_{name}"] = float(ssim_map(predicted, truth)[region].mean())
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
