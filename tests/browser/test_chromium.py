"""The page in a real browser: Debian's Chromium, if it is installed."""

import io
import re
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from chromium import browser, needs_chromium, watched  # noqa: F401
from PIL import Image

from omf.evaluation.scores import summarise
from omf.report.page import Example, rank_images, render_page
from omf.report.panels import MAX_THUMBNAILS, Thumbnail, jpeg_bytes
from omf.report.summary import run_summary

pytestmark = needs_chromium
IMAGES = 599
PANEL = np.full((120, 160, 3), 90, np.uint8)
THUMBNAIL = Thumbnail(jpeg_bytes(PANEL))


def record(psnr: float, *warnings: str) -> dict:
    return {"psnr": psnr, "ssim": 0.5, "overexposed": psnr / 100, "warnings": list(warnings)}


def write_page(path: Path, images: dict, examples: dict, figures: dict, model: str, device: str) -> Path:
    """Write the page of a run in which a photo of each example was broken."""
    scores = summarise(images)
    scores["mean"]["colour_error"] = 1.0
    timing = {"images": len(images), "device": device, "seconds": 1.0, "megapixels": 1.0}
    problems = [f"{example.name}.jpg: broken" for group in examples.values() for example in group]
    summary = run_summary(model, device, timing, scores, problems)
    thumbnails = dict.fromkeys(rank_images(images)[:MAX_THUMBNAILS], THUMBNAIL)
    thumbnails[list(thumbnails)[1]] = Thumbnail(problem=f"{problems[0]}; copy it again")
    path.write_text(render_page(summary, scores, examples, thumbnails, figures, datetime(2026, 1, 2)))
    return path


@pytest.fixture(scope="module")
def html(tmp_path_factory) -> Path:
    """Write a page of many images, one of them without ground truth, one with a hostile name."""
    rng = np.random.default_rng(0)
    images = {f"image_{number}": record(rng.uniform(10, 40)) for number in range(IMAGES)}
    images["image_7"] = record(5.0, "all black")
    del images["image_8"]["psnr"]
    images["<script>document.title = 'run'</script>"] = record(45.0)
    panels = dict.fromkeys(("sRGB photo", "predicted RAW", "error"), PANEL)
    compared = {"photo": PANEL, "RAW, rendered": PANEL + 100}
    examples = {"Worst": [Example("image_7", "PSNR 5.00 dB", panels, compared)]}
    path = tmp_path_factory.mktemp("page") / "report.html"
    return write_page(path, images, examples, {}, "tiny", "samsung_s7")


@pytest.fixture
def opened(browser, html):
    """Open the page, and assert afterwards that it logged nothing and made no network request."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    logged = []
    tab.on("console", lambda message: logged.append(message.text))
    with watched(tab, "data:", "file:"):
        tab.goto(html.as_uri())
        yield tab
    assert logged == []
    tab.close()


HOSTILE = ["<script>alert(1)<", '"><img src=x onerror=alert(1)>', "'><svg onload=alert(1)>"]
HOSTILE += ["</script><script>alert(1)</script>", "javascript:alert(1)"]


@pytest.fixture
def hostile(tmp_path) -> Path:
    """Write a page with hostile names wherever a name is shown, from the table to the device."""
    images = {name: record(20.0, f"{name} is odd") for name in HOSTILE}
    panel = np.full((12, 16, 3), 90, np.uint8)
    examples = {HOSTILE[1]: [Example(name, name, {name: panel}, {name: panel}) for name in HOSTILE[1:]]}
    figures = {name: ("<svg/>", name) for name in HOSTILE}
    return write_page(tmp_path / "report.html", images, examples, figures, HOSTILE[3], HOSTILE[1])


def page_actions(browser, path: Path) -> list[str]:
    """Click on everything, and return the dialogs opened and the URLs requested."""
    tab = browser.new_page()
    actions = []
    tab.on("dialog", lambda dialog: (actions.append(f"dialog {dialog.message}"), dialog.dismiss()))
    # sees only requests that the policy permits
    tab.route(re.compile("^https?:"), lambda route: (actions.append(route.request.url), route.abort()))
    tab.goto(path.as_uri())
    assert tab.title() == f"RAW reconstruction: {len(HOSTILE)} images, {HOSTILE[3]}"
    for heading in tab.locator("#images th button").all():
        heading.click()
    for link in tab.locator(".thumbnails a").all():
        link.click()
    tab.fill("#filter", "")
    for button in tab.locator("main .open").all():
        button.click()
        tab.keyboard.press("Escape")
    tab.wait_for_timeout(300)
    assert sorted(column(tab, 1)) == sorted(HOSTILE)
    tab.close()
    return actions


def test_hostile_names_are_shown_and_not_run(browser, hostile):
    assert page_actions(browser, hostile) == []


def test_injected_scripts_do_not_run_and_make_no_request(browser, hostile):
    """The page's policy is a second line of defence, should names not be escaped."""
    injected = '<script>alert(2)</script><script src="https://example.org/x.js"></script>'
    injected += '<img src="https://example.org/x.png" onerror="alert(3)">'
    injected += '<iframe src="data:text/html,<script>alert(4)</script>"></iframe>'
    injected += '<link rel="stylesheet" href="https://example.org/x.css">'
    text = hostile.read_text()
    hostile.write_text(text.replace("<main>", f"<main>{injected}{''.join(HOSTILE)}", 1))
    assert page_actions(browser, hostile) == []
    hostile.write_text(re.sub('<meta http-equiv="Content-Security-Policy".*?>', "", hostile.read_text()))
    actions = page_actions(browser, hostile)  # without the policy they do run
    assert any(action.startswith("dialog") for action in actions) and "https://example.org/x.js" in actions


