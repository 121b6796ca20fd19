"""The app's page, made with Gradio."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html import escape
from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image

from omf.app.views import draw_histograms, enlarge, make_views, tell_facts
from omf.app.workbench import MAX_PIXELS, Wish, Workbench
from omf.io.cameras import known_names
from omf.io.images import PHOTO_FORMATS
from omf.models.registry import check_takes_neutral, read_models
from omf.report.panels import strip
from omf.utils.errors import InputError, one_line_message
from omf.utils.paths import CAMERAS, data_folder

FIRST_MODEL = "generic_phone"  # since visitors bring photos of any phone
EXAMPLES_FOLDER = Path(__file__).parent / "examples"  # of the samples; see test_rgb/README.md
EXAMPLES = ("dandelions.jpg", "coffee.jpg", "rocket.jpg")
MAX_BYTES = 100 * 2**20  # of a photo's file
SLIDER_STOPS = 3.0  # of the slider of the exposure
NEUTRAL_FROM, NEUTRAL_TO = 0.1, 2.0  # of the sliders of R/G and B/G
MAX_WAITING = 16  # visitors in the queue
KEPT_TURNS = 2  # sets of pictures on the disk; the browser may still load the one before
WEBP_OPTIONS = {"quality": 92, "method": 0}
DOWNLOADS = {"download DNG": "dng", "download npy": "npy", "download 16-bit PNG": "png"}
TITLE = "RAW of a photo"
INTRODUCTION = f"""# {TITLE}
A camera's ISP turns sensor RAW into an sRGB picture. This goes back: drop a photo, or choose an example.
{PHOTO_FORMATS}, up to {MAX_BYTES >> 20} MiB and {MAX_PIXELS / 1e6:.0f} megapixels; it is removed when you
close the page."""
# the file's address arrives at the hidden button a moment after the event
CLICK_DOWNLOAD = "() => setTimeout(() => document.querySelector('#file').click(), 200)"
PAGE_STYLE = """
#file { display: none }
#facts table { width: 100% }
#facts th, #facts td { padding: 2px 8px; text-align: left; vertical-align: top; border: 0 }
#examples .grid-wrap { padding: 30px 6px 6px }
#histograms svg { max-width: 100%; height: auto }
"""


def list_models() -> list[str]:
    """Return the names of the models whose files are here, `FIRST_MODEL` first."""
    models = read_models().values()
    names = [model.name for model in models if all(file.path.is_file() for file in model.files)]
    return sorted(names, key=lambda name: name != FIRST_MODEL)


def list_cameras() -> list[tuple[str, str]]:
    """Return labels and names of cameras: the profiles, and if rawpy is installed those that LibRaw knows."""
    names = sorted(path.stem for path in data_folder(CAMERAS).glob("*.yaml"))
    with suppress(InputError):
        names += known_names()
    return [("the model's own", ""), *((name, name) for name in names)]


def takes_known_values(model: str) -> bool:
    """Return True if a model has a use for a known exposure and neutral."""
    try:
        check_takes_neutral(read_models()[model])
    except InputError:
        return False
    return True


class Page:
    """The components of the page, and the events that connect them to a workbench."""

    def __init__(self, bench: Workbench):
        self.bench = bench
        with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as self.blocks:
            gr.Markdown(INTRODUCTION)
            with gr.Row():
                with gr.Column(scale=1, min_width=280):
                    self.add_inputs()
                with gr.Column(scale=3, min_width=320):
                    self.comparison = gr.ImageSlider(
                        label="photo | RAW, rendered by a simple ISP",
                        buttons=["fullscreen"],
                        max_height=680,
                        elem_id="comparison",
                    )
                    with gr.Row():
                        self.downloads = [
                            gr.Button(text, interactive=False, min_width=150) for text in DOWNLOADS
                        ]
                    self.file = gr.DownloadButton(elem_id="file")
            self.add_results()
            self.add_events()
        self.blocks.queue(max_size=MAX_WAITING)

    def add_inputs(self) -> None:
        """Add the photo, the examples and the settings."""
        self.upload = gr.File(label="photo", type="filepath", height=120, elem_id="photo")
        self.examples = gr.Gallery(
            [str(EXAMPLES_FOLDER / name) for name in EXAMPLES],
            label="examples",
            elem_id="examples",
            columns=3,
            height=110,
            object_fit="cover",
            allow_preview=False,
            buttons=[],
        )
        self.model = gr.Dropdown(list_models(), label="model", elem_id="model")
        self.camera = gr.Dropdown(list_cameras(), value="", label="camera of the RAW")
        self.stops = gr.Slider(
            -SLIDER_STOPS, SLIDER_STOPS, 0, step=0.05, label="exposure of the RAW, stops", elem_id="stops"
        )
        self.red, self.blue = (
            gr.Slider(
                NEUTRAL_FROM, NEUTRAL_TO, 1, step=0.001, label=f"{ratio} of a neutral grey", elem_id=ratio[0]
            )
            for ratio in ("R/G", "B/G")
        )
        self.knows_neutral = gr.State(False)
        self.reset = gr.Button("exposure and neutral as predicted", size="sm")

    def add_results(self) -> None:
        """Add the pictures and the facts."""
        with gr.Row(elem_id="pictures"):
            self.pictures = [
                gr.Image(label=label, interactive=False, buttons=["fullscreen"], min_width=200)
                for label in ("photo", "overexposed", "RAW, mosaic", "RAW, demosaiced", "RAW, rendered")
            ]
        self.enlarged = gr.Image(
            label="enlarged: photo, mosaic, demosaiced RAW; click on a picture to choose the place",
            interactive=False,
            buttons=["fullscreen"],
            elem_id="enlarged",
        )
        with gr.Row():
            with gr.Column(min_width=300):
                self.facts = gr.HTML(elem_id="facts")
            with gr.Column(min_width=300):
                self.histograms = gr.HTML(elem_id="histograms")

    def add_events(self) -> None:
        """Connect the components."""
        settings = {self.model, self.camera, self.stops, self.red, self.blue, self.knows_neutral}
        results = [self.comparison, *self.pictures, self.enlarged, self.facts, self.histograms]
        results += [self.red, self.blue, *self.downloads]
        # at once, so that an upload leaves Gradio's folder
        light = {"queue": False, "api_visibility": "private"}
        # one at a time, whoever asks, for the sake of memory
        heavy = {"concurrency_id": "work", "concurrency_limit": 1, "api_visibility": "private"}
        show = {"fn": self.show, "inputs": settings, "outputs": results, **heavy}
        show |= {"show_progress_on": self.comparison, "trigger_mode": "always_last"}

        known = [self.stops, self.red, self.blue, self.knows_neutral]
        emptied = [*known, *results]
        self.upload.upload(self.take, self.upload, [self.upload, *emptied], **light).success(**show)
        self.examples.select(self.take_example, None, emptied, **light).success(**show)
        self.model.input(self.forget_known, self.model, known, **light).success(**show)
        self.reset.click(self.forget_known, self.model, known, **light).success(**show)
        for slider in (self.red, self.blue):
            slider.input(lambda: True, None, self.knows_neutral, **light).success(**show)
        for component in (self.camera, self.stops):
            component.input(**show)
        for picture in self.pictures:
            picture.select(self.enlarge, settings, self.enlarged, show_progress="hidden", **heavy)
        for button in self.downloads:
            written = button.click(self.write, {button, *settings}, self.file, **heavy)
            written.success(None, js=CLICK_DOWNLOAD, api_visibility="private")
        self.blocks.unload(self.leave)

    def wish(self, values: dict) -> Wish:
        """Return the settings of the page."""
        neutral = (values[self.red], values[self.blue]) if values[self.knows_neutral] else None
        return Wish(values[self.model], values[self.camera], 2 ** values[self.stops], neutral)

    @contextmanager
    def errors_as_lines(self, visitor: str) -> Iterator[None]:
        """Show an error as one line on the page, without the folders of this machine."""
        try:
            yield
        except Exception as error:
            line = one_line_message(error).replace(f"{self.bench.folder_of(visitor)}/photo/", "")
            raise gr.Error(escape(line), duration=None, print_exception=False) from error

    def take(self, file: str, request: gr.Request) -> list:
        """Take an uploaded photo from Gradio's folder, and empty the page, also for the next upload."""
        self.bench.take(request.session_hash, Path(file))
        return [None, *self.emptied()]

    def take_example(self, request: gr.Request, chosen: gr.SelectData) -> list:
        """Take an example, and empty the page."""
        self.bench.take(request.session_hash, EXAMPLES_FOLDER / EXAMPLES[chosen.index], keep=True)
        return self.emptied()

    def leave(self, request: gr.Request) -> None:
        """Remove the photo of a visitor who closed the page."""
        self.bench.leave(request.session_hash)

    def emptied(self) -> list:
        """Return values for the known values and the results of a page without a photo."""
        disabled = [gr.update(interactive=False)] * len(self.downloads)
        pictures = [None] * (1 + len(self.pictures) + 1)
        return [0, gr.skip(), gr.skip(), False, *pictures, "", "", gr.skip(), gr.skip(), *disabled]

    def forget_known(self, model: str) -> list:
        """Return the exposure and the neutral as they are predicted; fixed, if the model can't use others."""
        takes = gr.update(interactive=takes_known_values(model))
        return [gr.update(value=0, **takes), takes, takes, False]

    def show(self, values: dict, request: gr.Request, progress: gr.Progress = gr.Progress()) -> dict:  # noqa: B008
        """Reconstruct the visitor's photo, and show all of it."""
        visitor, wish = request.session_hash, self.wish(values)
        if self.bench.photo_of(visitor) is None:  # settings may be chosen before the photo
            return {self.facts: ""}
        with self.errors_as_lines(visitor):
            progress(0.1, "reconstructing")
            answer = self.bench.reconstruct(visitor, wish)
            progress(0.5, "rendering")
            views = make_views(answer)
            pictures = [views.photo, views.overexposed, views.mosaic, views.demosaiced, views.rendered]
            files = self.save(visitor, "pictures", *pictures, strip(enlarge(answer)))
            progress(0.8, "measuring")
            rows = "".join(
                f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
                for name, value in tell_facts(answer)
            )
            shown = dict(zip([*self.pictures, self.enlarged], files))
            shown |= {self.comparison: (files[0], files[4]), self.histograms: draw_histograms(answer)}
            shown |= {self.facts: f"<table>{rows}</table>"}
            shown |= {button: gr.update(interactive=True) for button in self.downloads}
            if not values[self.knows_neutral]:
                shown |= {
                    slider: round(float(np.clip(ratio, NEUTRAL_FROM, NEUTRAL_TO)), 3)
                    for slider, ratio in zip((self.red, self.blue), views.neutral)
                }
            return shown

    def enlarge(self, values: dict, request: gr.Request, chosen: gr.SelectData) -> str:
        """Enlarge the place of a picture on which the visitor clicked."""
        with self.errors_as_lines(request.session_hash):
            answer = self.bench.reconstruct(request.session_hash, self.wish(values))
            return self.save(request.session_hash, "enlarged", strip(enlarge(answer, chosen.index)))[0]

    def write(self, values: dict, request: gr.Request) -> Path:
        """Write the file of the download whose button was clicked."""
        kind = next(DOWNLOADS[values[button]] for button in self.downloads if button in values)
        with self.errors_as_lines(request.session_hash):
            return self.bench.write(request.session_hash, self.wish(values), kind)

    def save(self, visitor: str, kind: str, *pictures: np.ndarray) -> list[str]:
        """Write pictures to the visitor's folder, each turn's to another one, and return their paths."""
        folder = self.bench.folder_of(visitor) / kind
        folder.mkdir(exist_ok=True)
        for earlier in sorted(folder.iterdir())[: 1 - KEPT_TURNS]:
            shutil.rmtree(earlier)
        turn = folder / f"{time.time_ns():020}"
        turn.mkdir()
        files = [turn / f"{number}.webp" for number in range(len(pictures))]
        for file, picture in zip(files, pictures):
            Image.fromarray(picture).save(file, **WEBP_OPTIONS)
        return [str(file) for file in files]
