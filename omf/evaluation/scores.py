"""Scores of a folder of reconstructions, with and without ground truth. No torch here."""

import csv
import io
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from omf.evaluation.consistency import consistency
from omf.evaluation.ground_truth import is_simulated, read_ground_truth
from omf.evaluation.metrics import colour_error, highlight_error, ms_ssim, psnr, psnr_per_plane, ssim
from omf.inference.unprocess import Unprocess
from omf.io.images import read_rgb
from omf.io.packed import read_packed
from omf.raw.bayer import (
    WHITE_LEVEL,
    crop_to_cells,
    from_challenge_counts,
    half_size_photo,
    pack,
    to_challenge_format,
)
from omf.raw.camera import Camera
from omf.raw.extra_curves import invert_curve
from omf.raw.overexposure import overexposure_mask
from omf.utils.console import configure_logging, progress
from omf.utils.errors import InputError, printable

# methods without a network, scored on the same images: their names in the scores, and descriptions
BASELINES = {"unprocess": "classical method of Brooks et al. 2019", "copy": "the photo itself, used as RAW"}
TONE_LEVELS = 32  # levels of the photo's green over which RAW is averaged
# Scores of an image, in the order of the table's columns: those that need ground truth, then those that
# need only the photo.
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
    "colour_error",
    "highlight_error",
    *(f"{name}_{key}" for name in BASELINES for key in ("psnr", "ssim")),
]
NO_REFERENCE_METRICS = ["consistency_psnr", "overexposed", "clipped"]
# Expectations of the model: PSNR, and factors between which the true exposure lies in 9 of 10 photos
EXPECTATIONS = ["expected_psnr", "exposure_low", "exposure_high"]
CSV_COLUMNS = [*FULL_REFERENCE_METRICS, *NO_REFERENCE_METRICS, *EXPECTATIONS, "warnings"]

interrupts: list[int] = []  # received by this process, if it is a worker


@dataclass(frozen=True)
class Item:
    """A reconstruction, and the files to score it with."""

    name: str
    raw: Path
    truth: Path | None = None
    photo: Path | None = None
    white_level: int = WHITE_LEVEL  # of both RAW files
    curve: int | None = None  # extra curve of the photo, which the reconstruction has undone
    camera: Camera | None = None  # of the RAW, if it is another one than the model's


def match_items(
    predictions: dict[str, Path],
    ground_truth: dict[str, Path],
    photos: dict[str, Path],
    white_level: int = WHITE_LEVEL,
    curves: Mapping[str, int] = {},
    cameras: Mapping[str, Camera] = {},
) -> list[Item]:
    """Return the predictions for which ground truth or a photo of the same name exists, sorted by name."""
    names = sorted(predictions.keys() & (ground_truth.keys() | photos.keys()))
    files = {name: (predictions[name], ground_truth.get(name), photos.get(name)) for name in names}
    return [Item(name, *files[name], white_level, curves.get(name), cameras.get(name)) for name in names]


def score_image(item: Item, camera: Camera) -> tuple[dict, list[str]]:
    """Compute all scores of a reconstruction.

    The record of an image holds

    - `FULL_REFERENCE_METRICS` if there is ground truth; those of overexposed pixels and of the baselines need
      the photo too.
    - `simulated` if there is ground truth: True if a simulator made it.
    - `NO_REFERENCE_METRICS` and `warnings` if there is a photo; they take it without its extra curve.
    - `tones` if there is a photo, and `true_tones` if there is ground truth too: see `tone_means`.
    - the paths and the white level of the files that were used.

    Args:
        item: reconstruction with ground truth, a photo, or both.
        camera: camera profile for the baselines and the plausible colours, if the item has none.

    Returns:
        The record of the image and a list of problems, one line per file that can't be used. The record is
        empty if nothing could be scored.
    """
    camera = item.camera or camera
    record: dict = {key: str(getattr(item, key)) for key in ("raw", "truth", "photo") if getattr(item, key)}
    record["white_level"] = item.white_level
    try:
        counts = read_packed(item.raw, item.white_level)
    except InputError as error:
        return {}, [str(error)]
    problems = []
    truth = rgb = None
    try:
        if item.photo:
            rgb = check_photo_size(read_rgb(item.photo), counts, item)
    except InputError as error:
        problems.append(str(error))
    try:
        if item.truth:
            truth = check_same_shape(
                read_ground_truth(item.truth, counts.shape, rgb, item.white_level), counts, item
            )
    except InputError as error:
        problems.append(str(error))
    for key, array in (("truth", truth), ("photo", rgb)):
        if array is None:
            record.pop(key, None)  # the page can't show it either
    if truth is not None:
        record |= full_reference_scores(counts, truth) | {"simulated": is_simulated(item.truth.parent)}
        if rgb is not None:
            record |= scores_beside_photo(counts, truth, rgb, item.name, camera)
    if rgb is not None:
        if item.curve is not None:  # the RAW is that of the photo without it
            rgb = invert_curve(rgb, item.curve)
        photo, overexposed = half_size_photo(rgb), float(overexposure_mask(rgb).mean())
        record |= consistency(counts, photo, overexposed, camera) | {
            "overexposed": overexposed,
            "tones": tone_means(counts, photo),
        }
        if truth is not None:
            record["true_tones"] = tone_means(truth, photo)
    return (record if truth is not None or rgb is not None else {}), problems


