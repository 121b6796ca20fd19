"""Read photos of which some are patches of one scene, see `omf.raw.challenge_scenes`. No torch here."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from omf.io.images import read_rgb
from omf.io.photos import group_by
from omf.raw.challenge_scenes import (
    PatchedScene,
    analyse_scene,
    complete_scenes,
    curves_of_patches,
    is_patch,
    join_patches,
    window,
)
from omf.utils.errors import InputError

Read = tuple[np.ndarray, np.ndarray | None]  # a picture, and the whole photo of which it is a patch


class SceneReader:
    """Reader of photos, which reads a scene at its first patch; threads may share it.

    A scene is analysed if all its patches can be read, are of one size, and pass `is_patch`. Otherwise its
    patches are plain photos. Each picture is read once.

    Args:
        names: names that will be read, each once.
        scenes: names of all patches of each scene, row by row; they may include others than `names`.
        read: reads a picture, sRGB, uint8 or uint16 (H, W, 3); may raise InputError.
        analyse: finds the photos of a scene; its arguments are the name and the pictures of the patches.

    Attributes:
        names: the names, with the patches of each scene in succession: one scene is held at a time.
        records: of each scene analysed {"patches": names, "curves": and "photos": see `PatchedScene`}.
    """

    def __init__(
        self,
        names: Iterable[str],
        scenes: Mapping[str, Sequence[str]],
        read: Callable[[str], np.ndarray],
        analyse: Callable[[str, list[np.ndarray]], PatchedScene] = lambda _, patches: analyse_scene(patches),
    ):
        self.scenes, self.read, self.analyse = scenes, read, analyse
        self.scene_of = {name: scene for scene, patches in scenes.items() for name in patches}
        groups = group_by(names, lambda name: (name in self.scene_of, self.scene_of.get(name, name)))
        self.names = [name for group in groups.values() for name in group]
        self.locks = {scene: threading.Lock() for scene in scenes}
        # by scene and name: what was read and not yet returned
        self.pending: dict[str, dict[str, Read | InputError]] = {}
        self.records: dict[str, dict] = {}

    def __call__(self, name: str) -> Read:
        """Read a picture, without extra curves if it is a patch of a scene. Raises InputError."""
        scene = self.scene_of.get(name)
        if scene is None:
            return self.read(name), None
        with self.locks[scene]:
            if scene not in self.pending:
                self.pending[scene] = self.load(scene)
            result = self.pending[scene].pop(name, None)
        if isinstance(result, InputError):
            raise result
        return result or (self.read(name), None)

    def load(self, scene: str) -> dict[str, Read | InputError]:
        """Read and analyse a scene; return what was read of `names`, before a picture that is no patch."""
        patches, wanted = [], set(self.names)
        outcomes: dict[str, Read | InputError] = {}
        for name in self.scenes[scene]:
            try:
                rgb = self.read(name)
            except InputError as error:
                outcomes[name] = error
                break
            outcomes[name] = rgb, None
            if not is_patch(rgb) or rgb.shape != (patches or [rgb])[0].shape:
                break
            patches.append(rgb)
        else:
            outcomes = dict(zip(self.scenes[scene], self.analysed(scene, patches), strict=True))
        return {name: outcome for name, outcome in outcomes.items() if name in wanted}

    def analysed(self, scene: str, patches: list[np.ndarray]) -> list[Read]:
        """Return each patch of a scene without its curve, as a part of its photo; note the record."""
        patches, curves, photos = self.analyse(scene, patches)
        names = list(self.scenes[scene])
        self.records[scene] = {"patches": names, "curves": curves, "photos": photos}
        pictures: list[Read] = [(rgb, None) for rgb in patches]
        for photo in set(photos):
            numbers = [number for number in range(len(photos)) if photos[number] == photo]
            if len(numbers) > 1:
                whole = join_patches({number: patches[number] for number in numbers})
                for number in numbers:  # views, which share the memory of the photo
                    pictures[number] = whole[window(number, *patches[number].shape[:2])], whole
        return pictures


def find_curves_of_patches(photos: Mapping[str, Path]) -> dict[str, int]:
    """Read the scenes among photos, by name, and return the extra curve of each patch that has one."""
    scenes = complete_scenes(photos)
    reader = SceneReader([], scenes, lambda name: read_rgb(photos[name]))
    for scene in scenes:
        reader.load(scene)
    return curves_of_patches(reader.records)
