"""Create docs/report.jpg, a screenshot of the report of ./test for the README.

Run ./test first. Needs playwright and Chromium.

python tools/make_report_picture.py
"""

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
WIDTH, HEIGHT = 1280, 1500  # window size, pixels


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        tab.goto((ROOT / "submission" / "report.html").as_uri())
        tab.eval_on_selector("h2:nth-of-type(1)", "heading => heading.scrollIntoView()")
        top = Image.open(io.BytesIO(tab.screenshot()))
        tab.eval_on_selector("section > h3", "heading => heading.scrollIntoView()")
        examples = Image.open(io.BytesIO(tab.screenshot()))
        browser.close()
    joined = Image.new("RGB", (2 * WIDTH, HEIGHT), "white")
    joined.paste(top, (0, 0))
    joined.paste(examples, (WIDTH, 0))
    joined.resize((WIDTH, HEIGHT // 2), Image.Resampling.LANCZOS).save(
        ROOT / "docs" / "report.jpg", quality=88
    )


if __name__ == "__main__":
    main()
