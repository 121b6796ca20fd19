"""Create docs/report.jpg, a screenshot of the report of ./test for the README.

Run ./test first. Needs playwright and Chromium.

python tools/make_report_picture.py
"""

from pathlib import Path

from pictures import WINDOW, open_tab, save, take_screenshot
from PIL import Image

REPORT = Path(__file__).parents[1] / "submission" / "report.html"
GAP = 40  # pixels between plots and thumbnails


def main() -> None:
    with open_tab(REPORT.as_uri()) as tab:
        plots = take_picture(tab, "h2:has(+ .plots)")
        box = tab.locator(".plots").bounding_box()
        end_of_plots = round(box["y"] + box["height"]) + GAP
        thumbnails = take_picture(tab, "h2:has(+ p + .thumbnails)")
        examples = take_picture(tab, "section > h3")
    width, height = WINDOW.values()
    joined = Image.new("RGB", (2 * width, height), "white")
    joined.paste(plots, (0, 0))
    joined.paste(thumbnails, (0, end_of_plots))
    joined.paste(examples, (width, 0))
    save(joined, "report.jpg", (width, height // 2))


def take_picture(tab, heading: str) -> Image.Image:
    """Return a screenshot of the page from a heading on."""
    tab.eval_on_selector("main", "main => { main.style.paddingBottom = '100vh'; }")  # room to scroll
    tab.eval_on_selector(heading, "heading => heading.scrollIntoView()")
    tab.wait_for_timeout(500)  # for thumbnails, which load when they are in sight
    return take_screenshot(tab)


if __name__ == "__main__":
    main()
