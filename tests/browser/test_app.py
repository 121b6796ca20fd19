"""The app in Debian's Chromium, served by `omf app` as users start it."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from socket import create_server

import numpy as np
import pytest
from chromium import browser, needs_chromium, watched  # noqa: F401
from conftest import ROOT, omf, wait_for
from PIL import Image

needs_gradio = pytest.mark.skipif(find_spec("gradio") is None, reason="needs gradio")
pytestmark = [pytest.mark.slow, needs_chromium, needs_gradio]
PATIENCE = 240_000  # ms; a loaded machine is slow
MODEL = "generic_phone"  # the app's first choice

# notes every address outside of this machine that the server asks for
WATCHED = """
import sys
def watch(event, arguments):
    if event == "socket.getaddrinfo" and arguments[0] not in (None, "127.0.0.1", "localhost", "0.0.0.0"):
        print("asked for", arguments[0], file=sys.stderr)
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][0] != "127.0.0.1":
        print("connected to", arguments[1], file=sys.stderr)
sys.addaudithook(watch)
from omf.__main__ import start
start()
"""


class Served:
    """A running app."""

    def __init__(self, program: subprocess.Popen, url: str, temporary: Path):
        self.program, self.url, self.temporary = program, url, temporary

    def files(self, folder: str) -> list[Path]:
        """Return the files in a folder of the app, `uploads` or `visits`."""
        return [path for path in self.temporary.glob(f"omf-app-*/{folder}/**/*") if path.is_file()]

    def photos(self) -> list[Path]:
        """Return the photos of visitors."""
        return list(self.temporary.glob("omf-app-*/visits/*/photo/*"))


def answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Served]:
    """Serve the app, and assert that it ends silently on Ctrl-C, leaves nothing and asked nobody."""
    temporary = tmp_path_factory.mktemp("temporary")
    with create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("log") / "stderr.txt"
    command = [sys.executable, "-c", WATCHED, "app", "--device", "cpu", "--port", str(port)]
    options = {"cwd": tmp_path_factory.mktemp("cwd"), "start_new_session": True}
    options["env"] = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    with log.open("w") as stderr, subprocess.Popen(command, stderr=stderr, **options) as program:
        url = f"http://127.0.0.1:{port}/"
        wait_for(lambda: program.poll() is not None or answers(url))
        yield Served(program, url, temporary)
        program.send_signal(signal.SIGINT)
        assert program.wait(60) in (-signal.SIGINT, 128 + signal.SIGINT)
    assert log.read_text() == f"open {url} in a browser; Ctrl-C ends the app\n"
    assert list(temporary.iterdir()) == []


@contextmanager
def visit(browser, served: Served, width: int = 1280) -> Iterator:
    """Open the page as a visitor of one's own; assert that it asked for nothing from elsewhere."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE)
    with watched(tab, served.url, "data:", "blob:"):
        tab.goto(served.url)
        tab.locator("#photo input[type=file]").wait_for(state="attached")
        yield tab
        context.close()


def turn(tab) -> str:
    """Return the address of the picture of the photo, which is another one after each reconstruction."""
    pictures = tab.locator("#comparison img").all()
    return pictures[0].get_attribute("src") if pictures else ""


@contextmanager
def reconstruction(tab) -> Iterator[None]:
    """Wait until what is done inside has led to another reconstruction."""
    before = turn(tab)
    yield
    wait_for(lambda: turn(tab) not in ("", before))
    tab.locator("#facts table").wait_for()


def upload(tab, photo: Path) -> None:
    with reconstruction(tab):
        tab.set_input_files("#photo input[type=file]", photo)


def enter(tab, slider: str, value: float) -> None:
    """Type a value into the number of a slider."""
    with reconstruction(tab):
        tab.locator(f"#{slider} input[type=number]").fill(str(value))
        tab.keyboard.press("Enter")


def download(tab, text: str, path: Path) -> Path:
    with tab.expect_download(timeout=PATIENCE) as expected:
        tab.get_by_role("button", name=f"download {text}").click()
    path.mkdir(exist_ok=True)
    expected.value.save_as(path / expected.value.suggested_filename)
    return path / expected.value.suggested_filename


