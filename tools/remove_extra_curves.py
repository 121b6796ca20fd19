"""Find and remove the extra tone curves of AIM 2022's photos.

    python tools/remove_extra_curves.py PHOTOS OUT

PHOTOS contains the 48 patches of each scene, SCENE_PATCH.jpg, numbered row by row from 0. Patches with a
curve become PNG in OUT, all other files are copied. omf/raw/extra_curves.py explains how curves are found.
`omf predict` and the workflow undo them by themselves; training takes photos without them.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
from tqdm import tqdm

from omf.io.images import read_rgb, save_png
from omf.io.photos import list_images
from omf.raw.challenge_scenes import PATCHES, group_by_scene
from omf.raw.extra_curves import CURVE_NAMES, find_curves, invert_curve
from omf.utils.console import log
from omf.utils.errors import InputError, cli_entry_point
from omf.utils.files import atomic_write
from omf.utils.written import begin_command


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    begin_command(parser.prog)
    photos = list_images(arguments.photos)
    by_name = {photo.stem: photo for photo in photos}
    scenes = group_by_scene(by_name)
    if not scenes:
        raise InputError(f"{arguments.photos}: no patches in it; give the folder of SCENE_PATCH.jpg")
    if arguments.out.resolve() == arguments.photos.resolve():
        raise InputError(f"{arguments.out}: holds the photos; give another folder for the result")
    arguments.out.mkdir(parents=True, exist_ok=True)
    removed, unreadable = set(), []
    for scene, names in tqdm(scenes.items(), unit="scene", disable=None):
        files = {number: by_name[name] for number, name in names.items()}
        if len(files) < PATCHES:
            log.warning(f"scene {scene}: {len(files)} of {PATCHES} patches; all are needed to find curves")
            continue
        try:
            patches = [read_rgb(files[number]) for number in range(PATCHES)]
        except InputError as error:
            unreadable.append(scene)
            log.warning(f"scene {scene}: {error}; all patches are needed to find curves")
            continue
        if {(rgb.shape, rgb.dtype) for rgb in patches} != {(patches[0].shape, np.dtype(np.uint8))}:
            log.warning(f"scene {scene}: patches of several sizes or of 16 bits; must be 8 bits, one size")
            continue
        curves = find_curves(patches)
        letters = "".join(CURVE_NAMES[curve] for curve in curves or [])
        log.info(f"scene {scene}: {letters or 'no curves'}")
        for number, curve in enumerate(curves or []):
            save_png(arguments.out / f"{files[number].stem}.png", invert_curve(patches[number], curve))
            removed.add(files[number])
    for photo in photos:
        if photo not in removed:
            with atomic_write(arguments.out / photo.name) as temporary:
                shutil.copy(photo, temporary)
    if unreadable:
        raise InputError(f"copied without looking for curves, see above: scene {', '.join(unreadable)}")


if __name__ == "__main__":
    main()
