"""Scores of models on real references: photos with the RAW of their camera.

    python benchmarks/real.py PAIRS... --stretched 's7_deepisp_*' --published PHOTO ANSWER \\
        --out benchmarks/real.md

PAIRS are folders that contain photos and, with the same names, RAW: NAME.npy in the challenge's format, DNG,
or NAME.npz, whose `raw` is demosaiced RAW of the photo's size, white at 1, and `valid` its pixels that count.
The first word of a name tells the camera, of which it ends the name: s7, p20 or phone; a model is scored on
the photos of its camera. RAW that is `--stretched`, by an unknown factor, tells no exposure.

The first tables give, for each camera, the PSNR of each photo and in brackets that after the best factor, and
their means over the photos; the last one gives all scores. `its own exposure` is a model whose base network
tells the exposure too, in place of the mean ISP. `best curve and matrix` is the bound of any base network:
one tone curve, matrix and offset for the whole photo, fitted to the RAW itself.

PHOTO and ANSWER are a photo of the S7 and the demosaiced RAW that the published network made of it, with
gamma 1/2.2; PHOTO, of 4032 x 3024 pixels, is also given as AIM 2022 gave out its inputs: in patches, with
extra tone curves, each alone (the setting `scenes: separate`), and as a scene (`scenes: auto`). The
corrections show the kind of the error: PSNR after the best factor (exposure), after one per channel (white
balance), and after a 3 x 3 matrix (colour); tone and detail remain.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import torch
from reporting import head, make_parser, publish, row
from tqdm import tqdm

from omf.evaluation.ground_truth import list_ground_truth, read_ground_truth
from omf.evaluation.metrics import psnr, ssim
from omf.inference.base import Method, Picture
from omf.inference.load import load_method
from omf.io.images import read_rgb
from omf.io.photos import list_images
from omf.models.registry import find_model
from omf.networks.global_net import SEGMENTS, GlobalTransform
from omf.pipeline.scene_reader import SceneReader
from omf.raw.bayer import (
    crop_to_cells,
    from_challenge_counts,
    halved,
    merge_greens,
    mosaic,
    pack,
    to_challenge_format,
)
from omf.raw.isp import EXTRA_CURVES, decode_srgb, to_8_bit
from omf.raw.overexposure import overexposure_mask
from omf.utils.console import count_of
from omf.utils.errors import cli_entry_point

COLUMNS = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "factor": "best factor",
    "psnr_factor": "PSNR, one factor",
    "psnr_factors": "PSNR, three factors",
    "psnr_matrix": "PSNR, 3 x 3 matrix",
}
GAMMA = 2.2  # of the published network's answer
PUBLISHED = "published network"
CHALLENGE_PATCH = 504  # pixels
BOUND = "best curve and matrix"
MAX_CELLS = 50_000  # of a photo, that the bound is fitted to
ROUNDS = 15  # of the bound's fit; more change less than 0.01 dB


@dataclass(frozen=True)
class Reference:
    """A photo and its RAW."""

    name: str
    rgb: np.ndarray  # sRGB (H, W, 3)
    raw: np.ndarray  # packed RGGB, float64 (H/2, W/2, 4) in [0, 1]
    valid: np.ndarray  # cells that count, bool (H/2, W/2)
    camera: str = "s7"  # end of the camera's name
    is_stretched: bool = False  # the RAW is known up to a factor
    patch_size: int | None = None  # height and width in which methods get the photo; None: whole
    is_scene: bool = False  # the patches are read as a scene


def read_pairs(folder: Path, stretched: str) -> Iterator[Reference]:
    """Yield the photos of a folder that have RAW; the names of stretched ones match a pattern."""
    ground_truth = list_ground_truth(folder)
    for photo in list_images(folder):
        name, demosaiced = photo.stem, photo.with_suffix(".npz")
        rgb = read_rgb(photo)
        shape = (rgb.shape[0] // 2, rgb.shape[1] // 2, 4)
        valid = np.ones(shape[:2], bool)
        if name in ground_truth:
            raw = from_challenge_counts(read_ground_truth(ground_truth[name], shape, rgb))
        elif demosaiced.is_file():
            with np.load(demosaiced) as archive:
                raw, valid = archive["raw"].astype(float), archive["valid"]
            raw, valid = halved(raw)[..., [0, 1, 1, 2]], halved(valid.astype(float)[..., None])[..., 0] == 1
        else:
            continue
        yield Reference(name, rgb, raw, valid, name.partition("_")[0], fnmatch(name, stretched))


def read_published(photo: Path, answer: Path) -> Reference:
    """Return a photo and the published network's answer."""
    linear = (read_rgb(answer) / np.float32(255)) ** np.float32(GAMMA)
    raw = from_challenge_counts(to_challenge_format(linear))
    return Reference(f"{PUBLISHED} on {photo.name}", read_rgb(photo), raw, np.ones(raw.shape[:2], bool))