def predicted(photo: Path, out: Path, *options: str) -> bytes:
    """Return the file that `omf predict` writes."""
    result = omf("predict", photo, "-o", out, "--model", MODEL, "--device", "cpu", *options)
    assert result.returncode == 0, result.stderr
    (file,) = (path for path in out.iterdir() if not path.name.startswith("."))
    return file.read_bytes()


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> list[Path]:
    """Two photos with highlights, of other sizes, the first with EXIF."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(5)
    paths = [folder / "first photo.jpg", folder / "second.png"]
    for path, (height, width) in zip(paths, ((301, 400), (244, 180))):
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        coarse[1:3, 2:5] = 255
        exif = Image.Exif()
        exif[306] = "2026:01:02 03:04:05"  # DateTime
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path, exif=exif)
    return paths


def test_downloads_are_the_files_of_predict(browser, served, photos, tmp_path):
    rawpy = pytest.importorskip("rawpy")
    with visit(browser, served) as tab:
        upload(tab, photos[0])
        plain = download(tab, "DNG", tmp_path / "plain")
        assert plain.name == "first photo.dng"
        assert plain.read_bytes() == predicted(photos[0], tmp_path / "0", "--format", "dng")
        enter(tab, "stops", 1)
        known = tab.locator("#R input[type=number]").input_value()
        enter(tab, "R", 0.6)
        neutral = ["--neutral", "0.6", tab.locator("#B input[type=number]").input_value()]
        assert known != "0.6"
        settings = ["--exposure", "2", *neutral]
        dng = download(tab, "DNG", tmp_path / "other")
        assert dng.read_bytes() == predicted(photos[0], tmp_path / "1", "--format", "dng", *settings)
        assert dng.read_bytes() != plain.read_bytes()
        for number, (text, kind) in enumerate((("npy", "npy"), ("16-bit PNG", "png")), 2):
            file = download(tab, text, tmp_path / kind)
            options = ["--format", kind, *settings]
            assert file.read_bytes() == predicted(photos[0], tmp_path / str(number), *options)
    with rawpy.imread(str(dng)) as raw:
        assert raw.raw_image_visible.shape == (301, 400)
        red, green, _, _ = raw.camera_whitebalance
        assert np.isclose(green / red, 0.6, rtol=0.2)


def test_sliders_of_a_model_without_a_use_for_them_are_fixed(browser, served, photos):
    with visit(browser, served) as tab:
        upload(tab, photos[1])
        assert tab.locator("#stops input[type=number]").is_enabled()
        with reconstruction(tab):
            tab.locator("#model input").click()
            tab.get_by_role("option", name="unprocess", exact=True).click()
        assert not tab.locator("#stops input[type=number]").is_enabled()
        assert "expected PSNR" not in tab.locator("#facts").inner_text()


def test_click_enlarges_another_place(browser, served, photos):
    with visit(browser, served) as tab:
        upload(tab, photos[0])
        picture = tab.locator("#enlarged img")
        before = picture.get_attribute("src")
        tab.locator("#pictures img").first.click(position={"x": 3, "y": 3})
        wait_for(lambda: picture.get_attribute("src") != before)


@pytest.mark.parametrize("width", [1280, 400])
def test_example_and_layout(browser, served, width):
    with visit(browser, served, width) as tab:
        with reconstruction(tab):
            tab.locator("#examples button img").first.click()
        facts = tab.locator("#facts").inner_text()
        assert all(word in facts for word in ("overexposed", "consistency", "true exposure", "true R/G"))
        tab.locator("#histograms svg").wait_for()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        wait_for(lambda: all(loaded(image) for image in tab.locator("#pictures img").all()))
        assert tab.locator("#pictures img").count() == 5


def loaded(image) -> bool:
    return image.evaluate("image => image.complete && image.naturalWidth > 0")


def blank(path: Path, side: int) -> None:
    Image.new("L", (side, side), 255).save(path)


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("text.jpg", lambda path: path.write_text("no photo"), "text.jpg: not a picture that can be read"),
        ("shot.dng", lambda path: path.write_text("no photo"), "shot.dng: camera RAW; give the photo"),
        ("huge.png", lambda path: blank(path, 9000), "huge.png: 9000 x 9000 pixels; 67108864 at most"),
        ("large.png", lambda path: sparse(path, 101 * 2**20), "100"),
    ],
)
def test_bad_file_is_one_line(browser, served, photos, tmp_path, name, make, words):
    make(tmp_path / name)
    with visit(browser, served) as tab:
        tab.set_input_files("#photo input[type=file]", tmp_path / name)
        toast = tab.locator("[data-testid=toast-body]").first
        toast.wait_for()
        assert words in toast.inner_text()
        assert str(served.temporary) not in toast.inner_text()
        upload(tab, photos[1])  # the next one is not disturbed


def test_two_visitors_at_once_get_their_own_photos_which_go_when_they_do(browser, served, photos, tmp_path):
    with visit(browser, served) as first, visit(browser, served) as second:
        before = [turn(first), turn(second)]
        for tab, photo in zip((first, second), photos):
            tab.set_input_files("#photo input[type=file]", photo)
        wait_for(lambda: turn(first) != before[0] and turn(second) != before[1])
        files = [download(tab, "npy", tmp_path / name) for tab, name in ((first, "a"), (second, "b"))]
        for number, (file, photo) in enumerate(zip(files, photos)):
            assert file.read_bytes() == predicted(photo, tmp_path / str(number))
        wait_for(lambda: len(served.photos()) == 2)  # those of visitors before may be going just now
    wait_for(lambda: served.files("visits") == [])
    assert [path for path in served.files("uploads") if path.stat().st_size] == []


def test_occupied_port_is_one_line(served):
    result = omf("app", "--port", served.url.rstrip("/").rpartition(":")[2])
    assert result.returncode == 1
    assert "taken or not allowed; give another port" in result.stderr and "Traceback" not in result.stderr


def test_nothing_private_is_served(served):
    """A path outside of the visitors' folders, and the list of the app's functions."""
    for path in ("/etc/passwd", str(ROOT / "README.md")):
        with pytest.raises(OSError, match=r"403|404"):
            urllib.request.urlopen(f"{served.url}gradio_api/file={path}")
    info = json.load(urllib.request.urlopen(f"{served.url}gradio_api/info"))
    assert info["named_endpoints"] == {} and info["unnamed_endpoints"] == {}
