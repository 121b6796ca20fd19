"""Draw docs/example.jpg from a sample and the output of ./test: photo, mask, RAW."""

import argparse
from pathlib import Path

import numpy as np
from pictures import draw_sheet
from PIL import Image

from omf.io.images import read_rgb
from omf.io.packed import read_packed
from omf.raw.bayer import from_challenge_counts, unpack
from omf.raw.isp import encode_srgb, to_8_bit
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import cli_entry_point

ROOT = Path(__file__).parent.parent
HEIGHT, WIDTH = 224, 336  # panel size, pixels; four panels in a row
ZOOM = 7


def as_8_bit(linear: np.ndarray) -> np.ndarray:
    """Encode linear values as uint8 sRGB."""
    return to_8_bit(encode_srgb(np.clip(linear, 0, 1)))


def coloured_mosaic(packed: np.ndarray) -> np.ndarray:
    """Show each pixel in the colour of its filter: counts (H/2, W/2, 4) -> (H, W, 3) in [0, 1]."""
    bayer = from_challenge_counts(unpack(packed))
    colours = np.zeros((*bayer.shape, 3))
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        colours[row::2, column::2, channel] = bayer[row::2, column::2]
    return colours


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="dandelions")
    name = parser.parse_args().name
    rgb = read_rgb(next((ROOT / "test_rgb").glob(f"{name}.*")))
    packed = read_packed(ROOT / "submission" / f"{name}.npy")
    half = from_challenge_counts(packed[..., [0, 1, 3]])
    top, left = int(0.11 * packed.shape[0]), int(0.68 * packed.shape[1])
    detail = coloured_mosaic(
        packed[top : top + HEIGHT // ZOOM // 2 + 1, left : left + WIDTH // ZOOM // 2 + 1]
    )
    panels = {
        "sRGB photo": rgb,
        "overexposure mask": np.where(overexposure_mask(rgb)[..., None], 255, rgb // 4).astype(np.uint8),
        "reconstructed RAW, no white balance": as_8_bit(half),
        "its Bayer pixels": as_8_bit(np.kron(detail, np.ones((ZOOM, ZOOM, 1)))[:HEIGHT, :WIDTH]),
    }
    size = (WIDTH, HEIGHT)
    draw_sheet("example.jpg", list(panels), [list(panels.values())], size, Image.Resampling.BOX)


if __name__ == "__main__":
    main()
