"""Scenes of the AIM challenges: a photo that is given out in patches, SCENE_PATCH.jpg. No torch here.

The patches of a scene are cut row by row. Some scenes went through extra tone curves, see
`omf.raw.extra_curves`, and neighbours may come from two photos of the scene with different exposures.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from omf.raw.extra_curves import CURVE_NAMES, PATCH_COLUMNS, PATCH_ROWS, find_curves, invert_curve

PATCHES = PATCH_ROWS * PATCH_COLUMNS
PATCH_NUMBERS = {str(number): number for number in range(PATCHES)}
PATCH_SIDES = (504, 496)  # pixels, of the Samsung S7 and the Huawei P20; other pictures are plain photos
BORDER_SEGMENTS = 16  # of a border; their means even out texture
CODES_COMPARED = (12, 245)  # darker and brighter pixels look the same at any exposure
MIN_SEGMENTS = 4  # to compare; a border with fewer tells nothing
# Octaves of the code between patches that continue each other; a factor of 0.7 in exposure gives 0.2
MAX_STEP = 0.12
MAX_STEPS_LEFT = 0.7  # of the steps at borders, after the right curves were undone
MIN_CONTINUED = 0.3  # of the borders in a scene; by chance, a fifth of those of unrelated pictures


class PatchedScene(NamedTuple):
    """The patches of a scene, row by row."""

    patches: list[np.ndarray]  # sRGB without extra curves, uint8 (H, W, 3)
    curves: list[int] | None  # extra curve of each patch, 0 (A) or 1 (B); None: the scene has none
    photos: list[int]  # photo of each patch, by the number of the first patch of that photo


def group_by_scene(names: Iterable[str]) -> dict[str, dict[int, str]]:
    """Return the patches of each scene, {scene: {number of the patch: name}}, without other names."""
    scenes: dict[str, dict[int, str]] = {}
    for name in names:
        scene, _, patch = name.rpartition("_")
        if scene and patch in PATCH_NUMBERS:
            scenes.setdefault(scene, {})[PATCH_NUMBERS[patch]] = name
    return scenes


def complete_scenes(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of all patches of each scene of which none is missing, row by row."""
    scenes = group_by_scene(names)
    return {
        scene: [patches[number] for number in range(PATCHES)]
        for scene, patches in scenes.items()
        if len(patches) == PATCHES
    }


def is_patch(rgb: np.ndarray) -> bool:
    """Return True for a picture of the type and size of the challenges' patches."""
    return rgb.dtype == np.uint8 and rgb.shape[0] == rgb.shape[1] and rgb.shape[0] in PATCH_SIDES


def analyse_scene(patches: Sequence[np.ndarray]) -> PatchedScene:
    """Undo the extra curves of a scene, and find the photos that its patches belong to.

    The patches are all of the scene, row by row, uint8 (H, W, 3) of one size. Pictures that do not continue
    each other are returned as they are, each as a photo of its own.
    """
    alone = PatchedScene(list(patches), None, list(range(PATCHES)))
    patches, curves, steps = alone.patches, find_curves(patches), border_steps(patches)
    if curves:
        as_given = count_steps(steps)
        patches = [invert_curve(rgb, curve) for rgb, curve in zip(patches, curves, strict=True)]
        steps = border_steps(patches)
        if count_steps(steps) > MAX_STEPS_LEFT * as_given:
            return alone  # two exposures may look like A and B, but not at most of their borders
    compared = sum(not np.isnan(step) for step in steps.values())
    if compared - count_steps(steps) < MIN_CONTINUED * compared:
        return alone
    return PatchedScene(patches, curves, group_patches(steps))


def border_steps(patches: Sequence[np.ndarray]) -> dict[tuple[int, int], float]:
    """Return the step in brightness, see `border_step`, between each patch and its right and lower one."""
    steps = {}
    for number, rgb in enumerate(patches):
        row, column = divmod(number, PATCH_COLUMNS)
        if column < PATCH_COLUMNS - 1:
            steps[number, number + 1] = border_step(rgb[:, -1], patches[number + 1][:, 0])
        if row < PATCH_ROWS - 1:
            below = number + PATCH_COLUMNS
            steps[number, below] = border_step(rgb[-1], patches[below][0])
    return steps


