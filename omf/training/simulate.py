"""Simulated training pairs, written in the layout of the AIM challenge."""

from pathlib import Path

import numpy as np

from omf.io.images import save_png
from omf.raw.bayer import WHITE_LEVEL, pack, to_challenge_counts
from omf.raw.camera import Camera
from omf.training.datasets import DESCRIPTION
from omf.training.sources import SimulatedPictures, draw_scenes, load_scenes
from omf.utils.console import progress
from omf.utils.errors import InputError
from omf.utils.files import save_json, save_npy
from omf.utils.written import check_replaceable


def write_pairs(photos: list[Path], camera: Camera, out: Path, count: int, size: int, seed: int) -> list[str]:
    """Simulate pairs: `out`/NUMBER.png (sRGB with JPEG artefacts), NUMBER.npy (packed RAW) and dataset.json.

    The scenes are `photos`, or drawn ones if there are none. Pair i, of `size` x `size` pixels, depends only
    on the scenes and on (seed, i). Pairs that already exist are skipped.

    Returns:
        One line for each pair that would overwrite a file.

    Raises:
        InputError: no photo is large enough, the size is odd or too small, `count` is less than 1, or
            dataset.json would overwrite a file.
    """
    if count < 1:
        raise InputError(f"count {count}; give the number of pairs, 1 or more")
    if size % 2 or size < 16:
        raise InputError(f"size {size}: give an even number of pixels, 16 or more")
    scenes = load_scenes(photos, size + 2, camera)
    if photos and not scenes:
        raise InputError(
            f"none of the {len(photos)} photos can be used;"
            f" they must have {size + 2} x {size + 2} pixels or more"
        )
    pictures = SimulatedPictures(scenes, [] if photos else draw_scenes(count, seed, size + 2), camera)
    description = {"white_level": WHITE_LEVEL, "camera": camera.name, "source": "omf simulate"}
    save_json(out / DESCRIPTION, description | {"simulated": True, "seed": seed})
    problems = []
    for number in progress(range(count), "simulating", unit="pair"):
        photo, raw = (out / f"{number:06d}.{suffix}" for suffix in ("png", "npy"))
        if photo.is_file() and raw.is_file():
            continue
        try:
            check_replaceable(photo)
            check_replaceable(raw)
        except InputError as error:
            problems.append(str(error))
            continue
        rgb, bayer, _ = pictures.draw(np.random.default_rng([seed, number]), size, lambda brightness: True)
        save_png(photo, rgb)
        save_npy(raw, pack(to_challenge_counts(bayer)))
    return problems
