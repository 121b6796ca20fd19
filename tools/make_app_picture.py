"""Create docs/app.jpg, a screenshot of the app with its first example, for the README.

Needs gradio, playwright and Chromium. Start the app first: omf app

python tools/make_app_picture.py
"""

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

URL = "http://127.0.0.1:7860/"
WIDTH, HEIGHT = 1280, 1500  # pixels
PATIENCE = 60_000  # ms


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        tab.goto(URL)
        tab.locator("#examples button img").first.click()
        tab.locator("#facts table").wait_for(timeout=PATIENCE)
        tab.wait_for_timeout(3000)  # for the pictures
        picture = Image.open(io.BytesIO(tab.screenshot(full_page=True)))
        browser.close()
    size = (WIDTH * 3 // 4, picture.height * 3 // 4)
    picture.resize(size, Image.Resampling.LANCZOS).save(
        Path(__file__).parents[1] / "docs" / "app.jpg", quality=88
    )


if __name__ == "__main__":
    main()
