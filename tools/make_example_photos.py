"""Draw docs/example_photos.jpg: photographs of scikit-image, their overexposure masks, RAW, and the way back.

rocket: SpaceX, in the public domain. coffee: Rachel Michetti, CC0. chelsea: Stefan van der Walt, CC0.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

import omf
from omf.raw.bayer import demosaic, unpack
from omf.raw.camera import load_camera
from omf.raw.develop import develop
from omf.raw.isp import encode_srgb, to_8_bit
from omf.raw.overexposure import overexposure_mask
from omf.raw.white_balance import estimate_exposure, estimate_neutral
from omf.utils.errors import cli_entry_point
from omf.utils.paths import PACKAGE

PHOTOS = ("rocket", "coffee", "chelsea")
MODEL = "generic_phone"
HEIGHT, WIDTH, GAP, TITLE = 200, 300, 8, 28  # of a panel, pixels
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
    width, height = len(TITLES) * (WIDTH + GAP) - GAP, TITLE + len(PHOTOS) * (HEIGHT + GAP) - GAP
    sheet = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    for column, title in enumerate(TITLES):
        draw.text((column * (WIDTH + GAP) + 2, 3), title, fill="black", font=font)
    for row, name in enumerate(PHOTOS):
        rgb = getattr(data, name)()
        rgb = rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2]
        for column, panel in enumerate(make_panels(rgb, reconstructor)):
            resized = Image.fromarray(panel).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
            sheet.paste(resized, (column * (WIDTH + GAP), TITLE + row * (HEIGHT + GAP)))
    sheet.save(PACKAGE.parent / "docs" / "example_photos.jpg", quality=88)


if __name__ == "__main__":
    main()