def add_references(parser: argparse.ArgumentParser, pairs: str = "--pairs") -> None:
    """Add the arguments that `read_references` reads; `pairs` names the first."""
    parser.add_argument(pairs, nargs="*", type=Path, default=[], help="folders of real pairs")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names of real pairs, for one camera")
    parser.add_argument("--stretched", default="", metavar="PATTERN", help="names of RAW of unknown scale")
    parser.add_argument("--published", nargs=2, type=Path, metavar=("PHOTO", "ANSWER"))


def read_references(arguments: argparse.Namespace) -> list[Reference]:
    """Return the references that the arguments name."""
    pairs = (item for folder in arguments.pairs for item in read_pairs(folder, arguments.stretched))
    references = [item for item in pairs if fnmatch(item.name, arguments.only)]
    return references + ([read_published(*arguments.published)] if arguments.published else [])


def as_challenge_inputs(reference: Reference) -> Reference:
    """Return a reference as AIM 2022 gave it out: in patches, with its extra tone curves A and B in turn."""
    rgb = reference.rgb.copy()
    for number, window in enumerate(patches(rgb.shape, CHALLENGE_PATCH)):
        curve = EXTRA_CURVES[number % 2]
        rgb[window] = to_8_bit(curve(rgb[window] / np.float32(255)))
    name = f"{reference.name}, as challenge inputs, separate"
    return replace(reference, name=name, rgb=rgb, patch_size=CHALLENGE_PATCH)


def as_scene(reference: Reference) -> Reference:
    """Return separate challenge inputs as those of a scene."""
    return replace(reference, name=reference.name.replace("separate", "as a scene"), is_scene=True)


def patches(shape: tuple[int, ...], size: int) -> Iterator[tuple[slice, slice]]:
    """Yield the windows of patches, row by row."""
    for top in range(0, shape[0], size):
        for left in range(0, shape[1], size):
            yield slice(top, top + size), slice(left, left + size)


