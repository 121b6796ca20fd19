"""Remove the extra tone curves of the challenge's inputs, to use them as photos of the camera.

    python tools/remove_extra_curves.py PHOTOS CURVES.json OUT

PHOTOS contains SCENE_PATCH.jpg; CURVES.json is {scene: curve of each patch, "A", "B" or null}. Scenes that it
does not list are copied as they are. Curve A is y = x / (x + 1/4), B is y = 3 x^2 - 2 x^3.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
from tqdm import tqdm

from omf.io.images import read_rgb, save_png
from omf.raw.isp import EXTRA_CURVES
from omf.utils.errors import cli_entry_point

CODES = np.linspace(0, 1, 4096, dtype=np.float32)  # fine enough to invert 8-bit curves by interpolation


def invert_curve(rgb: np.ndarray, name: str) -> np.ndarray:
    """Invert curve A or B: uint8 (H, W, 3) -> uint8 (H, W, 3)."""
    curve = EXTRA_CURVES["AB".index(name)](CODES)
    values = np.interp(np.arange(256) / 255, curve, CODES)
    return np.rint(255 * values).astype(np.uint8)[rgb]


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("curves", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    curves = json.loads(arguments.curves.read_text())
    arguments.out.mkdir(parents=True, exist_ok=True)
    for photo in tqdm(sorted(arguments.photos.glob("*_*.jpg")), unit="photo", disable=None):
        scene, _, patch = photo.stem.partition("_")
        curve = curves[scene][int(patch)] if scene in curves and patch.isdigit() else None
        if curve:
            save_png(arguments.out / f"{photo.stem}.png", invert_curve(read_rgb(photo), curve))
        else:
            shutil.copy(photo, arguments.out)


if __name__ == "__main__":
    main()
