"""Overview of a dataset: statistics as text, and a contact sheet."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from omf.raw.bayer import pack
from omf.raw.overexposure import overexposure_mask
from omf.training.datasets import DESCRIPTION, CameraPair, Dataset, Pair
from omf.utils.console import progress
from omf.utils.errors import InputError
from omf.utils.files import atomic_write

MAX_SAMPLED_PAIRS = 200  # pairs, for the statistics
CLIPPED_RAW = 0.99  # of the white level; few sensors reach it exactly
MAX_PROBLEMS = 20  # listed
THUMBNAIL, MARGIN, CAPTION, SHEET_COLUMNS = 192, 8, 16, 4  # pixels, pixels, pixels, tiles


def sample_evenly(pairs: list[Pair], count: int) -> list[Pair]:
    """Return at most `count` evenly spaced pairs, from the first to the last."""
    chosen = np.linspace(0, len(pairs) - 1, min(count, len(pairs))).round().astype(int)
    return [pairs[i] for i in chosen]


def describe(dataset: Dataset) -> str:
    """Return the layout, statistics and problems of a dataset as lines for a terminal.

    The statistics come from at most 200 pairs; pairs that cannot be read are skipped and listed as problems.
    """
    problems = list(dataset.problems)
    if dataset.layout == "dng":
        lines = [camera_pairs_line(dataset.pairs)]
    else:
        sizes, rows = [], []
        for pair in progress(sample_evenly(dataset.pairs, MAX_SAMPLED_PAIRS), "statistics", unit="pair"):
            try:
                rgb, bayer = pair.load()
            except InputError as error:
                problems += [str(error)] * (str(error) not in problems)
            else:
                sizes.append(f"{rgb.shape[1]} x {rgb.shape[0]}")
                rows.append(pair_statistics(rgb, pack(bayer)))
        sample = f", statistics from {len(rows)} of them" if len(rows) < len(dataset.pairs) else ""
        levels = sorted({pair.white_level for pair in dataset.pairs})
        lines = [
            f"layout {dataset.layout}: {len(dataset.pairs)} pairs{sample}",
            f"white level   {', '.join(map(str, levels))}",
            *(statistics_lines(sizes, np.array(rows)) if rows else ()),
        ]
    lines += [f"problem: {problem}" for problem in problems[:MAX_PROBLEMS]]
    if len(problems) > MAX_PROBLEMS:
        lines.append(f"and {len(problems) - MAX_PROBLEMS} more problems")
    return "\n".join(lines)


def camera_pairs_line(pairs: list[CameraPair]) -> str:
    """Return the line about the camera RAW in a dataset."""
    embedded = sum(pair.photo is None for pair in pairs)
    kinds = ("photos with camera RAW", "camera RAW files with embedded photos")
    counts = (len(pairs) - embedded, embedded)
    text = ", ".join(f"{count} {kind}" for count, kind in zip(counts, kinds) if count)
    if not text:
        return "layout dng: no pairs that can be used"
    return f"layout dng: {text}; before training, cut them into pairs: omf dataset FOLDER --convert OUT"


def pair_statistics(rgb: np.ndarray, planes: np.ndarray) -> list[float]:
    """Return minima, means and maxima of the planes R, Gr, Gb, B, and the overexposed and clipped shares."""
    values = planes.reshape(-1, 4)
    shares = overexposure_mask(rgb).mean(), (planes >= CLIPPED_RAW).mean()
    return [*values.min(0), *values.mean(0, dtype=np.float64), *values.max(0), *shares]


def statistics_lines(sizes: list[str], rows: np.ndarray) -> list[str]:
    """Return a table of sizes and `pair_statistics`, (N, 14), over all pairs, each with equal weight."""
    common = sorted(((sizes.count(size), size) for size in set(sizes)), reverse=True)
    sizes_text = ", ".join(f"{size} ({count})" for count, size in common[:5]) + ", ..." * (len(common) > 5)
    lines = [f"sizes         {sizes_text}", "RAW, 1 = white     R      Gr      Gb       B"]
    low, mean, high, shares = np.split(rows, (4, 8, 12), axis=1)
    for name, values in (("lowest", low.min(0)), ("mean", mean.mean(0)), ("highest", high.max(0))):
        lines.append(f"  {name:<10}" + "".join(f"{value:8.4f}" for value in values))
    green = np.maximum(mean[:, 1:3].mean(axis=1), 1e-9)
    for name, plane in (("R/G", 0), ("B/G", 3)):
        low_ratio, median, high_ratio = np.percentile(mean[:, plane] / green, (5, 50, 95))
        lines.append(
            f"grey-world {name}  {median:.3f}, 5 to 95 % of the pairs {low_ratio:.3f} to {high_ratio:.3f}"
        )
    overexposed, clipped = 100 * shares.mean(axis=0)
    lines.append(f"overexposed   {overexposed:.2f} % of the photos' pixels")
    lines.append(f"clipped       {clipped:.2f} % of the RAW values ({CLIPPED_RAW:g} or more)")
    if high.max() < 0.5:
        lines.append(
            f"note: no RAW value is above {high.max():.2f}; is the white level right?"
            f" {DESCRIPTION} can set another"
        )
    return lines


def grey_world_preview(bayer: np.ndarray) -> np.ndarray:
    """Render a Bayer mosaic, RGGB, float32 (H, W), as uint8 (H/2, W/2, 3).

    Applies grey-world white balance and a gamma of 1/2.2.
    """
    planes = pack(bayer)
    rgb = np.stack([planes[..., 0], planes[..., 1:3].mean(axis=-1), planes[..., 3]], axis=-1)
    means = rgb.mean(axis=(0, 1))
    balanced = rgb * (means[1] / np.maximum(means, 1e-6))
    return (np.clip(balanced, 0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8)


def contact_sheet(dataset: Dataset, path: Path, count: int = 20) -> None:
    """Write a PNG with at most `count` evenly spaced pairs: photo, fixed rendering of the RAW, and name.

    Raises InputError if there are no packed pairs, or one of the sampled pairs cannot be read.
    """
    if dataset.layout == "dng" or not dataset.pairs:
        raise InputError(f"{path}: no pairs to show; convert camera RAW first")
    pairs = sample_evenly(dataset.pairs, count)
    columns = min(SHEET_COLUMNS, len(pairs))
    rows = -(-len(pairs) // columns)
    tile_width, tile_height = 2 * THUMBNAIL + MARGIN, THUMBNAIL + CAPTION + MARGIN
    sheet = Image.new("RGB", (columns * tile_width + MARGIN, rows * tile_height + MARGIN), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for i, pair in enumerate(progress(pairs, "contact sheet", unit="pair")):
        rgb, bayer = pair.load()
        left, top = MARGIN + i % columns * tile_width, MARGIN + i // columns * tile_height
        photo = rgb if rgb.dtype == np.uint8 else (rgb >> 8).astype(np.uint8)
        for image, offset in ((photo, 0), (grey_world_preview(bayer), THUMBNAIL)):
            tile = ImageOps.pad(Image.fromarray(image), (THUMBNAIL, THUMBNAIL), color="lightgrey")
            sheet.paste(tile, (left + offset, top))
        name = caption = pair.name
        while font.getlength(caption) > 2 * THUMBNAIL:
            name = name[:-1]
            caption = name + "..."
        draw.text((left, top + THUMBNAIL + 2), caption, fill="black", font=font)
    with atomic_write(path) as temporary:
        sheet.save(temporary, format="PNG")
