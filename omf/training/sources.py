"""From settings to training data."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from omf.io.images import read_rgb
from omf.io.photos import gather, matching
from omf.raw.camera import Camera, load_camera
from omf.raw.isp import LUMA, encode_srgb, lift_midtones
from omf.raw.scenes import SCENES
from omf.raw.simulator import CaptureSettings, linear_raw, linear_scene, sample_settings, simulate_pair
from omf.training.datasets import Pair, check_pairs, find_pairs
from omf.training.settings import Settings
from omf.utils.console import log, progress
from omf.utils.errors import InputError

MAX_SCENE_SIDE = 1200  # a photo with more pixels than this on its long side is halved until it has fewer than twice as many
GROWTH = (0.002, 0.1)  # of clipped areas, see linear_scene: from skies to lamps
DRAWN_SHARE = 0.15  # of the patches come from drawn scenes, where there are others
DRAWN_SIZE = 400  # pixels a side of a drawn scene
BRIGHTNESS_STRIDE = 4  # every 4th pixel of a patch tells how bright it is
TRIES = 100  # patches that are looked at before one is taken as it is
CROPS = 8  # that are looked at in one picture before the next is opened
Wanted = Callable[
    [np.ndarray], bool
]  # brightness of a patch's pixels, sRGB luma in [0, 1] -> whether to take it

MIN_PAIRS = 8  # fewer are learnt by heart
DRAWN = 96  # scenes that are drawn


class Source(Protocol):
    """Where patches come from."""

    def draw(self, rng: np.random.Generator, size: int, wanted: Wanted) -> tuple[np.ndarray, np.ndarray]:
        """One patch: sRGB, uint8 or uint16 (size, size, 3), and its RAW, float32 (size, size), RGGB, in [0, 1]."""
        ...


class SimulatedPictures:
    """Scenes, taken and developed by the simulated camera.

    Args:
        photographed: linear scenes of pictures, float16 or float32 (H, W, 3); see `load_scenes`.
        drawn: the same, see `draw_scenes`. One patch in `DRAWN_SHARE` comes from these, or all if there are no others.
        camera: whose pictures are simulated.
    """

    def __init__(self, photographed: Sequence[np.ndarray], drawn: Sequence[np.ndarray], camera: Camera):
        self.photographed, self.drawn, self.camera = photographed, drawn, camera
        self.shares = [
            np.array([scene.shape[0] * scene.shape[1] for scene in scenes])
            for scenes in (photographed, drawn)
        ]

    @property
    def scenes(self) -> list[np.ndarray]:
        return [*self.photographed, *self.drawn]

    def pool(self, rng: np.random.Generator) -> tuple[Sequence[np.ndarray], np.ndarray]:
        """Scenes to choose from, and how often each is to be chosen: larger ones more often."""
        drawn = not self.photographed or (len(self.drawn) > 0 and rng.uniform() < DRAWN_SHARE)
        scenes, areas = (self.drawn, self.shares[1]) if drawn else (self.photographed, self.shares[0])
        return scenes, areas / areas.sum()

    def crop(
        self, scenes: Sequence[np.ndarray], shares: np.ndarray, rng: np.random.Generator, size: int
    ) -> tuple[np.ndarray, CaptureSettings]:
        """Part of one of the scenes, (size, size, 3), and how it is taken."""
        scene = scenes[rng.choice(len(scenes), p=shares)]
        top, left = (rng.integers(length - size + 1) for length in scene.shape[:2])
        return scene[top : top + size, left : left + size], sample_settings(self.camera, rng)

    def draw(self, rng: np.random.Generator, size: int, wanted: Wanted) -> tuple[np.ndarray, np.ndarray]:
        scenes, shares = self.pool(rng)
        for _ in range(TRIES):
            scene, shot = self.crop(
                scenes, shares, rng, size + 2
            )  # the sensor's first red pixel may lie in its second row or column
            # other weather, sometimes: all colours of a photo move together
            tint = np.exp(rng.normal(0, 0.15, 3)) if rng.uniform() < 0.2 else np.ones(3)
            luma = (
                np.clip(
                    scene[::BRIGHTNESS_STRIDE, ::BRIGHTNESS_STRIDE].astype(np.float32)
                    * (tint * shot.exposure).astype(np.float32),
                    0,
                    1,
                )
                @ LUMA
            )
            if wanted(encode_srgb(lift_midtones(luma, shot.midtones))):
                break
        scene = randomly_rotate(scene.astype(np.float32) * tint.astype(np.float32), rng)
        rgb, counts = simulate_pair(scene, shot, self.camera, rng)
        return rgb[:size, :size], linear_raw(counts, self.camera)[:size, :size]


class RecordedPictures:
    """A dataset's pictures and their RAW. Each must be at least a patch and a Bayer cell in size."""

    def __init__(self, pairs: Sequence[Pair]):
        self.pairs = pairs

    def draw(self, rng: np.random.Generator, size: int, wanted: Wanted) -> tuple[np.ndarray, np.ndarray]:
        for _ in range(TRIES // CROPS):
            rgb, bayer = self.pairs[rng.integers(len(self.pairs))].load()
            for _ in range(CROPS):
                top, left = (2 * rng.integers((length - size) // 2) for length in bayer.shape)
                window = np.s_[top : top + size + 2, left : left + size + 2]
                if wanted(
                    rgb[window][::BRIGHTNESS_STRIDE, ::BRIGHTNESS_STRIDE] @ LUMA / np.iinfo(rgb.dtype).max
                ):
                    return randomly_flip(rgb[window], bayer[window], rng)
        return randomly_flip(rgb[window], bayer[window], rng)


def randomly_rotate(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One of the eight orientations of a square."""
    picture = np.rot90(picture, rng.integers(4))
    return picture[:, ::-1] if rng.uniform() < 0.5 else picture


def randomly_flip(
    rgb: np.ndarray, bayer: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mirror and transpose a photo and its RGGB mosaic, both 2 pixels larger than asked; the result is RGGB again.

    A mirrored RGGB mosaic begins with green, so that its first row or column is left out. Transposing keeps RGGB.
    """
    for axis in (0, 1):
        if rng.uniform() < 0.5:
            rgb, bayer = (
                np.take(np.flip(picture, axis), range(1, picture.shape[axis] - 1), axis)
                for picture in (rgb, bayer)
            )
        else:
            rgb, bayer = (np.take(picture, range(picture.shape[axis] - 2), axis) for picture in (rgb, bayer))
    return (rgb.swapaxes(0, 1), bayer.T) if rng.uniform() < 0.5 else (rgb, bayer)


def load_scenes(photos: list[Path], size: int) -> list[np.ndarray]:
    """Read photos as linear scenes, float16 (H, W, 3). Those unreadable or smaller than `size` are reported and left out."""
    scenes = []
    rng = np.random.default_rng(0)
    for path in progress(photos, "reading photos", unit="photo"):
        try:
            rgb = read_large(path, size)
        except InputError as error:
            log.warning(f"left out: {error}")
            continue
        rgb = (rgb >> 8).astype(np.uint8) if rgb.dtype == np.uint16 else rgb
        picture = Image.fromarray(rgb)
        while max(picture.size) > 2 * MAX_SCENE_SIDE:  # hides the photo's own JPEG blocks and demosaicing
            picture = picture.reduce(2)
        growth = np.exp(rng.uniform(*np.log(GROWTH)))
        scenes.append(linear_scene(np.asarray(picture), growth=growth).astype(np.float16))
    return scenes


def load_linear_scenes(pictures: list[Path], size: int) -> list[np.ndarray]:
    """Read linear pictures as scenes, float16 (H, W, 3): 16 bit, black at 0.

    The light's colour is taken out where NAME_metadata.json tells it (`illuminant_color_raw`, as the
    INTEL-TAU dataset has it); else it must have been taken out already. What is brighter than 99 of 100
    pixels lies above 1. Those unreadable or smaller than `size` are reported and left out.
    """
    scenes = []
    for path in progress(pictures, "reading linear pictures", unit="picture"):
        try:
            rgb = read_large(path, size)
            if rgb.dtype != np.uint16:
                raise InputError(f"{path}: 8 bits a sample; linear pictures need 16")
        except InputError as error:
            log.warning(f"left out: {error}")
            continue
        metadata = path.with_name(f"{path.stem}_metadata.json")
        light = json.loads(metadata.read_text())["illuminant_color_raw"] if metadata.is_file() else (1, 1, 1)
        scene = rgb / (np.array(light) / max(light))
        scenes.append((scene / max(np.percentile(scene, 99), 1)).astype(np.float16))
    return scenes


def read_large(path: Path, size: int) -> np.ndarray:
    """`read_rgb` of a picture of at least `size` x `size` pixels. Raises InputError for smaller ones too."""
    rgb = read_rgb(path)
    if min(rgb.shape[:2]) < size:
        raise InputError(f"{path}: {rgb.shape[1]} x {rgb.shape[0]} pixels; {size} x {size} are needed")
    return rgb


def draw_scenes(count: int, seed: int, size: int = DRAWN_SIZE) -> list[np.ndarray]:
    """Drawn scenes of every kind in turn, float16 (size, size, 3)."""
    return [
        SCENES[number % len(SCENES)](size, size, np.random.default_rng([seed, number])).astype(np.float16)
        for number in progress(range(count), "drawing scenes", unit="scene")
    ]


def training_source(settings: Settings, branch: str) -> Source:
    """The pairs of a dataset that can be used, or pictures of the simulated camera.

    Raises InputError where there is too little to train on.
    """
    if not settings.pairs:
        return simulated_pictures(settings)
    folder = Path(settings.pairs)
    dataset = find_pairs(folder)
    if dataset.layout == "dng":
        raise InputError(f"{folder}: camera RAW; cut it into pairs first: omf dataset {folder} --convert OUT")
    dataset = check_pairs(dataset, settings.patch + 2)
    for problem in dataset.problems:
        log.warning(f"left out: {problem}")
    if len(dataset.pairs) < MIN_PAIRS:
        raise InputError(
            f"{folder}: {len(dataset.pairs)} pairs can be used; a training needs {MIN_PAIRS} or more"
        )
    if branch == "oe" and not dataset.overexposed:
        raise InputError(
            f"{folder}: no photo holds an overexposed pixel, so there is nothing for OE to learn; add photos with highlights"
        )
    return RecordedPictures(dataset.pairs)


def simulated_pictures(settings: Settings) -> SimulatedPictures:
    """Scenes of photos - those of the dataset's pairs where there are no others - and of linear pictures, and drawn ones."""
    photos, linear = (
        gather(map(Path, paths))
        for paths in (settings.photos or [settings.pairs] * bool(settings.pairs), settings.linear)
    )
    if settings.leave_out:
        held_out = {*matching(photos, Path(settings.leave_out)), *matching(linear, Path(settings.leave_out))}
        photos, linear = ([path for path in paths if path not in held_out] for paths in (photos, linear))
    size = settings.patch + 2  # see SimulatedPictures.draw
    scenes = load_scenes(photos, size) + load_linear_scenes(linear, size)
    return SimulatedPictures(scenes, draw_scenes(DRAWN, settings.seed), load_camera(settings.camera))
