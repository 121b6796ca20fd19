"""The page in a real browser: Debian's Chromium, where it is installed."""

import re
import shutil
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from omf.report.page import Example, page
from omf.report.summary import run_summary

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt install chromium)")
IMAGES = 450


def scores() -> dict:
    """Of many images, some of them without ground truth, one with a hostile name."""
    rng = np.random.default_rng(0)
    images = {}
    for number in range(IMAGES):
        images[f"image_{number}"] = {
            "psnr": rng.uniform(10, 40),
            "ssim": rng.uniform(),
            "overexposed": rng.uniform(),
            "warnings": [],
        }
    images["image_7"] |= {"psnr": 5.0, "warnings": ["all black"]}
    del images["image_8"]["psnr"]
    images["<script>document.title = 'run'</script>"] = {
        "psnr": 45.0,
        "ssim": 1.0,
        "overexposed": 0.0,
        "warnings": [],
    }
    return images


@pytest.fixture(scope="module")
def html(tmp_path_factory) -> Path:
    images = scores()
    mean = dict.fromkeys(
        ("unprocess_psnr", "copy_psnr", "consistency_psnr", "psnr_overexposed", "unprocess_ssim", "copy_ssim")
    )
    summed = {
        "scored": len(images) - 1,
        "mean": mean | {"psnr": 25.0, "ssim": 0.5, "colour_error": 1.0},
        "images": images,
    }
    summary = run_summary("tiny", "samsung_s7", {"images": len(images)}, summed, ["a.jpg: broken"])
    pictures = {
        caption: np.full((120, 160, 3), 90, np.uint8) for caption in ("sRGB photo", "predicted RAW", "error")
    }
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(
        page(
            summary,
            summed,
            {"Worst": [Example("image_7", "PSNR 5.00 dB", pictures)]},
            {},
            datetime(2026, 1, 2),
        )
    )
    return path


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        # as root, as in containers, Chromium has no sandbox
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, html):
    """The page; at the end, nothing may have been said on the console or asked of the network."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    said, asked = [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on(
        "request",
        lambda request: asked.append(request.url) if not request.url.startswith(("data:", "file:")) else None,
    )
    tab.goto(html.as_uri())
    yield tab
    assert said == []
    assert asked == []
    tab.close()


HOSTILE = [
    "<script>alert(1)<",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</script><script>alert(1)</script>",
    "javascript:alert(1)",
]


@pytest.fixture
def hostile(tmp_path) -> Path:
    """A page with hostile names in all places that a name comes to: table, headings, pictures, problems, remarks, model, device."""
    images = {
        name: {"psnr": 20.0, "ssim": 0.5, "overexposed": 0.1, "warnings": [f"{name} is odd"]}
        for name in HOSTILE
    }
    mean = dict.fromkeys(
        ("unprocess_psnr", "copy_psnr", "consistency_psnr", "psnr_overexposed", "unprocess_ssim", "copy_ssim")
    )
    summed = {
        "scored": len(images),
        "mean": mean | {"psnr": 25.0, "ssim": 0.5, "colour_error": 1.0},
        "images": images,
    }
    timing = {"images": len(images), "device": HOSTILE[1], "seconds": 1.0, "megapixels": 1.0}
    summary = run_summary(HOSTILE[3], HOSTILE[0], timing, summed, [f"{name}.jpg: broken" for name in HOSTILE])
    picture = np.full((12, 16, 3), 90, np.uint8)
    shown = {HOSTILE[1]: [Example(name, name, {name: picture}) for name in HOSTILE]}
    path = tmp_path / "report.html"
    path.write_text(
        page(summary, summed, shown, {name: ("<svg/>", name) for name in HOSTILE}, datetime(2026, 1, 2))
    )
    return path


def what_ran(browser, path: Path, expected_title: str | None = None) -> list[str]:
    """Dialogs that a page opened, and what it asked of the network, also when everything on it has been clicked at."""
    tab = browser.new_page()
    ran = []
    tab.on("dialog", lambda dialog: (ran.append(f"dialog {dialog.message}"), dialog.dismiss()))
    tab.route(
        re.compile("^https?:"), lambda route: (ran.append(route.request.url), route.abort())
    )  # what the policy lets through
    tab.goto(path.as_uri())
    if expected_title:
        assert tab.title() == expected_title
    for heading in tab.locator("#images th button").all():
        heading.click()
    for button in tab.locator("main .open").all():
        button.click()
        tab.keyboard.press("Escape")
    tab.wait_for_timeout(300)
    names = column(tab, 1)
    tab.close()
    return [*ran, *([] if sorted(names) == sorted(HOSTILE) else names)]


def test_hostile_names_are_shown_and_not_run(browser, hostile):
    assert what_ran(browser, hostile, f"RAW reconstruction: {len(HOSTILE)} images, {HOSTILE[3]}") == []


def test_scripts_that_get_into_the_page_do_not_run_and_ask_nobody(browser, hostile):
    """Where names were not escaped, and more: the page's policy is a second wall."""
    more = '<script>alert(2)</script><script src="https://example.org/x.js"></script>'
    more += '<img src="https://example.org/x.png" onerror="alert(3)">'
    more += '<iframe src="data:text/html,<script>alert(4)</script>"></iframe>'
    more += '<link rel="stylesheet" href="https://example.org/x.css">'
    text = hostile.read_text()
    hostile.write_text(text.replace("<main>", f"<main>{more}{''.join(HOSTILE)}", 1))
    assert what_ran(browser, hostile) == []
    hostile.write_text(re.sub('<meta http-equiv="Content-Security-Policy".*?>', "", hostile.read_text()))
    ran = what_ran(browser, hostile)  # it is the policy that held them
    assert any(said.startswith("dialog") for said in ran) and "https://example.org/x.js" in ran


