"""Arguments, Markdown tables and plots of the benchmarks."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from omf.utils.files import atomic_write, save_text


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with --out, the file for the tables."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="Markdown tables")
    return parser


def row(*cells: str) -> str:
    """Return a row of a table."""
    return "| " + " | ".join(cells) + " |"


def head(*columns: str) -> list[str]:
    """Return the first two lines of a table."""
    return [row(*columns).replace("|  |", "| |"), "|---" * len(columns) + "|"]


def median_and_range(values: Sequence[float], digits: int) -> str:
    """Format values as median (min to max)."""
    return f"{np.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def publish(lines: Iterable[str], out: Path | None) -> None:
    """Print lines, and save them if a file is given."""
    text = "\n".join(lines).rstrip("\n") + "\n"
    print(text, end="")
    if out:
        save_text(out, text)


def evenly_spaced(photos: list[Path], count: int) -> list[Path]:
    """Return so many photos at most, evenly spaced by name."""
    return photos[:: max(len(photos) // count, 1)][:count]


def save_plot(figure, path: Path) -> None:
    """Write a figure of Matplotlib as PNG."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