def border_step(first: np.ndarray, second: np.ndarray) -> float:
    """Return the median step between the two sides of a border, uint8 (N, 3), in octaves of the code.

    NaN if both sides are too dark or too bright to compare them.
    """
    starts = np.linspace(0, len(first), BORDER_SEGMENTS, endpoint=False).astype(int)
    sizes = np.diff(starts, append=len(first))
    one, other = (np.add.reduceat(side.mean(axis=1), starts) / sizes for side in (first, second))
    darkest, brightest = CODES_COMPARED
    compared = (np.minimum(one, other) < brightest) & (np.maximum(one, other) > darkest)
    if compared.sum() < MIN_SEGMENTS:
        return np.nan
    # the offset keeps the noise of dark pixels small
    return float(abs(np.median(np.log2((one + 8) / (other + 8))[compared])))


def count_steps(steps: Mapping[tuple[int, int], float]) -> int:
    """Return the number of borders where patches do not continue each other."""
    return sum(step > MAX_STEP for step in steps.values())


def group_patches(steps: Mapping[tuple[int, int], float]) -> list[int]:
    """Return the photo of each patch, by the number of its first patch, from the steps at the borders.

    Neighbours are joined, those of the smallest step first, unless most borders between the parts that would
    be joined show a step: a single border may lie on an edge in the scene. Borders that tell nothing come
    last.
    """
    photos = list(range(PATCHES))
    for first, second in sorted(steps, key=lambda border: np.nan_to_num(steps[border], nan=MAX_STEP)):
        one, other = sorted((photos[first], photos[second]))
        if one == other or steps[first, second] > MAX_STEP:
            continue
        between = [step for (a, b), step in steps.items() if {photos[a], photos[b]} == {one, other}]
        if np.nansum(np.sign(MAX_STEP - np.array(between))) >= 0:
            photos = [one if photo == other else photo for photo in photos]
    return photos


def join_patches(patches: Mapping[int, np.ndarray]) -> np.ndarray:
    """Put a photo together from its patches, {number: uint8 (H, W, 3)}.

    Returns:
        uint8 (`PATCH_ROWS` H, `PATCH_COLUMNS` W, 3). A copy of the nearest patch fills the place of one that
        is missing, which keeps the photo's colours and their layout.
    """
    height, width = next(iter(patches.values())).shape[:2]
    photo = np.empty((PATCH_ROWS * height, PATCH_COLUMNS * width, 3), np.uint8)
    places = np.array([divmod(number, PATCH_COLUMNS) for number in patches])
    for number in range(PATCHES):
        distances = ((places - divmod(number, PATCH_COLUMNS)) ** 2).sum(axis=1)
        photo[window(number, height, width)] = list(patches.values())[distances.argmin()]
    return photo


def window(number: int, height: int, width: int) -> tuple[slice, slice]:
    """Return the rows and columns of a patch, of height x width pixels, in its photo."""
    row, column = divmod(number, PATCH_COLUMNS)
    return slice(row * height, (row + 1) * height), slice(column * width, (column + 1) * width)


def curves_of_patches(scenes: Mapping[str, dict]) -> dict[str, int]:
    """Return the extra curve of each patch that had one, by name, from records, see `SceneReader`."""
    curves = (zip(scene["patches"], scene["curves"] or [], strict=False) for scene in scenes.values())
    return {name: curve for scene in curves for name, curve in scene}


def summarise_scene(scene: dict) -> dict:
    """Return what became of a scene, from its record: its curves, a letter a patch, and number of photos."""
    letters = scene["curves"] and "".join(CURVE_NAMES[curve] for curve in scene["curves"])
    return {"curves": letters, "photos": len(set(scene["photos"]))}


def scene_line(name: str, summary: dict) -> str:
    """Return a line about a scene, see `summarise_scene`."""
    count = summary["photos"]
    photos = {1: "judged as one photo", PATCHES: "each patch judged alone"}.get(count, f"{count} photos")
    curves = f"extra tone curves {summary['curves']} undone" if summary["curves"] else "no extra tone curves"
    return f"scene {name}: {curves}, {photos}"
