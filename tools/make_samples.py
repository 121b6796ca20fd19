"""Generate the samples: photos in test_rgb/ and their RAW in test_raw/, from photographs and drawn scenes."""

import argparse
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from omf.raw import scenes
from omf.raw.bayer import WHITE_LEVEL, pack, to_challenge_counts
from omf.raw.camera import Camera, load_camera
from omf.raw.simulator import CaptureSettings, linear_raw, linear_scene, sample_settings, simulate_pair
from omf.utils.errors import cli_entry_point
from omf.utils.files import save_json, save_npy

SOURCES = Path(__file__).with_name("photographs")  # test_rgb/README.md: where they come from
JPEG = {"quality": 95}
# file name, its random seed, exposure. The seed of the dandelions draws an ISP with a digital gain, so that
# the RAW of their white sky is saturated in part only.
PHOTOGRAPHS = [
    ("astronaut.jpg", 0, 1.0),
    ("chelsea.jpg", 1, 0.9),
    ("coffee.jpg", 3, 1.5),
    ("dandelions.jpg", 26, 0.9),
    ("hopper.jpg", 5, 1.2),
    ("moose.jpg", 6, 1.1),
    ("raccoon.jpg", 10, 1.2),
    ("rocket.jpg", 11, 1.5),
]
# file name, its random seed, scene, height, width, how the photo is written
DRAWN = [
    ("chart.png", 2, scenes.chart, 240, 320, {}),
    ("leaves_odd.jpg", 7, scenes.leaves, 203, 301, JPEG),
    ("night.jpg", 8, scenes.night, 240, 320, JPEG),
    ("night_tall.tif", 9, scenes.night, 320, 180, {"compression": "zlib"}),
]
SEED = 2026
MARGIN = 3  # since a photo begins at the first red pixel and ends with a whole Bayer cell


def random_settings(camera: Camera, rng: np.random.Generator) -> CaptureSettings:
    """Sample settings as the camera itself renders; the file has its own compression."""
    return replace(sample_settings(camera, rng), subsampling=None, extra_curve=0)


def save_pair(
    out: Path,
    file: str,
    scene: np.ndarray,
    settings: CaptureSettings,
    camera: Camera,
    rng: np.random.Generator,
    options: dict,
) -> None:
    """Simulate a capture of a linear scene, (H, W, 3), and write its photo and its RAW."""
    rgb, counts = simulate_pair(scene, settings, camera, rng)
    height, width = scene.shape[0] - MARGIN, scene.shape[1] - MARGIN
    bayer = linear_raw(counts, camera)[: height // 2 * 2, : width // 2 * 2]
    iio.imwrite(out / "test_rgb" / file, rgb[:height, :width], **options)
    save_npy(out / "test_raw" / f"{Path(file).stem}.npy", pack(to_challenge_counts(bayer)))


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for test_rgb/ and test_raw/")
    out = parser.parse_args().out
    camera = load_camera("samsung_s7")
    (out / "test_rgb").mkdir(parents=True, exist_ok=True)
    description = {"white_level": WHITE_LEVEL, "camera": "samsung_s7", "source": "tools/make_samples.py"}
    save_json(out / "test_raw" / "dataset.json", description | {"simulated": True, "seed": SEED})
    for file, seed, exposure in PHOTOGRAPHS:
        rng = np.random.default_rng([SEED, seed])
        settings = replace(random_settings(camera, rng), exposure=exposure)
        # undone by the ISP that renders it again, the photograph keeps its look
        scene = linear_scene(iio.imread(SOURCES / file), settings)
        height, width = ((length - MARGIN) // 2 * 2 + MARGIN for length in scene.shape[:2])
        save_pair(out, file, scene[:height, :width], settings, camera, rng, JPEG)
    # its bright photos: drawn scenes have enough contrast of their own
    bright = replace(camera, tone_groups=(), tone_curve=camera.tone_groups[-1].tone_curve)
    for file, seed, draw, height, width, options in DRAWN:
        rng = np.random.default_rng([SEED, seed])
        settings = random_settings(bright, rng)
        save_pair(out, file, draw(height + MARGIN, width + MARGIN, rng), settings, bright, rng, options)


if __name__ == "__main__":
    main()
