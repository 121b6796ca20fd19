"""Held-out simulated pairs and scores by region, shared by the benchmarks."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from omf.evaluation.metrics import psnr, ssim_map
from omf.evaluation.scores import challenge_scores
from omf.io.photos import find_photos, match_patterns
from omf.raw.bayer import from_challenge_counts, pack, to_challenge_counts
from omf.raw.camera import Camera
from omf.raw.overexposure import THRESHOLD, overexposure_mask
from omf.raw.simulator import linear_raw, sample_settings, simulate_pair
from omf.training.sources import SimulatedPictures, draw_scenes, load_scenes

HELD_OUT = Path(__file__).with_name("heldout_pairs.txt")
DRAWN_SEED, PAIR_SEED = 990, 77  # training uses the seeds of its settings, 0 and small numbers
DRAWN = 16
MIN_CELLS = 50  # overexposed Bayer cells; fewer give no meaningful score
# Capture settings that decide the RAW; the others are the ISP's
OF_THE_RAW = (
    "neutral",
    "colour_matrix",
    "exposure",
    "gain",
    "shot_noise",
    "read_noise",
    "shading",
    "centre",
)
COLUMNS = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "psnr_exposed": "PSNR, exposure known",
    "psnr_oe": "PSNR, overexposed",
    "ssim_oe": "SSIM, overexposed",
}


def held_out_pictures(photos: list[Path], camera: Camera, size: int) -> tuple[SimulatedPictures, str]:
    """Return a source of simulated pairs of held-out photos and newly drawn scenes, and its description.

    It does not depend on the folders that hold the photos.
    """
    kept = sorted(match_patterns(find_photos(photos), HELD_OUT), key=lambda path: path.name)
    scenes = load_scenes(kept, size + 2, camera)
    drawn = draw_scenes(DRAWN, DRAWN_SEED, size + 2)
    return SimulatedPictures(scenes, drawn, camera), f"{len(scenes)} held-out photos and {DRAWN} drawn scenes"


@dataclass(frozen=True)
class HeldOutPair:
    """A simulated RAW and photos of it."""

    renditions: list[np.ndarray]  # sRGB, uint8 (S, S, 3), of the same RAW by the ISP with other settings
    truth: np.ndarray  # packed RAW, uint16 (S/2, S/2, 4)
    is_random: bool  # False: selected for highlights

    @property
    def rgb(self) -> np.ndarray:
        return self.renditions[0]


def held_out_pairs(
    pictures: SimulatedPictures, count: int, size: int, renditions: int = 1
) -> Iterator[HeldOutPair]:
    """Yield random pairs, alternating with pairs with at least 2 % overexposed pixels."""
    camera = pictures.camera
    for number in range(count):
        is_random = number % 2 == 0

        def accept(brightness: np.ndarray, any_patch: bool = is_random) -> bool:
            return any_patch or (brightness >= THRESHOLD / 1000).mean() > 0.02

        rng = np.random.default_rng([PAIR_SEED, number])
        _, crop, settings, _ = pictures.choose(rng, size, accept)
        photos = []
        for rendition in range(renditions):
            noise = np.random.default_rng([PAIR_SEED, number, 1])  # the same in all renditions
            rgb, counts = simulate_pair(crop, settings, camera, noise)
            photos.append(rgb[:size, :size])
            other = sample_settings(camera, np.random.default_rng([PAIR_SEED, number, 2, rendition]))
            settings = replace(other, **{name: getattr(settings, name) for name in OF_THE_RAW})
        bayer = linear_raw(counts, camera)[:size, :size]
        yield HeldOutPair(photos, pack(to_challenge_counts(bayer)), is_random)


def scores_by_region(
    predicted: np.ndarray, pair: HeldOutPair, rgb: np.ndarray | None = None
) -> dict[str, float]:
    """Return the challenge's scores (of random pairs) and scores over overexposed Bayer cells (of all pairs).

    Args:
        predicted: packed RAW, uint16 (S/2, S/2, 4).
        pair: pair with the ground truth.
        rgb: the photo that was reconstructed; the first rendition by default.
    """
    rgb = pair.rgb if rgb is None else rgb
    height, width, _ = pair.truth.shape
    overexposed = (
        overexposure_mask(rgb)[: 2 * height, : 2 * width].reshape(height, 2, width, 2).any(axis=(1, 3))
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