def column(tab, number: int) -> list[str]:
    return tab.eval_on_selector_all(
        f"#images tbody tr td:nth-child({number})", "cells => cells.map(cell => cell.textContent)"
    )


def test_the_page_loads_and_shows_more_rows_on_demand(opened):
    # the script in a name was not executed
    assert opened.title() == f"RAW reconstruction: {IMAGES + 1} images, tiny"
    assert len(column(opened, 1)) == 200
    opened.click("#more")
    opened.click("#more")
    assert len(column(opened, 1)) == IMAGES + 1
    assert not opened.is_visible("#more")


def test_sorting_and_missing_values_last(opened):
    button = opened.get_by_role("button", name="PSNR", exact=True)
    button.click()
    assert column(opened, 2)[0] == "5.00"
    values = [float(text) for text in column(opened, 2)]
    assert values == sorted(values)
    button.click()
    values = [float(text) for text in column(opened, 2)]
    assert values[0] == 45
    assert values == sorted(values, reverse=True)
    assert opened.get_attribute("#images th:nth-child(2)", "aria-sort") == "descending"
    opened.get_by_role("button", name="image", exact=True).click()
    names = [name for name in column(opened, 1) if name.startswith("image")]
    assert names[:3] == ["image_0", "image_1", "image_2"]  # numbers in names sort as numbers
    opened.fill("#filter", "image_8")
    for _ in range(2):
        button.click()
        assert column(opened, 2)[-1] == ""


def test_filtering(opened):
    opened.fill("#filter", "IMAGE_44")
    assert sorted(column(opened, 1)) == sorted(["image_44", *(f"image_44{digit}" for digit in range(10))])
    assert opened.inner_text("#count") == f"11 of {IMAGES + 1} images"
    opened.fill("#filter", "")
    opened.check("#only")
    assert column(opened, 1) == ["image_7"]
    opened.fill("#filter", "nothing like it")
    assert column(opened, 1) == []


def test_images_are_enlarged_by_mouse_and_keyboard(opened):
    small = opened.locator(".open").first
    small.click()
    assert opened.is_visible("#larger")
    assert opened.inner_text("#larger-text") == "sRGB photo of image_7"
    assert opened.locator("#larger-picture").bounding_box()["width"] > small.bounding_box()["width"]
    opened.keyboard.press("Escape")
    assert not opened.is_visible("#larger")
    small.focus()
    opened.keyboard.press("Enter")
    assert opened.is_visible("#larger")
    opened.get_by_role("button", name="Close").click()
    assert not opened.is_visible("#larger")


def test_the_slider_moves_by_mouse_and_keyboard(opened):
    slider = opened.get_by_role("slider", name="photo | RAW, rendered: image_7")
    box = opened.locator(".compare").bounding_box()
    left, width = box["x"], box["width"]
    assert photo_columns(opened) == pytest.approx(left + width / 2, abs=4)
    middle = opened.locator(".compare").bounding_box()["y"] + box["height"] / 2  # now that it is in view
    opened.mouse.move(left + width / 2, middle)
    opened.mouse.down()
    opened.mouse.move(left + width / 4, middle, steps=5)
    opened.mouse.up()
    assert photo_columns(opened) == pytest.approx(left + width / 4, abs=4)
    opened.mouse.click(left + 0.7 * width, middle)
    assert photo_columns(opened) == pytest.approx(left + 0.7 * width, abs=4)
    slider.press("ArrowRight")
    assert left + 0.7 * width < photo_columns(opened) < left + 0.8 * width
    slider.press("Home")
    assert photo_columns(opened) == pytest.approx(left, abs=4)
    slider.press("End")
    assert photo_columns(opened) == pytest.approx(left + width, abs=4)


