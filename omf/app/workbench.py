"""Photos of the app's visitors: keep them while their pages are open, reconstruct them, write their RAW."""

import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np

from omf.inference.base import Expected, Method, Picture
from omf.inference.load import load_method
from omf.io.cameras import carriage_to, find_camera
from omf.io.images import max_pixels, read_rgb
from omf.io.raw_formats import Writer, parse_raw_format
from omf.models.registry import Model, find_model
from omf.pipeline.config import Config
from omf.raw.camera import Camera
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import InputError

MAX_PIXELS = 2**26  # of a photo
MAX_KEPT_PIXELS = 2**26  # of all photos whose RAW is in memory, 15 bytes a pixel; the last one always is
MAX_METHODS = 3  # models in memory
MAX_IDLE = 3600  # seconds, after which a visitor whose browser did not say goodbye counts as gone


class Wish(NamedTuple):
    """Settings of one reconstruction."""

    model: str
    camera: str = ""  # of the RAW; empty: the model's own
    exposure: float = 1.0  # factor on the RAW that the model would predict
    neutral: tuple[float, float] | None = None  # R/G and B/G of a grey in the RAW; None: as predicted


class Answer(NamedTuple):
    """A reconstructed photo."""

    wish: Wish
    photo: Path
    picture: Picture
    raw: np.ndarray  # demosaiced RAW, float32 (H, W, 3) in [0, 1]
    camera: Camera  # of the RAW
    expected: Expected | None
    device: str
    seconds: float


class Workbench:
    """Photos by visitor, in a temporary folder, and the last answers in memory; `device`: of config.yaml."""

    def __init__(self, device: str = "auto"):
        self.device = device
        self._temporary = tempfile.TemporaryDirectory(prefix="omf-app-")
        self.folder = Path(self._temporary.name)
        self.uploads, self.visits = self.folder / "uploads", self.folder / "visits"
        for folder in (self.uploads, self.visits):
            folder.mkdir()
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._lock = threading.Lock()
        self.method = lru_cache(MAX_METHODS)(self._load)

    def close(self) -> None:
        """Remove all photos."""
        self._temporary.cleanup()

    def _load(self, model: str) -> tuple[Model, Method, str]:
        """Return a model with its method and a description of its device."""
        found = find_model(model)
        method, label, _ = load_method(found, self.device, own_process=True)
        return found, method, label

    def folder_of(self, visitor: str) -> Path:
        """Return the folder of a visitor. Their name comes from the browser, so it names no folder itself."""
        return self.visits / sha256(visitor.encode("utf-8", "replace")).hexdigest()[:32]

    def take(self, visitor: str, photo: Path, keep: bool = False) -> None:
        """Make a file the photo of a visitor, in place of the one before; remove it, unless `keep`."""
        self.leave(visitor)
        self.sweep()
        folder = self.folder_of(visitor)
        (folder / "photo").mkdir(parents=True)
        (shutil.copyfile if keep else shutil.move)(photo, folder / "photo" / photo.name)

    def leave(self, visitor: str) -> None:
        """Forget a visitor, and remove all that is on the disk of their photo."""
        with self._lock:
            self._answers.pop(visitor, None)
        shutil.rmtree(self.folder_of(visitor), ignore_errors=True)

    def sweep(self) -> None:
        """Remove the photos of visitors who were idle for long."""
        for folder in self.visits.iterdir():
            if time.time() - folder.stat().st_mtime > MAX_IDLE:
                shutil.rmtree(folder, ignore_errors=True)

    def photo_of(self, visitor: str) -> Path | None:
        """Return the visitor's photo; None if there is none."""
        return next(iter(self.folder_of(visitor).glob("photo/*")), None)

    def reconstruct(self, visitor: str, wish: Wish) -> Answer:
        """Reconstruct a visitor's photo, unless that was the last wish.

        Raises:
            InputError: there is no photo, it can't be used, or the model has no use for a setting.
        """
        photo = self.photo_of(visitor)
        if photo is None:
            raise InputError("the photo is gone, since the page was idle for long; upload it again")
        self.folder_of(visitor).touch()
        with self._lock:
            last = self._answers.get(visitor)
        if last and last.wish == wish:
            return last
        began = time.monotonic()
        model, method, device = self.method(wish.model)
        own = find_camera(model.camera)
        carriage = carriage_to(own, "" if wish.camera == model.camera else wish.camera)
        # the same array as before, by which the method knows the base network's answer
        rgb, mask = last.picture[:2] if last else read_photo(photo)
        picture = Picture(rgb, mask, photo.stem, wish.neutral, wish.exposure, carriage=carriage)
        (raw,) = method.demosaiced([picture])()
        camera = carriage.target if carriage else own
        seconds = time.monotonic() - began
        answer = Answer(wish, photo, picture, raw, camera, method.expected(picture), device, seconds)
        self._keep(visitor, answer)
        return answer

    def _keep(self, visitor: str, answer: Answer) -> None:
        """Keep an answer in memory, and drop the oldest ones that are too much."""
        with self._lock:
            self._answers[visitor] = answer
            self._answers.move_to_end(visitor)
            kept = [answer.picture.mask.size for answer in self._answers.values()]
            while len(kept) > 1 and sum(kept) > MAX_KEPT_PIXELS:
                self._answers.popitem(last=False)
                del kept[0]

    def write(self, visitor: str, wish: Wish, kind: str) -> Path:
        """Write the RAW as `omf predict --format KIND` does, and return the file.

        Raises:
            InputError: as `reconstruct`, or the format can't hold the photo.
        """
        answer = self.reconstruct(visitor, wish)
        model, _, _ = self.method(wish.model)
        settings = Config().model_dump() | {"output_format": kind, "noise": {}}
        raw_format = parse_raw_format(settings, answer.camera)
        out = self.folder_of(visitor) / "raw"
        out.mkdir(exist_ok=True)
        writer = Writer(out, raw_format, find_camera(model.camera), model.name)
        camera = answer.picture.carriage.target if answer.picture.carriage else None
        writer(answer.photo.stem, answer.photo, answer.raw, answer.picture.rgb, camera=camera)
        return out / f"{answer.photo.stem}{raw_format.suffix}"


def read_photo(photo: Path) -> tuple[np.ndarray, np.ndarray]:
    """Decode a photo, sRGB (H, W, 3), and return it with its overexposure mask, bool (H, W).

    Raises InputError if it can't be read, or has more than `MAX_PIXELS`.
    """
    limit = max_pixels.set(MAX_PIXELS)
    try:
        rgb = read_rgb(photo)
    finally:
        max_pixels.reset(limit)
    return rgb, overexposure_mask(rgb)
