"""Generate the samples: photos in test_rgb/ and their RAW in test_raw/, from drawn scenes."""

import argparse
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from omf.raw import scenes
from omf.raw.bayer import WHITE_LEVEL, pack, to_challenge_counts
from omf.raw.camera import load_camera
from omf.raw.simulator import linear_raw, sample_settings, simulate_pair
from omf.utils.errors import cli_entry_point
from omf.utils.files import save_json, save_npy

JPEG = {"quality": 95}
# file name, scene, height, width, how it is written
SAMPLES = [
    ("balls.jpg", scenes.spheres, 504, 504, JPEG),
    ("bricks.jpg", scenes.bricks, 240, 320, JPEG),
    ("chart.png", scenes.chart, 240, 320, {}),
    ("chart_bright.jpg", scenes.chart, 240, 320, JPEG),
    ("hills_large.jpg", scenes.landscape, 1008, 1512, JPEG),
    ("hills.jpg", scenes.landscape, 240, 320, JPEG),
    ("leaves.jpg", scenes.leaves, 240, 320, JPEG),
    ("leaves_odd.jpg", scenes.leaves, 203, 301, JPEG),
    ("night.jpg", scenes.night, 240, 320, JPEG),
    ("night_tall.tif", scenes.night, 320, 180, {"compression": "zlib"}),
    ("paper.jpg", scenes.paper, 240, 320, JPEG),
    ("rosette.png", scenes.rosette, 256, 256, {}),
]
SEED = 2026


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for test_rgb/ and test_raw/")
    out = parser.parse_args().out
    camera = load_camera("samsung_s7")
    # its bright photos: drawn scenes have enough contrast of their own
    camera = replace(camera, tone_groups=(), tone_curve=camera.tone_groups[-1].tone_curve)
    (out / "test_rgb").mkdir(parents=True, exist_ok=True)
    description = {"white_level": WHITE_LEVEL, "camera": "samsung_s7", "source": "tools/make_samples.py"}
    save_json(out / "test_raw" / "dataset.json", description | {"simulated": True, "seed": SEED})
    for number, (file, scene, height, width, options) in enumerate(SAMPLES):
        rng = np.random.default_rng([SEED, number])
        # as the camera itself renders; the file has its own compression
        settings = replace(sample_settings(camera, rng), subsampling=None, extra_curve=0)
        # a margin, since the photo begins at the first red pixel and ends with a whole Bayer cell
        rgb, counts = simulate_pair(scene(height + 3, width + 3, rng), settings, camera, rng)
        bayer = linear_raw(counts, camera)
        iio.imwrite(out / "test_rgb" / file, rgb[:height, :width], **options)
        save_npy(
            out / "test_raw" / f"{Path(file).stem}.npy",
            pack(to_challenge_counts(bayer[: height // 2 * 2, : width // 2 * 2])),
        )


if __name__ == "__main__":
    main()