def photo_columns(tab) -> int:
    """Return where the photo ends on the slider: the last column of its colour, beside a line of 4 pixels."""
    tab.locator(".compare").scroll_into_view_if_needed()
    box = tab.locator(".compare").bounding_box()
    shown = np.asarray(Image.open(io.BytesIO(tab.screenshot())).convert("L"), int)
    row = shown[int(box["y"] + 0.8 * box["height"]), : int(box["x"] + box["width"])]
    return int(np.flatnonzero(row == PANEL[0, 0, 0]).max(initial=box["x"]))


def test_photo_and_raw_lie_side_by_side_without_javascript(browser, html):
    with browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900}) as context:
        tab = context.new_page()
        tab.goto(html.as_uri())
        photo, raw = (figure.bounding_box() for figure in tab.locator(".compare figure").all())
        assert photo["y"] == raw["y"] and photo["x"] + photo["width"] < raw["x"]
        assert tab.locator(".compare figcaption").all_inner_texts() == ["photo", "RAW, rendered"]
        assert not tab.is_visible(".compare input")
        tab.set_viewport_size({"width": 400, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth") <= 400


def test_thumbnails_of_500_images_lead_somewhere_and_load_when_they_are_in_sight(opened):
    assert opened.locator(".thumbnails .name").count() == MAX_THUMBNAILS
    assert opened.get_by_text(f"the first 500 of {IMAGES + 1} images, the other").is_visible()
    lost = "links => links.filter(link => !document.querySelector(link.hash)).length"
    assert opened.eval_on_selector_all(".thumbnails a", lost) == 0
    assert opened.locator(".thumbnails i").inner_text() == "not shown: image_7.jpg: broken; copy it again"
    assert opened.locator(".thumbnails").bounding_box()["height"] <= 900  # and the rest scrolls
    last = opened.locator(".thumbnails img").last
    last.scroll_into_view_if_needed()
    opened.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=last.element_handle())


def test_thumbnails_lead_to_the_panels_or_to_the_row(opened):
    opened.locator(".thumbnails a").first.click()
    assert opened.locator("section:target h3").inner_text() == "image_7"
    opened.get_by_role("button", name="PSNR", exact=True).click()
    opened.check("#only")
    link = opened.locator(".thumbnails a[title=image_1]")  # a part of other names too
    link.click()
    assert column(opened, 1)[0] == "image_1" and len(column(opened, 1)) > 100
    assert opened.locator("#all").bounding_box()["y"] < 900
    assert not opened.is_checked("#only")


def test_every_image_and_control_has_a_name(opened):
    assert opened.eval_on_selector_all("main img", "all => all.filter(image => !image.alt).length") == 0
    nameless = "all => all.filter(one => !one.textContent.trim() && !one.getAttribute('aria-label')).length"
    assert opened.eval_on_selector_all("main button", nameless) == 0
    levels = opened.eval_on_selector_all("h1, h2, h3", "all => all.map(heading => +heading.tagName[1])")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_page_never_scrolls_sideways_and_is_readable(opened):
    for width in (1280, 400, 390):
        opened.set_viewport_size({"width": width, "height": 900})
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        for box in (opened.locator(selector).bounding_box() for selector in (".compare", ".thumbnails")):
            assert box["x"] >= 0 and box["x"] + box["width"] <= width
    for scheme in ("light", "dark"):
        opened.emulate_media(color_scheme=scheme)
        assert opened.evaluate("document.documentElement.scrollWidth") <= 390
        for selector in ("body", ".soft", ".warn li", ".thumbnails i", ".thumbnails .name"):
            assert contrast(opened, selector) >= 4.5, (scheme, selector)  # WCAG AA


def contrast(tab, selector: str) -> float:
    """Compute the contrast of an element's text against its background (WCAG 2)."""
    colours = tab.eval_on_selector(
        selector,
        """element => {
            const ink = getComputedStyle(element).color;
            const background = node => getComputedStyle(node).backgroundColor;
            let back = element;
            while (back && background(back) === "rgba(0, 0, 0, 0)") back = back.parentElement;
            return [ink, background(back)].map(text => text.match(/[0-9.]+/g).slice(0, 3).map(Number));
        }""",
    )
    luminance = [
        np.array([0.2126, 0.7152, 0.0722]) @ [((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        for colour in colours
    ]
    return (max(luminance) + 0.05) / (min(luminance) + 0.05)


def test_numbers_on_cards_stay_on_one_line(opened):
    overflows = (
        "[...document.querySelectorAll('.cards b')].map(number => "
        "[number.textContent, number.scrollWidth - number.clientWidth, number.offsetHeight])"
    )
    for text in ("", "113.60 images/s"):
        if text:
            opened.evaluate("text => document.querySelector('.cards b').textContent = text", text)
        for width in (1280, 1024, 768, 390):
            opened.set_viewport_size({"width": width, "height": 900})
            measured = opened.evaluate(overflows)
            assert len(measured) >= 3 and len({height for _, _, height in measured}) == 1
            assert all(overflow <= 0 for _, overflow, _ in measured), measured
