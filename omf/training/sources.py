"""Sources of training patches: the simulated camera, or the pairs of a dataset."""

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from omf.io.cameras import find_camera
from omf.io.images import read_rgb
from omf.io.photos import find_photos, match_patterns
from omf.raw.bayer import half_size_rgb, pack
from omf.raw.camera import Camera, ToneGroup, check_bayer
from omf.raw.isp import LUMA, clip
from omf.raw.scenes import SCENES
from omf.raw.simulator import (
    CaptureSettings,
    expose,
    linear_raw,
    linear_scene,
    render_uniform,
    run_isp,
    sample_settings,
    simulate_pair,
)
from omf.training.datasets import Dataset, Pair, check_pairs, check_side, find_pairs
from omf.training.settings import TrainingSettings
from omf.utils.console import log, progress
from omf.utils.errors import InputError

MAX_SCENE_SIDE = 1200  # pixels; photos are halved while their long side exceeds twice this
GROWTH = (0.002, 0.1)  # range of linear_scene's growth: from skies to lamps
DRAWN_SHARE = 0.15  # share of patches from drawn scenes, if there are photographed ones
DRAWN_SIZE = 400  # pixels a side of a drawn scene
LUMA_STRIDE = 4  # pixels; subsampling of the luma that selects patches
TRIES = 100  # patches to try before one is accepted regardless
CROPS = 8  # crops to try in one image before the next is opened
MIN_PAIRS = 8  # fewer would be memorised
DRAWN = 96  # number of drawn scenes
WHOLE_SIZE = 128  # pixels a side of simulated whole images; enough to keep small highlights
MIN_SHARE = 0.45  # of a scene's shorter side, that a whole image shows
TINT_SHARE, TINT_DEVIATION = 0.2, 0.15  # share of images in tinted light; deviation of its log channels
MAX_CAST = 0.4  # share of the light's colour, in logarithms, that white balance leaves in a photo

Wanted = Callable[[np.ndarray], bool]  # predicate of the luma of a patch, sRGB in [0, 1]
Photo = Callable[[], np.ndarray]  # returns sRGB, uint8 or uint16 (H, W, 3)


class Capture(NamedTuple):
    """A crop of a scene, and the settings under which it is captured."""

    scene: np.ndarray  # linear scene, float16 or float32 (H, W, 3)
    crop: np.ndarray  # (h, w, 3)
    settings: CaptureSettings
    tint: np.ndarray = np.ones(3, np.float32)  # factors of the channels, already applied to the crop


