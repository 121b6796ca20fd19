"""Contact sheet for visual inspection: photos, predicted RAW, and predicted RAW with average white balance.

    python benchmarks/contact_sheet.py PHOTO_OR_FOLDER... --count 20 --out sheet.png

Unbalanced RAW must not look neutral. In the balanced one, look for colour casts, halos, and seams along the
overexposure mask.
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps
from tqdm import tqdm

from omf.inference.load import load_method
from omf.io.images import read_rgb
from omf.io.photos import find_photos
from omf.models.registry import find_model
from omf.raw import isp
from omf.raw.camera import load_camera
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import cli_entry_point

THUMBNAIL, CAPTION, COLUMNS = 200, 14, 2  # pixels, pixels, photos per row


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--model", default="samsung_s7")
    parser.add_argument(
        "--count",
        type=int,
        default=20,
        help="number of photos: half with the most overexposed pixels, half evenly spaced by name",
    )
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    model = find_model(arguments.model)
    camera = load_camera(model.camera)
    fuse, _, _ = load_method(model, "auto")
    photos = find_photos(arguments.photos)
    by_highlights = sorted(photos, key=lambda photo: -overexposure_mask(read_rgb(photo)).mean())
    bright = by_highlights[: arguments.count // 2]
    rest = sorted(set(photos) - set(bright))
    chosen = (
        bright
        + rest[:: max(len(rest) // (arguments.count - len(bright)), 1)][: arguments.count - len(bright)]
    )
    rows = -(-len(chosen) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * 3 * (THUMBNAIL + 4), rows * (THUMBNAIL + CAPTION + 4)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, photo in enumerate(tqdm(chosen, unit="photo", disable=None)):
        rgb = read_rgb(photo)
        raw = fuse(rgb, overexposure_mask(rgb))
        balanced = isp.camera_to_srgb(
            isp.clip(isp.white_balance(raw, camera.mean_neutral)), camera.mean_colour_matrix
        )
        panels = (rgb, isp.to_8_bit(isp.encode_srgb(raw)), isp.to_8_bit(isp.encode_srgb(isp.clip(balanced))))
        for column, panel in enumerate(panels):
            left = (number % COLUMNS * 3 + column) * (THUMBNAIL + 4)
            top = number // COLUMNS * (THUMBNAIL + CAPTION + 4)
            sheet.paste(
                ImageOps.pad(Image.fromarray(panel), (THUMBNAIL, THUMBNAIL), color="lightgrey"), (left, top)
            )
        draw.text((number % COLUMNS * 3 * (THUMBNAIL + 4), top + THUMBNAIL), photo.name, fill="black")
    sheet.save(arguments.out)


if __name__ == "__main__":
    main()
