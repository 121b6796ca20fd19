"""Score a folder of reconstructions, with ground truth and without. No torch here."""

import csv
import io
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from omf.evaluation.consistency import consistency
from omf.evaluation.ground_truth import read_ground_truth
from omf.evaluation.metrics import colour_error, highlight_error, ms_ssim, psnr, psnr_of_planes, ssim
from omf.inference.unprocess import Unprocess
from omf.io.images import read_rgb
from omf.io.packed import read_packed
from omf.raw.bayer import WHITE_LEVEL, from_challenge_counts, half_size_photo, pack, to_challenge_format
from omf.raw.camera import Camera
from omf.raw.overexposure import overexposure_mask
from omf.utils.console import progress
from omf.utils.errors import InputError, printable

BASELINES = {"unprocess": "classical method of Brooks et al. 2019", "copy": "the photo itself taken for RAW"}
TONES = 32  # levels of the photo's green that RAW is averaged over
# what is known of an image, in the order of the table's columns; of ground truth, of the photo
FULL_REFERENCE_METRICS = [
    "psnr",
    "ssim",
    "ms_ssim",
    "psnr_overexposed",
    "psnr_rest",
    "psnr_r",
    "psnr_gr",
    "psnr_gb",
    "psnr_b",
]
FULL_REFERENCE_METRICS += [
    "colour_error",
    "highlight_error",
    *(f"{name}_{key}" for name in BASELINES for key in ("psnr", "ssim")),
]
NO_REFERENCE_METRICS = ["consistency_psnr", "overexposed", "clipped"]


@dataclass(frozen=True)
class Item:
    """A reconstruction, and what there is to judge it by."""

    name: str
    raw: Path
    truth: Path | None = None
    photo: Path | None = None
    white_level: int = WHITE_LEVEL  # of both RAW files


def match_items(
    predictions: dict[str, Path],
    truths: dict[str, Path],
    photos: dict[str, Path],
    white_level: int = WHITE_LEVEL,
) -> list[Item]:
    """The predictions that have a ground truth or a photo of their name, by name."""
    names = sorted(predictions.keys() & (truths.keys() | photos.keys()))
    return [Item(name, predictions[name], truths.get(name), photos.get(name), white_level) for name in names]


def score_image(candidate: Item, camera: Camera) -> tuple[dict, list[str]]:
    """All that can be said of one reconstruction.

    Args:
        candidate: with ground truth, a photo, or both.
        camera: of the baselines, and of likely colours.

    Returns:
        `FULL_REFERENCE_METRICS` where there is ground truth (those of overexposed pixels and of the baselines ask for the photo too);
        `NO_REFERENCE_METRICS` and `warnings` where there is a photo; `tones`: mean RAW green for each of 32 levels of the
        photo's green, and how many pixels have it; the paths of what was used. And a line for each file that can't be.
    """
    record: dict = {
        key: str(getattr(candidate, key)) for key in ("raw", "truth", "photo") if getattr(candidate, key)
    }
    record["white_level"] = candidate.white_level
    try:
        counts = read_packed(candidate.raw, candidate.white_level)
    except InputError as error:
        return {}, [str(error)]
    problems = []
    truth = rgb = None
    try:
        if candidate.photo:
            rgb = of_its_size(read_rgb(candidate.photo), counts, candidate)
    except InputError as error:
        problems.append(str(error))
    try:
        if candidate.truth:
            truth = same_shape(
                read_ground_truth(candidate.truth, counts.shape, rgb, candidate.white_level),
                counts,
                candidate,
            )
    except InputError as error:
        problems.append(str(error))
    for key, found in (("truth", truth), ("photo", rgb)):
        if found is None:
            record.pop(key, None)  # nor can the page show it
    if truth is not None:
        record |= full_reference_scores(counts, truth)
        if rgb is not None:
            record |= scores_beside_photo(counts, truth, rgb, candidate.name, camera)
    if rgb is not None:
        photo, overexposed = half_size_photo(rgb), float(overexposure_mask(rgb).mean())
        record |= consistency(counts, photo, overexposed, camera) | {
            "overexposed": overexposed,
            "tones": tones(counts, photo),
        }
        if truth is not None:
            record["true_tones"] = tones(truth, photo)
    return (record if truth is not None or rgb is not None else {}), problems


def full_reference_scores(counts: np.ndarray, truth: np.ndarray) -> dict:
    """Of uint16 (H/2, W/2, 4) against the same: the challenge's scores, and others of `omf.evaluation.metrics`."""
    x, y = from_challenge_counts(counts), from_challenge_counts(truth)
    record = challenge_scores(counts, truth) | {
        "ms_ssim": ms_ssim(x, y),
        "colour_error": colour_error(x, y),
        "highlight_error": highlight_error(x, y),
    }
    return record | {f"psnr_{plane}": value for plane, value in psnr_of_planes(x, y).items()}


def scores_beside_photo(
    counts: np.ndarray, truth: np.ndarray, rgb: np.ndarray, name: str, camera: Camera
) -> dict:
    """Scores over the overexposed pixels and over the rest, and those of the baselines."""
    record = {}
    overexposed = packed_mask(rgb)
    for key, own in (("psnr_overexposed", overexposed), ("psnr_rest", ~overexposed)):
        record[key] = (
            psnr(from_challenge_counts(counts[own]), from_challenge_counts(truth[own])) if own.any() else None
        )
    scaled = rgb / np.float32(np.iinfo(rgb.dtype).max)
    for baseline, answer in (("unprocess", Unprocess(camera)(rgb, name)), ("copy", scaled)):
        record |= {
            f"{baseline}_{key}": value
            for key, value in challenge_scores(to_challenge_format(answer), truth).items()
        }
    return record