def reconstruct(method: Method, reference: Reference) -> np.ndarray:
    """Return the packed RAW that a method predicts, float64 (H/2, W/2, 4) in [0, 1]."""
    predicted = np.empty((reference.rgb.shape[0] // 2, reference.rgb.shape[1] // 2, 4), np.uint16)
    windows = list(patches(reference.rgb.shape, reference.patch_size or max(reference.rgb.shape)))
    pictures = [(reference.rgb[window], None) for window in windows]
    if reference.is_scene:
        pictures = read_scene([rgb for rgb, _ in pictures])
    for (rows, columns), (rgb, whole) in zip(windows, pictures, strict=True):
        cells = slice(rows.start // 2, rows.stop // 2), slice(columns.start // 2, columns.stop // 2)
        name = f"{reference.name} {rows.start} {columns.start}"
        predicted[cells] = method.packed([Picture(rgb, overexposure_mask(rgb), name, whole=whole)])()[0]
    return from_challenge_counts(predicted)


def read_scene(pictures: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Return the patches of a scene without extra curves, each with the photo that it belongs to."""
    named = {f"scene_{number}": rgb for number, rgb in enumerate(pictures)}
    reader = SceneReader(named, {"scene": list(named)}, named.__getitem__)
    return [reader(name) for name in named]


def best_transform(reference: Reference) -> GlobalTransform:
    """Fit the transform of a base network to the mosaic of a photo, by least squares over its valid cells.

    Fits the tone curve, and matrix and offset, in turn; the curve need not rise.
    """
    cells = np.random.default_rng(0).permutation(np.argwhere(reference.valid))[:MAX_CELLS].T
    truth = merge_greens(reference.raw[tuple(cells)])
    corners = [reference.rgb[tuple(2 * cells + [[top], [left]])] for top in (0, 1) for left in (0, 1)]
    red, green_r, green_b, blue = (knot_weights(part / np.iinfo(part.dtype).max) for part in corners)
    weights = np.stack([red, (green_r + green_b) / 2, blue], axis=1)  # cell, colour of RAW, of sRGB, knot
    curve = decode_srgb(np.linspace(0, 1, SEGMENTS + 1))
    for _ in range(ROUNDS):
        linear = np.insert(weights @ curve, 3, 1, axis=2)
        rows = [np.linalg.lstsq(linear[:, colour], truth[:, colour], rcond=None)[0] for colour in range(3)]
        matrix, offset = np.split(np.stack(rows), [3], axis=1)
        products = np.einsum("nock,oc->nok", weights, matrix).reshape(-1, SEGMENTS + 1)
        curve = np.linalg.lstsq(products, (truth - offset[:, 0]).ravel(), rcond=None)[0]
    return GlobalTransform(*(torch.tensor(part)[None].float() for part in (curve, matrix, offset[:, 0])))


def knot_weights(srgb: np.ndarray) -> np.ndarray:
    """Return the weights of a tone curve's knots for sRGB in [0, 1], (N, 3) -> (N, 3, SEGMENTS + 1)."""
    return np.maximum(0, 1 - np.abs(srgb[..., None] * SEGMENTS - np.arange(SEGMENTS + 1)))


@torch.inference_mode()
def transformed(transform: GlobalTransform, rgb: np.ndarray) -> np.ndarray:
    """Return the packed base RAW of a photo, float32 (H/2, W/2, 4) in [0, 1]."""
    photo = torch.tensor(rgb).permute(2, 0, 1)[None].float() / np.iinfo(rgb.dtype).max
    raw = transform.apply(photo)[0].clamp(0, 1).permute(1, 2, 0).numpy()
    return pack(crop_to_cells(mosaic(raw)))


def score(predicted: np.ndarray, reference: Reference) -> dict[str, float]:
    """Score packed RAW, float64 (h, w, 4) in [0, 1], as it is and after the least-squares corrections.

    PSNR compares R, the mean of both greens, and B of each cell: most references tell no more. NaN stands
    for scores that a reference does not determine: SSIM if parts of it are missing, and what depends on its
    scale if that is unknown.
    """
    similarity = ssim(predicted, reference.raw) if reference.valid.all() else np.nan
    colours, truth = (merge_greens(packed[reference.valid]) for packed in (predicted, reference.raw))
    factor = (colours * truth).sum() / (colours**2).sum()
    factors = (colours * truth).sum(axis=0) / (colours**2).sum(axis=0)
    matrix = np.linalg.lstsq(colours, truth, rcond=None)[0]
    absolute = np.nan if reference.is_stretched else 1.0
    return {
        "psnr": absolute * psnr(colours, truth),
        "ssim": absolute * similarity,
        "factor": absolute * float(factor),
        "psnr_factor": psnr(factor * colours, truth),
        "psnr_factors": psnr(factors * colours, truth),
        "psnr_matrix": psnr(colours @ matrix, truth),
    }


def table_row(cells: list[str], scores: dict[str, float]) -> str:
    values = [f"{scores[key]:.4f}" if key == "ssim" else f"{scores[key]:.2f}" for key in COLUMNS]
    return row(*cells, *("" if value == "nan" else value for value in values))


def overview(scores: dict[tuple[str, str], dict[str, float]], models: list[str]) -> list[str]:
    """Return a table of PSNR, and in brackets after one factor, with a row for each reference and their mean.

    Args:
        scores: {(reference, model): scores}, with `BOUND` among the models of whole photos.
        models: models of one camera, to show.
    """
    references = list(dict.fromkeys(reference for reference, model in scores if model in models))
    columns = [*models, BOUND]
    rows = {name: [scores.get((name, column)) for column in columns] for name in references}
    whole = [entries for entries in rows.values() if None not in entries]
    rows[f"mean of {count_of(len(whole), 'photo')}"] = [
        {key: float(np.nanmean([entry[key] for entry in column])) for key in COLUMNS}
        for column in zip(*whole)
    ]
    lines = head("Photo", *columns)
    lines += [row(name, *map(overview_cell, entries)) for name, entries in rows.items()]
    return [*lines, ""]


def overview_cell(entry: dict[str, float] | None) -> str:
    if entry is None:
        return ""
    return f"{entry['psnr']:.2f} ({entry['psnr_factor']:.2f})".removeprefix("nan ")


@cli_entry_point
def main() -> None:
    parser = make_parser(__doc__)
    add_references(parser, "pairs")
    parser.add_argument(
        "--models",
        nargs="+",
        default=[
            *("samsung_s7", "unprocess", "inverse", "huawei_p20", "unprocess_p20", "inverse:huawei_p20"),
            *("generic_phone", "unprocess:generic_phone", "inverse:generic_phone"),
        ],
        metavar="MODEL[:CAMERA]",
        help="names in models.yaml; unprocess and inverse also for another camera",
    )
    arguments = parser.parse_args()
    references = read_references(arguments)
    challenge_inputs = [as_challenge_inputs(item) for item in references if item.name.startswith(PUBLISHED)]
    references += challenge_inputs + [as_scene(item) for item in challenge_inputs]
    models = {}
    for name in arguments.models:
        listed, _, camera = name.partition(":")
        model = find_model(listed)
        if camera:  # of a method without networks
            model = replace(model, camera=camera)
        models[name] = model, load_method(model, "auto")[0]
        if model.base:
            method = load_method(model, "auto")[0]
            method.base.hold_exposure(None, None)
            models[f"{name}, its own exposure"] = model, method
    scores = {
        (reference.name, name): score(reconstruct(method, reference), reference)
        for reference in tqdm(references, unit="reference", disable=None)
        for name, (model, method) in models.items()
        if model.camera.endswith(reference.camera)
    }
    for reference in references:
        if not reference.patch_size:  # one transform for the whole photo
            bound = transformed(best_transform(reference), reference.rgb)
            scores[reference.name, BOUND] = score(bound, reference)
    lines = []
    for camera in dict.fromkeys(model.camera for model, _ in models.values()):
        lines += overview(scores, [name for name, (model, _) in models.items() if model.camera == camera])
    lines += head("Photo", "Model", *COLUMNS.values())
    lines += [table_row(list(names), values) for names, values in scores.items()]
    publish(lines, arguments.out)


if __name__ == "__main__":
    main()