class SimulatedPictures:
    """Scenes that the simulated camera captures and renders.

    Args:
        photographed: linear scenes from photos, float16 or float32 (H, W, 3); see `load_scenes`.
        drawn: drawn scenes, see `draw_scenes`: `DRAWN_SHARE` of the patches, or all if there are no others.
        camera: camera to simulate.
    """

    def __init__(self, photographed: Sequence[np.ndarray], drawn: Sequence[np.ndarray], camera: Camera):
        self.photographed, self.drawn, self.camera = photographed, drawn, camera
        self.photographed_areas, self.drawn_areas = (
            np.array([scene.shape[0] * scene.shape[1] for scene in scenes])
            for scenes in (photographed, drawn)
        )

    @property
    def scenes(self) -> list[np.ndarray]:
        return [*self.photographed, *self.drawn]

    def pool(self, rng: np.random.Generator) -> tuple[Sequence[np.ndarray], np.ndarray]:
        """Return scenes to choose from and their probabilities, proportional to their areas."""
        drawn = not self.photographed or (len(self.drawn) > 0 and rng.uniform() < DRAWN_SHARE)
        if drawn:
            return self.drawn, self.drawn_areas / self.drawn_areas.sum()
        return self.photographed, self.photographed_areas / self.photographed_areas.sum()

    def crop(
        self, scenes: Sequence[np.ndarray], shares: np.ndarray, rng: np.random.Generator, size: int
    ) -> Capture:
        """Return a random crop (size, size, 3) of a random scene, and capture settings."""
        scene = scenes[rng.choice(len(scenes), p=shares)]
        top, left = (rng.integers(length - size + 1) for length in scene.shape[:2])
        return Capture(scene, scene[top : top + size, left : left + size], sample_settings(self.camera, rng))

    def choose(self, rng: np.random.Generator, size: int, wanted: Wanted) -> Capture:
        """Return a crop that is wanted, perhaps tinted and rotated; `size` + 2, see `draw`."""
        scenes, shares = self.pool(rng)
        for _ in range(TRIES):
            # the CFA may begin with its second row or column
            scene, crop, settings, _ = self.crop(scenes, shares, rng, size + 2)
            tint = random_tint(rng) * self.remaining_cast(settings, rng)
            factors = tint * np.float32(settings.exposure)
            luma = clip(crop[::LUMA_STRIDE, ::LUMA_STRIDE].astype(np.float32) * factors) @ LUMA
            if wanted(render_uniform(luma, settings)):
                break
        return Capture(scene, randomly_rotate(crop.astype(np.float32) * tint, rng), settings, tint)

    def draw(
        self, rng: np.random.Generator, size: int, wanted: Wanted
    ) -> tuple[np.ndarray, np.ndarray, Photo]:
        """Return sRGB, uint8 (size, size, 3), and RGGB RAW, float32 (size, size) in [0, 1].

        The third result returns the whole photo of the patch.
        """
        scene, crop, settings, tint = self.choose(rng, size, wanted)
        rgb, counts = simulate_pair(crop, settings, self.camera, rng)
        bayer = linear_raw(counts, self.camera)
        return rgb[:size, :size], bayer[:size, :size], lambda: render_whole(scene, tint, settings, rng)[0]

    def draw_whole(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return a whole photo, uint8, and its RAW, float32 in [0, 1], see `render_whole`."""
        scenes, shares = self.pool(rng)
        scene, settings = scenes[rng.choice(len(scenes), p=shares)], sample_settings(self.camera, rng)
        tint = random_tint(rng) * self.remaining_cast(settings, rng)
        return render_whole(scene, tint, settings, rng)

    def remaining_cast(self, settings: CaptureSettings, rng: np.random.Generator) -> np.ndarray:
        """Return factors of the channels, float32 (3,): the part of the light's colour that photos keep.

        White balance adapts incompletely, as eyes do: photos in warm light are warm.
        """
        light = settings.neutral / self.camera.mean_neutral
        return ((light / (light @ LUMA)) ** rng.uniform(0, MAX_CAST)).astype(np.float32)


class RecordedPictures:
    """Photos and RAW of a dataset. Each must have at least the size of a patch plus a Bayer cell."""

    def __init__(self, pairs: Sequence[Pair]):
        self.pairs = pairs

    def load(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Load a random pair."""
        return self.pairs[rng.integers(len(self.pairs))].load()

    def draw(
        self, rng: np.random.Generator, size: int, wanted: Wanted
    ) -> tuple[np.ndarray, np.ndarray, Photo]:
        """Return as `SimulatedPictures.draw` does; sRGB is uint8 or uint16."""
        for attempt in range(TRIES // CROPS * CROPS):
            if attempt % CROPS == 0:
                rgb, bayer = self.load(rng)
            top, left = (2 * rng.integers((length - size) // 2) for length in bayer.shape)
            window = np.s_[top : top + size + 2, left : left + size + 2]
            if wanted(rgb[window][::LUMA_STRIDE, ::LUMA_STRIDE] @ LUMA / np.iinfo(rgb.dtype).max):
                break
        return *randomly_flip(rgb[window], bayer[window], rng), lambda: rgb

    def draw_whole(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return a whole photo, uint8 or uint16 (H, W, 3), and its RAW, float32 (H/2, W/2, 3) in [0, 1]."""
        rgb, bayer = self.load(rng)
        return rgb, half_size_rgb(pack(bayer))


Source = SimulatedPictures | RecordedPictures


def render_whole(
    scene: np.ndarray, tint: np.ndarray, settings: CaptureSettings, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Render a random square part of a linear scene, (H, W, 3), in small; `tint` are factors, (3,).

    Mosaic, noise and JPEG are omitted: averaging would remove them.

    Returns:
        sRGB, uint8, and camera RGB, float32 in [0, 1], both (S, S, 3) with S of `WHOLE_SIZE` or less.
    """
    raw = clip(expose(reduce_scene(scene, rng) * tint, settings)).astype(np.float32)
    return run_isp(raw, replace(settings, subsampling=None)), raw


def reduce_scene(scene: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Average a random square of a scene, (H, W, 3), to float32 (S, S, 3) with S of `WHOLE_SIZE` or less."""
    size = min(WHOLE_SIZE, *scene.shape[:2])
    factor = max(int(min(scene.shape[:2]) * rng.uniform(MIN_SHARE, 1)) // size, 1)
    top, left = (rng.integers(length - factor * size + 1) for length in scene.shape[:2])
    window = scene[top : top + factor * size, left : left + factor * size].astype(np.float32)
    rows = window.reshape(size, factor, -1).mean(axis=1)  # both axes at once would take three times as long
    small = rows.reshape(size, size, factor, 3).mean(axis=2)
    return np.ascontiguousarray(randomly_rotate(small, rng))


def random_tint(rng: np.random.Generator) -> np.ndarray:
    """Return factors of the channels, float32 (3,), that tint some images, as other weather does."""
    tint = np.exp(rng.normal(0, TINT_DEVIATION, 3)) if rng.uniform() < TINT_SHARE else np.ones(3)
    return tint.astype(np.float32)


def randomly_rotate(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return one of the eight orientations of a square image."""
    picture = np.rot90(picture, rng.integers(4))
    return picture[:, ::-1] if rng.uniform() < 0.5 else picture


def randomly_flip(
    rgb: np.ndarray, bayer: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Randomly flip and transpose a photo and its RGGB mosaic, both 2 pixels larger than the result.

    A flipped RGGB mosaic begins with green, so its first row or column is dropped. Transposing keeps RGGB.
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


def load_each(
    pictures: list[Path], kind: str, size: int, to_scene: Callable[[Path, np.ndarray], np.ndarray]
) -> list[np.ndarray]:
    """Read pictures as scenes, float16 (H, W, 3); report and skip unreadable ones and those below `size`."""
    scenes = []
    for path in progress(pictures, f"reading {kind}s", unit=kind.rpartition(" ")[2]):
        try:
            rgb = read_rgb(path)
            check_side(path, rgb, size)
            scenes.append(to_scene(path, rgb).astype(np.float16))
        except InputError as error:
            log.warning(f"left out: {error}")
    return scenes


def load_scenes(photos: list[Path], size: int, camera: Camera) -> list[np.ndarray]:
    """Read photos as linear scenes, see `load_each`.

    Each photo is undone by one draw of the camera's prior. A fixed curve would leave a part of the photo's
    own in the scene, and all simulated photos would have too much or too little contrast. The draws have no
    black point, whose level would remain in clipped shadows: real RAW is darker there.
    """
    rng, camera = np.random.default_rng(0), without_black_point(camera)

    def to_scene(_: Path, rgb: np.ndarray) -> np.ndarray:
        picture = Image.fromarray((rgb >> 8).astype(np.uint8) if rgb.dtype == np.uint16 else rgb)
        while max(picture.size) > 2 * MAX_SCENE_SIDE:  # hides JPEG blocks and demosaicing artefacts
            picture = picture.reduce(2)
        undone = sample_settings(camera, rng)
        return linear_scene(np.asarray(picture), undone, growth=np.exp(rng.uniform(*np.log(GROWTH))))

    return load_each(photos, "photo", size, to_scene)


def without_black_point(camera: Camera) -> Camera:
    """Return the camera with an ISP that clips no shadows."""

    def unclipped(kind: Camera | ToneGroup) -> Camera | ToneGroup:
        return replace(kind, prior=kind.prior.model_copy(update={"black_point": None}))

    return replace(unclipped(camera), tone_groups=tuple(map(unclipped, camera.tone_groups)))


def load_linear_scenes(pictures: list[Path], size: int) -> list[np.ndarray]:
    """Read linear 16-bit images, black at 0, as scenes, see `load_each`.

    NAME_metadata.json may contain the colour of the light to remove (`illuminant_color_raw`, as in the
    INTEL-TAU dataset); otherwise images must be white-balanced. The 99th percentile becomes 1.
    """

    def to_scene(path: Path, rgb: np.ndarray) -> np.ndarray:
        if rgb.dtype != np.uint16:
            raise InputError(f"{path}: 8 bits a sample; linear pictures need 16")
        metadata = path.with_name(f"{path.stem}_metadata.json")
        light = json.loads(metadata.read_text())["illuminant_color_raw"] if metadata.is_file() else (1, 1, 1)
        scene = rgb / (np.array(light) / max(light))
        return scene / max(np.percentile(scene, 99), 1)

    return load_each(pictures, "linear picture", size, to_scene)


@functools.lru_cache(1)  # the stages of a training draw the same ones
def draw_scenes(count: int, seed: int, size: int = DRAWN_SIZE) -> list[np.ndarray]:
    """Draw scenes of all kinds in turn, float16 (size, size, 3); callers share them."""
    return [
        SCENES[number % len(SCENES)](size, size, np.random.default_rng([seed, number])).astype(np.float16)
        for number in progress(range(count), "drawing scenes", unit="scene")
    ]


def training_source(settings: TrainingSettings, branch: str) -> Source:
    """Return the source that the settings describe: the usable pairs of a dataset, or the simulated camera.

    Raises InputError if there is too little to train on.
    """
    if not settings.pairs:
        return simulated_pictures(settings)
    folder = Path(settings.pairs)
    dataset = usable_pairs(folder, settings.patch_size + 2)
    if len(dataset.pairs) < MIN_PAIRS:
        raise InputError(
            f"{folder}: {len(dataset.pairs)} pairs can be used; a training needs {MIN_PAIRS} or more"
        )
    if branch == "oe" and not dataset.overexposed:
        raise InputError(
            f"{folder}: no photo has overexposed pixels, which OE learns from; add photos with highlights"
        )
    return RecordedPictures(dataset.pairs)


@functools.lru_cache(1)  # a training asks for them at each stage
def usable_pairs(folder: Path, min_side: int) -> Dataset:
    """Return the pairs of a dataset that can be used, and log the problems with the others.

    Raises InputError if the folder contains camera RAW, or no pair.
    """
    dataset = find_pairs(folder)
    if dataset.layout == "dng":
        raise InputError(f"{folder}: camera RAW; cut it into pairs first: omf dataset {folder} --convert OUT")
    dataset = check_pairs(dataset, min_side)
    for problem in dataset.problems:
        log.warning(f"left out: {problem}")
    return dataset


def simulated_pictures(settings: TrainingSettings) -> SimulatedPictures:
    """Return the simulated camera with the scenes of the settings.

    Scenes come from photos (those of the dataset's pairs by default), from linear images, and are drawn.
    """
    size = settings.patch_size + 2  # see SimulatedPictures.draw
    photos = list_scenes(settings.photos or [settings.pairs] * bool(settings.pairs), settings.exclude)
    linear = list_scenes(settings.linear_images, settings.exclude)
    camera = check_bayer(find_camera(settings.camera))
    scenes = load_scenes(photos, size, camera) + load_linear_scenes(linear, size)
    return SimulatedPictures(scenes, draw_scenes(DRAWN, settings.seed), camera)


def list_scenes(folders: list[str], exclude: str) -> list[Path]:
    """List the pictures in folders without those that match the patterns in a file, if there is one."""
    pictures = find_photos(map(Path, folders))
    held_out = set(match_patterns(pictures, Path(exclude))) if exclude else set()
    return [path for path in pictures if path not in held_out]
