"""How near the developed RAW is to its photo, with and without the profile of a DNG.

    python benchmarks/dng_tones.py PHOTO_OR_FOLDER... --model generic_phone --out benchmarks/dng_tones.md

PSNR of the pictures that `omf render` makes, at full size: of the plain RAW, as bright as the photo; of the
RAW with the tones and colours of its profile; and of the same without the loss of detail by mosaic and
demosaicing. Reduced by 8 along each axis, the pictures show tones alone.
"""

from pathlib import Path

import numpy as np
from reporting import head, make_parser, publish, row
from tqdm import tqdm

import omf
from omf.evaluation.alignment import downscale
from omf.evaluation.metrics import psnr
from omf.io.camera_raw import CameraRaw, demosaic_raw
from omf.io.cameras import find_camera
from omf.io.images import read_rgb
from omf.io.photos import find_photos
from omf.models.registry import find_model
from omf.raw.bayer import mosaic_full
from omf.raw.develop import develop
from omf.raw.photo_profile import fit_photo_profile
from omf.raw.white_balance import estimate_exposure, estimate_neutral
from omf.utils.console import log
from omf.utils.errors import cli_entry_point

COLUMNS = ("plain", "profile", "profile, before the mosaic", "plain, reduced", "profile, reduced")
REDUCTION = 8  # pixels whose means are compared, along each axis


@cli_entry_point
def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--model", default="samsung_s7")
    arguments = parser.parse_args()
    camera = find_camera(find_model(arguments.model).camera)
    reconstructor = omf.Reconstructor(arguments.model, device="cpu")
    rows = {}
    for path in tqdm(find_photos(arguments.photos), unit="photo", disable=None):
        rgb = read_rgb(path)
        raw, photo = reconstructor.demosaiced(rgb), rgb / np.float32(np.iinfo(rgb.dtype).max)
        neutral, profile = estimate_neutral(raw, rgb, camera), fit_photo_profile(raw, rgb, camera)
        exposure = 2 ** estimate_exposure(raw, rgb, neutral, camera)
        seen = CameraRaw(mosaic_full(raw), "RGGB", 0, 1)
        pictures = [develop(demosaic_raw(seen, neutral), neutral, camera.mean_colour_matrix, exposure)]
        if profile is None:
            log.warning(f"{path}: tells no profile; left out")
            continue
        for demosaiced in (demosaic_raw(seen, profile.neutral), raw):
            tones = (profile.neutral, profile.colour_matrix, None, profile.tone_curve)
            pictures.append(develop(demosaiced, *tones))
        rows[path.stem] = [psnr(picture, photo) for picture in pictures]
        reduced = downscale(photo, REDUCTION)
        rows[path.stem] += [psnr(downscale(picture, REDUCTION), reduced) for picture in pictures[:2]]
    rows["mean"] = np.mean(list(rows.values()), axis=0)
    lines = head(arguments.model, *COLUMNS)
    lines += [row(name, *(f"{value:.2f}" for value in values)) for name, values in rows.items()]
    publish(lines, arguments.out)


if __name__ == "__main__":
    main()