def column(tab, number: int) -> list[str]:
    return tab.eval_on_selector_all(
        f"#images tbody tr td:nth-child({number})", "cells => cells.map(cell => cell.textContent)"
    )


def test_it_loads_and_shows_more_on_demand(opened):
    assert (
        opened.title() == f"RAW reconstruction: {IMAGES + 1} images, tiny"
    )  # the name that holds a script was not run
    assert len(column(opened, 1)) == 200
    opened.click("#more")
    opened.click("#more")
    assert len(column(opened, 1)) == IMAGES + 1
    assert not opened.is_visible("#more")


def test_sorting(opened):
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
    assert names[:3] == ["image_0", "image_1", "image_2"]  # numbers in names count as numbers


def test_what_is_not_known_comes_last(opened):
    opened.fill("#filter", "image_8")
    for _ in range(2):
        opened.get_by_role("button", name="PSNR", exact=True).click()
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


def test_pictures_open_larger_by_mouse_and_keyboard(opened):
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


def test_every_picture_and_control_has_a_name(opened):
    assert opened.eval_on_selector_all("main img", "all => all.filter(one => !one.alt).length") == 0
    nameless = "all => all.filter(one => !one.textContent.trim() && !one.getAttribute('aria-label')).length"
    assert opened.eval_on_selector_all("main button", nameless) == 0
    levels = opened.eval_on_selector_all("h1, h2, h3", "all => all.map(one => +one.tagName[1])")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_holds_on_a_phone_and_can_be_read(opened, scheme):
    opened.set_viewport_size({"width": 390, "height": 800})
    opened.emulate_media(color_scheme=scheme)
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    for selector in ("body", ".soft", ".warn li"):
        assert contrast(opened, selector) >= 4.5, selector  # WCAG AA


def contrast(tab, selector: str) -> float:
    """Of an element's text against what lies behind it (WCAG 2)."""
    colours = tab.eval_on_selector(
        selector,
        """element => {
            const ink = getComputedStyle(element).color;
            let back = element;
            while (back && getComputedStyle(back).backgroundColor === "rgba(0, 0, 0, 0)") back = back.parentElement;
            return [ink, getComputedStyle(back).backgroundColor].map(text => text.match(/[0-9.]+/g).slice(0, 3).map(Number));
        }""",
    )
    light = [
        np.array([0.2126, 0.7152, 0.0722]) @ [((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        for colour in colours
    ]
    return (max(light) + 0.05) / (min(light) + 0.05)
