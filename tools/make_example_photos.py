"""Draw docs/example_photos.jpg: photographs of scikit-image, their overexposure masks, RAW, and the way back.

rocket: SpaceX, in the public domain. coffee: Rachel Michetti, CC0. chelsea: Stefan van der Walt, CC0.
"""

import numpy as np
from pictures import draw_sheet
from skimage import data

import omf
from omf.raw.bayer import crop_to_cells, demosaic, unpack
from omf.raw.camera import load_camera
from omf.raw.develop import develop
from omf.raw.isp import encode_srgb, to_8_bit
from omf.raw.overexposure import overexposure_mask
from omf.raw.white_balance import estimate_exposure, estimate_neutral
from omf.utils.errors import cli_entry_point

PHOTOS = ("rocket", "coffee", "chelsea")
MODEL = "generic_phone"
PANEL = (300, 200)  # width and height, pixels
TITLES = ("sRGB photo", "overexposure mask", "RAW, no white balance", "RAW, rendered")


def make_panels(rgb: np.ndarray, reconstructor: omf.Reconstructor) -> list[np.ndarray]:
    """Return the panels of a photo, uint8 (H, W, 3)."""
    camera = load_camera(MODEL)
    raw = demosaic(unpack(reconstructor.predict(rgb)))
    mask = overexposure_mask(rgb)
    neutral = estimate_neutral(raw, rgb, camera)
    exposure = 2 ** estimate_exposure(raw, rgb, neutral, camera)
    return [
        rgb,
        np.where(mask[..., None], 255, rgb // 4).astype(np.uint8),
        to_8_bit(encode_srgb(np.clip(raw, 0, 1))),
        to_8_bit(develop(raw, neutral, camera.mean_colour_matrix, exposure)),
    ]


@cli_entry_point
def main() -> None:
    reconstructor = omf.Reconstructor(MODEL, device="cpu")
    rows = [make_panels(crop_to_cells(getattr(data, name)()), reconstructor) for name in PHOTOS]
    draw_sheet("example_photos.jpg", TITLES, rows, PANEL)


if __name__ == "__main__":
    main()