def challenge_scores(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Compute the challenge's scores of one image: uint16 (H/2, W/2, 4) each -> {"psnr": dB, "ssim": ...}."""
    predicted, truth = from_challenge_counts(predicted), from_challenge_counts(truth)
    return {"psnr": psnr(predicted, truth), "ssim": ssim(predicted, truth)}


def full_reference_scores(counts: np.ndarray, truth: np.ndarray) -> dict:
    """Compute the scores that need only ground truth; both arrays are uint16 (H/2, W/2, 4)."""
    x, y = from_challenge_counts(counts), from_challenge_counts(truth)
    record = challenge_scores(counts, truth) | {
        "ms_ssim": ms_ssim(x, y),
        "colour_error": colour_error(x, y),
        "highlight_error": highlight_error(x, y),
    }
    return record | {f"psnr_{plane}": value for plane, value in psnr_per_plane(x, y).items()}


def scores_beside_photo(
    counts: np.ndarray, truth: np.ndarray, rgb: np.ndarray, name: str, camera: Camera
) -> dict:
    """Compute the scores that need ground truth and photo: by overexposure, and of the baselines."""
    record = {}
    x, y, overexposed = from_challenge_counts(counts), from_challenge_counts(truth), packed_mask(rgb)
    for key, selected in (("psnr_overexposed", overexposed), ("psnr_rest", ~overexposed)):
        record[key] = psnr(x[selected], y[selected]) if selected.any() else None
    scaled = rgb / np.float32(np.iinfo(rgb.dtype).max)
    for baseline, raw in (("unprocess", Unprocess(camera)(rgb, name)), ("copy", scaled)):
        scores = challenge_scores(to_challenge_format(raw), truth)
        record |= {f"{baseline}_{key}": value for key, value in scores.items()}
    return record


def packed_mask(rgb: np.ndarray) -> np.ndarray:
    """Return the overexposure mask at the samples of packed RAW: bool (H/2, W/2, 4)."""
    return pack(crop_to_cells(overexposure_mask(rgb)))


def tone_means(counts: np.ndarray, photo: np.ndarray) -> dict[str, list]:
    """Average RAW green over the pixels at each of 32 levels of the photo's green.

    Args:
        counts: packed RAW, (h, w, 4), 1024 = white.
        photo: sRGB photo at the same size, float (h, w, 3) in [0, 1].

    Returns:
        raw: the means, in [0, 1], 0 for empty levels; pixels: the number of pixels at each level.
    """
    green = (counts[..., 1].ravel() + counts[..., 2].ravel()) / (2 * WHITE_LEVEL)
    level = np.minimum((photo[..., 1].ravel() * TONE_LEVELS).astype(np.intp), TONE_LEVELS - 1)
    pixels = np.bincount(level, minlength=TONE_LEVELS)
    means = np.bincount(level, green, minlength=TONE_LEVELS) / np.maximum(pixels, 1)
    return {"raw": means.round(4).tolist(), "pixels": pixels.tolist()}


def check_same_shape(truth: np.ndarray, counts: np.ndarray, item: Item) -> np.ndarray:
    """Return the ground truth, or raise InputError if the reconstruction has another shape."""
    if counts.shape != truth.shape:
        raise InputError(
            f"{item.raw}: packed {counts.shape}, but its ground truth is {truth.shape};"
            " both must show the same crop"
        )
    return truth


def check_photo_size(rgb: np.ndarray, counts: np.ndarray, item: Item) -> np.ndarray:
    """Return the photo, or raise InputError if the reconstruction has another size."""
    if (rgb.shape[0] // 2, rgb.shape[1] // 2) != counts.shape[:2]:
        height, width = counts.shape[:2]
        raise InputError(
            f"{item.photo}: {rgb.shape[1]} x {rgb.shape[0]} pixels,"
            f" but {item.raw.name} is {2 * width} x {2 * height}; give the photo that it was made from"
        )
    return rgb


def score_all(items: list[Item], camera: Camera, processes: int) -> tuple[dict[str, dict], list[str]]:
    """Run `score_image` on every item, in several processes; return the records by name, and all problems.

    The records are in the order of the items.
    """
    records, problems = {}, []
    results = iter_scores(items, camera, processes)
    for item, (record, lines) in zip(items, progress(results, "scoring", total=len(items), unit="image")):
        if record:
            records[item.name] = record
        problems += lines
    return records, problems


def iter_scores(items: list[Item], camera: Camera, processes: int) -> Iterator[tuple[dict, list[str]]]:
    """Yield `score_image` of every item, in order."""
    if min(processes, len(items)) <= 1:
        yield from map(partial(score_image, camera=camera), items)
        return
    score = partial(score_in_worker, camera=camera)
    with ProcessPoolExecutor(min(processes, len(items)), get_context("spawn"), start_worker) as pool:
        with interrupts_held():  # until `start_worker`
            results = pool.map(score, items, chunksize=max(1, min(16, len(items) // (4 * processes))))
        yield from results


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back from this process, and from processes that it starts meanwhile."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def start_worker() -> None:
    """Set up a process that scores images: after Ctrl-C it skips the rest, and its parent ends it."""
    configure_logging()
    signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def score_in_worker(item: Item, camera: Camera) -> tuple[dict, list[str]]:
    """Run `score_image`, unless Ctrl-C was pressed."""
    return ({}, [f"{item.raw}: not scored; interrupted"]) if interrupts else score_image(item, camera)


def add_expectations(records: dict[str, dict], expected: Mapping[str, dict]) -> None:
    """Add the `EXPECTATIONS` to the records of images; `expected`: `omf.inference.base.Expected` by name."""
    for name in records.keys() & expected.keys():
        psnr, (low, high) = expected[name]["psnr"], expected[name]["exposure"]
        records[name] |= dict(zip(EXPECTATIONS, (psnr, low, high), strict=True))


def warnings_line(record: dict) -> str:
    """Join the warnings of an image into one line."""
    return "; ".join(record.get("warnings", []))


def summarise(records: dict[str, dict]) -> dict:
    """Return the contents of scores.json: the scores of each image, and their means.

    Each mean is over the images that have the score, and None if there are none.
    """

    def mean(key: str) -> float | None:
        values = [record[key] for record in records.values() if record.get(key) is not None]
        return float(np.mean(values)) if values else None

    return {
        "scored": sum("psnr" in record for record in records.values()),
        "simulated": sum(record.get("simulated", False) for record in records.values()),
        "mean": {key: mean(key) for key in CSV_COLUMNS[:-1]},
        "images": {
            name: {key: record[key] for key in CSV_COLUMNS if key in record}
            for name, record in sorted(records.items())
        },
    }


def scores_csv(summary: dict) -> str:
    """Format the images as CSV, one line each; cells of missing scores are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["name", *CSV_COLUMNS], lineterminator="\n")
    writer.writeheader()
    for name, image in summary["images"].items():
        writer.writerow({"name": printable(name), **image, "warnings": warnings_line(image)})
    return text.getvalue()


def scores_table(summary: dict) -> str:
    """Format the challenge's scores as text, one line per image, beside those of the classical method."""
    rows = {printable(name): image for name, image in summary["images"].items() if "psnr" in image}
    rows |= {"mean": summary["mean"]}
    has_baseline = summary["mean"]["unprocess_psnr"] is not None
    width = max(map(len, ["image", *rows]))
    lines = [f"{'image':<{width}}   PSNR    SSIM" + ("   unprocess PSNR    SSIM" if has_baseline else "")]
    for name, image in rows.items():
        line = f"{name:<{width}} {image['psnr']:6.2f}  {image['ssim']:.4f}"
        if image.get("unprocess_psnr") is not None:
            line += f"           {image['unprocess_psnr']:6.2f}  {image['unprocess_ssim']:.4f}"
        lines.append(line)
    return "\n".join(lines)
