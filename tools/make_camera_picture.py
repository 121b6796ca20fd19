"""Draw docs/cameras.jpg: a photograph as the RAW of four cameras, and each RAW rendered again.

The photograph is that of Rachel Michetti, CC0, as in scikit-image.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

import omf
from omf.io.cameras import find_camera
from omf.raw.develop import develop
from omf.raw.isp import encode_srgb, to_8_bit
from omf.raw.white_balance import estimate_exposure, estimate_neutral
from omf.utils.errors import cli_entry_point
from omf.utils.paths import PACKAGE

MODEL = "samsung_s7"
CAMERAS = ("samsung_s7", "NIKON D750", "Canon EOS 5D Mark II", "FUJIFILM X-T3")
HEIGHT, WIDTH, GAP, TITLE = 200, 300, 8, 28  # of a panel, pixels


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
    sheet = Image.new("RGB", (len(CAMERAS) * (WIDTH + GAP) - GAP, TITLE + 2 * (HEIGHT + GAP) - GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    for column, name in enumerate(CAMERAS):
        draw.text((column * (WIDTH + GAP) + 2, 3), name, fill="black", font=font)
        for row, panel in enumerate(make_panels(rgb, name)):
            resized = Image.fromarray(panel).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
            sheet.paste(resized, (column * (WIDTH + GAP), TITLE + row * (HEIGHT + GAP)))
    sheet.save(PACKAGE.parent / "docs" / "cameras.jpg", quality=88)


if __name__ == "__main__":
    main()
