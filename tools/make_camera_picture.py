"""Draw docs/cameras.jpg: a photograph as the RAW of four cameras, and each RAW rendered again.

The photograph is that of Rachel Michetti, CC0, as in scikit-image.
"""

import numpy as np
from pictures import draw_sheet
from skimage import data

import omf
from omf.io.cameras import find_camera
from omf.raw.develop import develop
from omf.raw.isp import encode_srgb, to_8_bit
from omf.raw.white_balance import estimate_exposure, estimate_neutral
from omf.utils.errors import cli_entry_point

MODEL = "samsung_s7"
CAMERAS = ("samsung_s7", "NIKON D750", "Canon EOS 5D Mark II", "FUJIFILM X-T3")
PANEL = (300, 200)  # width and height, pixels


def make_panels(rgb: np.ndarray, name: str) -> list[np.ndarray]:
    """Return the RAW of a photo for a camera, and the picture rendered from it, uint8 (H, W, 3)."""
    camera = find_camera(name)
    raw = omf.Reconstructor(MODEL, device="cpu", camera=name).demosaiced(rgb)
    neutral = estimate_neutral(raw, rgb, camera)
    exposure = 2 ** estimate_exposure(raw, rgb, neutral, camera)
    rendered = develop(raw, neutral, camera.mean_colour_matrix, exposure)
    return [to_8_bit(encode_srgb(raw)), to_8_bit(rendered)]


@cli_entry_point
def main() -> None:
    rgb = data.coffee()
    columns = [make_panels(rgb, name) for name in CAMERAS]
    draw_sheet("cameras.jpg", CAMERAS, list(zip(*columns)), PANEL)


if __name__ == "__main__":
    main()
