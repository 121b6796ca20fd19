"""Score a folder of reconstructions against ground truth, beside the classical baseline."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from omf.camera import Camera, baseline
from omf.challenge import read_packed, score
from omf.errors import InputError
from omf.images import read_rgb


def score_images(
    predictions: dict[str, Path], truths: dict[str, Path], photos: dict[str, Path], camera: Camera
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Score every prediction that has a ground truth of the same name.

    Args:
        predictions: packed RAW files by name.
        truths: ground-truth files by name, the same format.
        photos: the sRGB pictures by name; where there is one, the baseline is scored too.
        camera: gives the baseline its white balance.

    Returns:
        {name: {"psnr", "ssim" and, with a photo, "baseline_psnr", "baseline_ssim"}} and a line for
        each file that could not be scored.
    """
    scores, problems = {}, []
    for name in tqdm(sorted(predictions.keys() & truths.keys()), "scoring", unit="image", disable=None):
        try:
            truth = read_packed(truths[name])
            scores[name] = score(same_shape(read_packed(predictions[name]), truth, predictions[name]), truth)
            if name in photos:
                classical = score(same_shape(baseline(read_rgb(photos[name]), camera), truth, photos[name]), truth)
                scores[name] |= {f"baseline_{key}": value for key, value in classical.items()}
        except InputError as error:
            problems.append(str(error))
    return scores, problems


def same_shape(packed: np.ndarray, truth: np.ndarray, path: Path) -> np.ndarray:
    """`packed` itself, or InputError where ground truth has another shape."""
    if packed.shape != truth.shape:
        raise InputError(f"{path}: packed {packed.shape}, but its ground truth is {truth.shape}; both must show the same crop")
    return packed


def summarise(scores: dict[str, dict[str, float]]) -> dict:
    """Means over the images, and the images: what scores.json holds. Means of nothing are None."""

    def mean(key: str) -> float | None:
        values = [image[key] for image in scores.values() if key in image]
        return float(np.mean(values)) if values else None

    return {
        "psnr": mean("psnr"),
        "ssim": mean("ssim"),
        "baseline": {"psnr": mean("baseline_psnr"), "ssim": mean("baseline_ssim")},
        "scored": len(scores),
        "images": {name: scores[name] for name in sorted(scores)},
    }


def scores_table(summary: dict) -> str:
    """The summary as text, a line an image."""
    with_baseline = summary["baseline"]["psnr"] is not None
    width = max(len("mean"), *map(len, summary["images"]))
    head = f"{'image':<{width}}   PSNR    SSIM" + ("   baseline PSNR    SSIM" if with_baseline else "")
    lines = [head]
    mean = {"psnr": summary["psnr"], "ssim": summary["ssim"]}
    mean |= {f"baseline_{key}": value for key, value in summary["baseline"].items() if value is not None}
    for name, image in [*summary["images"].items(), ("mean", mean)]:
        line = f"{name:<{width}} {image['psnr']:6.2f}  {image['ssim']:.4f}"
        if "baseline_psnr" in image:
            line += f"          {image['baseline_psnr']:6.2f}  {image['baseline_ssim']:.4f}"
        lines.append(line)
    return "\n".join(lines)
