"""Sheets of panels and screenshots for the documentation."""

import io
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

DOCS = Path(__file__).parents[1] / "docs"
GAP, TITLE = 8, 28  # pixels between panels, and above them
WINDOW = {"width": 1280, "height": 1500}  # pixels


def save(picture: Image.Image, name: str, size: tuple[int, int] | None = None) -> None:
    """Write a picture of the documentation, of another size (width, height) if one is given."""
    picture = picture.resize(size, Image.Resampling.LANCZOS) if size else picture
    picture.save(DOCS / name, quality=88)


def draw_sheet(
    name: str,
    titles: Sequence[str],
    rows: Sequence[Sequence[np.ndarray]],
    size: tuple[int, int],
    resampling: Image.Resampling = Image.Resampling.LANCZOS,
) -> None:
    """Write rows of panels, uint8 (H, W, 3), each resized to (width, height), below titles of the columns."""
    width, height = size
    shape = (len(titles) * (width + GAP) - GAP, TITLE + len(rows) * (height + GAP) - GAP)
    sheet = Image.new("RGB", shape, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    for column, title in enumerate(titles):
        draw.text((column * (width + GAP) + 2, 3), title, fill="black", font=font)
        for row, panels in enumerate(rows):
            panel = Image.fromarray(panels[column]).resize(size, resampling)
            sheet.paste(panel, (column * (width + GAP), TITLE + row * (height + GAP)))
    save(sheet, name)


@contextmanager
def open_tab(url: str) -> Iterator:
    """Yield a tab of Chromium that shows a page. Needs playwright and Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport=WINDOW, color_scheme="light")
        tab.goto(url)
        yield tab
        browser.close()


def take_screenshot(tab, full_page: bool = False) -> Image.Image:
    """Return a screenshot of a tab."""
    return Image.open(io.BytesIO(tab.screenshot(full_page=full_page)))
