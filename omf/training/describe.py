"""Show what a dataset is: its figures as text, and a contact sheet."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from omf.raw.bayer import pack
from omf.raw.overexposure import overexposure_mask
from omf.training.datasets import DESCRIPTION, Dataset, Pair
from omf.utils.console import progress
from omf.utils.errors import InputError
from omf.utils.files import atomic_write

SAMPLED = 200  # pairs that a description looks at
CLIPPED_RAW = 0.99  # of the white level; few sensors reach it to the count
LISTED_PROBLEMS = 20
THUMBNAIL, MARGIN, CAPTION, SHEET_COLUMNS = 192, 8, 16, 4  # pixels, pixels, pixels, tiles


def evenly(pairs: list[Pair], count: int) -> list[Pair]:
    """At most `count` of the pairs, from the first to the last at equal distances."""
    chosen = np.linspace(0, len(pairs) - 1, min(count, len(pairs))).round().astype(int)
    return [pairs[i] for i in chosen]


def describe(dataset: Dataset) -> str:
    """What was found, as lines for a terminal. Figures come from at most 200 pairs; those that can't be read are left out."""
    if dataset.layout == "dng":
        count = len(dataset.camera_pairs)
        lines = [
            f"layout dng: {count} photos with camera RAW; before training, cut them into pairs: omf dataset FOLDER --convert OUT"
        ]
        return "\n".join(lines + problem_lines(dataset.problems))
    figures, bad = [], []
    for pair in progress(evenly(dataset.pairs, SAMPLED), "look", unit="pair"):
        try:
            figures.append(pair_figures(pair))
        except InputError as error:
            bad.append(str(error))
    sample = f", figures from {len(figures)} of them" if len(figures) < len(dataset.pairs) else ""
    lines = [f"layout {dataset.layout}: {len(dataset.pairs)} pairs{sample}"]
    levels = sorted({pair.white_level for pair in dataset.pairs})
    lines += [f"white level   {', '.join(map(str, levels))}"]
    if figures:
        lines += figure_lines(figures)
    return "\n".join(
        lines
        + problem_lines(dataset.problems + [problem for problem in bad if problem not in dataset.problems])
    )


def pair_figures(pair: Pair) -> dict:
    """The figures of one pair: size, planes' least, mean and highest value, overexposed and clipped share."""
    rgb, bayer = pair.load()
    planes = pack(bayer)
    return {
        "size": f"{rgb.shape[1]} x {rgb.shape[0]}",
        "low": planes.min(axis=(0, 1)),
        "mean": planes.mean(axis=(0, 1), dtype=np.float64),
        "high": planes.max(axis=(0, 1)),
        "overexposed": overexposure_mask(rgb).mean(),
        "clipped": (planes >= CLIPPED_RAW).mean(),
    }


def figure_lines(figures: list[dict]) -> list[str]:
    """The table of many pairs' figures; each pair counts the same."""
    sizes = [figure["size"] for figure in figures]
    counts = sorted(((sizes.count(size), size) for size in set(sizes)), reverse=True)
    sizes_text = ", ".join(f"{size} ({count})" for count, size in counts[:5]) + (
        ", ..." if len(counts) > 5 else ""
    )
    low, mean, high = (np.array([figure[key] for figure in figures]) for key in ("low", "mean", "high"))
    lines = [f"sizes         {sizes_text}", "RAW, 1 = white     R      Gr      Gb       B"]
    for name, row in (
        ("lowest", low.min(axis=0)),
        ("mean", mean.mean(axis=0)),
        ("highest", high.max(axis=0)),
    ):
        lines.append(f"  {name:<10}" + "".join(f"{value:8.4f}" for value in row))
    green = np.maximum(mean[:, 1:3].mean(axis=1), 1e-9)
    for name, ratio in (("R/G", mean[:, 0] / green), ("B/G", mean[:, 3] / green)):
        low_ratio, middle, high_ratio = np.percentile(ratio, (5, 50, 95))
        lines.append(
            f"grey-world {name}  {middle:.3f}, 5 to 95 % of the pairs {low_ratio:.3f} to {high_ratio:.3f}"
        )
    lines.append(
        f"overexposed   {100 * np.mean([figure['overexposed'] for figure in figures]):.2f} % of the photos' pixels"
    )
    lines.append(
        f"clipped       {100 * np.mean([figure['clipped'] for figure in figures]):.2f} % of the RAW values ({CLIPPED_RAW:g} or more)"
    )
    if high.max() < 0.5:
        lines.append(
            f"note: no RAW value is above {high.max():.2f}; is the white level right? {DESCRIPTION} can tell another"
        )
    return lines


def problem_lines(problems: list[str]) -> list[str]:
    lines = [f"problem: {problem}" for problem in problems[:LISTED_PROBLEMS]]
    rest = len(problems) - len(lines)
    return lines + ([f"and {rest} more problems"] if rest > 0 else [])


def grey_world_preview(bayer: np.ndarray) -> np.ndarray:
    """RAW for the eye: Bayer, float32 (H, W) -> uint8 (H/2, W/2, 3), grey-world white balance, gamma 1/2.2."""
    planes = pack(bayer)
    rgb = np.stack([planes[..., 0], planes[..., 1:3].mean(axis=-1), planes[..., 3]], axis=-1)
    means = rgb.mean(axis=(0, 1))
    balanced = rgb * (means[1] / np.maximum(means, 1e-6))
    return (np.clip(balanced, 0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8)


def contact_sheet(dataset: Dataset, path: Path, count: int = 20) -> None:
    """Write one PNG with `count` of the pairs: each photo beside its RAW in one fixed rendering, with the name below.

    Raises:
        InputError: there are no packed pairs, or one of those shown can't be read.
    """
    if not dataset.pairs:
        raise InputError(f"{path}: no pairs to show; convert camera RAW first")
    pairs = evenly(dataset.pairs, count)
    columns = min(SHEET_COLUMNS, len(pairs))
    rows = -(-len(pairs) // columns)
    tile_width, tile_height = 2 * THUMBNAIL + MARGIN, THUMBNAIL + CAPTION + MARGIN
    sheet = Image.new("RGB", (columns * tile_width + MARGIN, rows * tile_height + MARGIN), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for i, pair in enumerate(progress(pairs, "contact sheet", unit="pair")):
        rgb, bayer = pair.load()
        left, top = MARGIN + i % columns * tile_width, MARGIN + i // columns * tile_height
        photo = rgb if rgb.dtype == np.uint8 else (rgb >> 8).astype(np.uint8)
        for picture, offset in ((photo, 0), (grey_world_preview(bayer), THUMBNAIL)):
            sheet.paste(
                ImageOps.pad(Image.fromarray(picture), (THUMBNAIL, THUMBNAIL), color="lightgrey"),
                (left + offset, top),
            )
        draw.text((left, top + THUMBNAIL + 2), fitting(pair.name, font), fill="black", font=font)
    with atomic_write(path) as temporary:
        sheet.save(temporary, format="PNG")


def fitting(name: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """A name, its end cut off where it is too long for a caption."""
    width = 2 * THUMBNAIL
    if font.getlength(name) <= width:
        return name
    while font.getlength(name + "...") > width:
        name = name[:-1]
    return name + "..."