def packed_mask(rgb: np.ndarray) -> np.ndarray:
    """The overexposure mask at the sites of packed RAW: bool (H/2, W/2, 4)."""
    height, width = (size // 2 * 2 for size in rgb.shape[:2])
    return pack(overexposure_mask(rgb)[:height, :width])


def tones(counts: np.ndarray, photo: np.ndarray) -> dict[str, list]:
    """Mean RAW green of the pixels of each level of the photo's green, and their number."""
    green = (counts[..., 1].ravel() + counts[..., 2].ravel()) / (2 * WHITE_LEVEL)
    level = np.minimum((photo[..., 1].ravel() * TONES).astype(np.intp), TONES - 1)
    pixels = np.bincount(level, minlength=TONES)
    means = np.bincount(level, green, minlength=TONES) / np.maximum(pixels, 1)
    return {"raw": means.round(4).tolist(), "pixels": pixels.tolist()}


def same_shape(truth: np.ndarray, counts: np.ndarray, candidate: Item) -> np.ndarray:
    """The truth itself, or InputError where the reconstruction has another shape."""
    if counts.shape != truth.shape:
        raise InputError(
            f"{candidate.raw}: packed {counts.shape}, but its ground truth is {truth.shape}; both must show the same crop"
        )
    return truth


def of_its_size(rgb: np.ndarray, counts: np.ndarray, candidate: Item) -> np.ndarray:
    """The photo itself, or InputError where the reconstruction is not of its size."""
    if (rgb.shape[0] // 2, rgb.shape[1] // 2) != counts.shape[:2]:
        height, width = counts.shape[:2]
        raise InputError(
            f"{candidate.photo}: {rgb.shape[1]} x {rgb.shape[0]} pixels, but {candidate.raw.name} is of {2 * width} x {2 * height};"
            " give the photo that it was made from"
        )
    return rgb


def score_all(of: list[Item], camera: Camera, processes: int) -> tuple[dict[str, dict], list[str]]:
    """`score_image` each, in several processes; records by name in the given order, and problems. See there."""
    records, problems = {}, []
    for candidate, (record, lines) in zip(
        of, progress(scored(of, camera, processes), "scoring", total=len(of), unit="image")
    ):
        if record:
            records[candidate.name] = record
        problems += lines
    return records, problems


def scored(of: list[Item], camera: Camera, processes: int) -> Iterator[tuple[dict, list[str]]]:
    if min(processes, len(of)) <= 1:
        yield from map(partial(score_image, camera=camera), of)
        return
    with ProcessPoolExecutor(min(processes, len(of)), get_context("spawn")) as pool:
        yield from pool.map(
            partial(score_image, camera=camera), of, chunksize=max(1, min(16, len(of) // (4 * processes)))
        )


def warnings_line(record: dict) -> str:
    """What looks wrong about an image, on one line."""
    return "; ".join(record.get("warnings", []))


def summarise(records: dict[str, dict]) -> dict:
    """Means over the images that have each value, and the images: what scores.json holds. Means of nothing are None."""

    def mean(key: str) -> float | None:
        values = [record[key] for record in records.values() if record.get(key) is not None]
        return float(np.mean(values)) if values else None

    columns = [*FULL_REFERENCE_METRICS, *NO_REFERENCE_METRICS, "warnings"]
    return {
        "scored": sum("psnr" in record for record in records.values()),
        "mean": {key: mean(key) for key in [*FULL_REFERENCE_METRICS, *NO_REFERENCE_METRICS]},
        "images": {
            name: {key: record[key] for key in columns if key in record}
            for name, record in sorted(records.items())
        },
    }


def scores_csv(summary: dict) -> str:
    """The images as CSV, a line each; cells of what is not known are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, ["name", *FULL_REFERENCE_METRICS, *NO_REFERENCE_METRICS, "warnings"], lineterminator="\n"
    )
    writer.writeheader()
    for name, image in summary["images"].items():
        writer.writerow({"name": printable(name), **image, "warnings": warnings_line(image)})
    return text.getvalue()


def scores_table(summary: dict) -> str:
    """The challenge's scores as text, a line an image, beside those of the classical method."""
    rows = {printable(name): image for name, image in summary["images"].items() if "psnr" in image} | {
        "mean": summary["mean"]
    }
    beside = summary["mean"]["unprocess_psnr"] is not None
    width = max(map(len, ["image", *rows]))
    lines = [f"{'image':<{width}}   PSNR    SSIM" + ("   unprocess PSNR    SSIM" if beside else "")]
    for name, image in rows.items():
        line = f"{name:<{width}} {image['psnr']:6.2f}  {image['ssim']:.4f}"
        if image.get("unprocess_psnr") is not None:
            line += f"           {image['unprocess_psnr']:6.2f}  {image['unprocess_ssim']:.4f}"
        lines.append(line)
    return "\n".join(lines)


def challenge_scores(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The challenge's scores of one image: uint16 (H/2, W/2, 4) each -> {"psnr": dB, "ssim": ...}."""
    predicted, truth = from_challenge_counts(predicted), from_challenge_counts(truth)
    return {"psnr": psnr(predicted, truth), "ssim": ssim(predicted, truth)}
