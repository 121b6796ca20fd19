"""From settings to training data."""

from pathlib import Path

from omf.camera import load_camera
from omf.errors import InputError
from omf.photos import gather, matching
from omf.terminal import log
from omf.training.datasets import check_pairs, find_pairs
from omf.training.pairs import RecordedPictures, SimulatedPictures, Source, draw_scenes, load_linear_scenes, load_scenes
from omf.training.settings import Settings

FEWEST_PAIRS = 8  # fewer are learnt by heart
DRAWN = 96  # scenes that are drawn


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
    if len(dataset.pairs) < FEWEST_PAIRS:
        raise InputError(f"{folder}: {len(dataset.pairs)} pairs can be used; a training needs {FEWEST_PAIRS} or more")
    if branch == "oe" and not dataset.overexposed:
        raise InputError(f"{folder}: no photo holds an overexposed pixel, so there is nothing for OE to learn; add photos with highlights")
    return RecordedPictures(dataset.pairs)


def simulated_pictures(settings: Settings) -> SimulatedPictures:
    """Scenes of photos - those of the dataset's pairs where there are no others - and of linear pictures, and drawn ones."""
    photos, linear = (gather(map(Path, paths)) for paths in (settings.photos or [settings.pairs] * bool(settings.pairs), settings.linear))
    if settings.leave_out:
        held_out = {*matching(photos, Path(settings.leave_out)), *matching(linear, Path(settings.leave_out))}
        photos, linear = ([path for path in paths if path not in held_out] for paths in (photos, linear))
    size = settings.patch + 2  # see SimulatedPictures.draw
    scenes = load_scenes(photos, size) + load_linear_scenes(linear, size)
    return SimulatedPictures(scenes, draw_scenes(DRAWN, settings.seed), load_camera(settings.camera))
