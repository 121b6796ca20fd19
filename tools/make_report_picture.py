"""Create docs/report.jpg, a screenshot of the report of ./test for the README.

Run ./test first. Needs playwright and Chromium.

python tools/make_report_picture.py
"""

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent
WIDTH, HEIGHT = 1280, 1500  # window size, pixels
GAP = 40  # pixels between plots and thumbnails


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        tab.goto((ROOT / "submission" / "report.html").as_uri())
        plots = take_picture(tab, "h2:has(+ .plots)")
        box = tab.locator(".plots").bounding_box()
        end_of_plots = round(box["y"] + box["height"]) + GAP
        thumbnails = take_picture(tab, "h2:has(+ p + .thumbnails)")
        examples = take_picture(tab, "section > h3")
        browser.close()
    joined = Image.new("RGB", (2 * WIDTH, HEIGHT), "white")
    joined.paste(plots, (0, 0))
    joined.paste(thumbnails, (0, end_of_plots))
    joined.paste(examples, (WIDTH, 0))
    joined.resize((WIDTH, HEIGHT // 2), Image.Resampling.LANCZOS).save(
        ROOT / "docs" / "report.jpg", quality=88
    )


def take_picture(tab: Page, heading: str) -> Image.Image:
    """Return a screenshot of the page from a heading on."""
    tab.eval_on_selector("main", "main => { main.style.paddingBottom = '100vh'; }")  # room to scroll
    tab.eval_on_selector(heading, "heading => heading.scrollIntoView()")
    tab.wait_for_timeout(500)  # for thumbnails, which load when they are in sight
    return Image.open(io.BytesIO(tab.screenshot()))


if __name__ == "__main__":
    main()
