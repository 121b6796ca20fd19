"""Noise of a sensor, measured on mosaics without photos.

    python benchmarks/noise.py MOSAICS... --black 64 --white 1023 --camera huawei_p20 \\
        --out benchmarks/noise.md

MOSAICS are .npz files with `packed`, uint16 (H/2, W/2, 4), RGGB. The noise of both green planes is measured
where red and blue, whose noise is independent of it, are even; see `omf.calibration.noise.fit_noise`. Shot
noise grows with the ISO, which a mosaic does not tell: the table gives the ISO at which the profile has the
measured one, and the read noise that it has there, with that of rounding to counts.
"""

from pathlib import Path

import numpy as np
from reporting import head, make_parser, publish

from omf.calibration.noise import fit_noise
from omf.raw.camera import load_camera
from omf.utils.errors import cli_entry_point


@cli_entry_point
def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("mosaics", nargs="+", type=Path)
    parser.add_argument("--black", type=int, required=True, help="black level, counts")
    parser.add_argument("--white", type=int, required=True, help="white level, counts")
    parser.add_argument("--camera", required=True, help="profile to compare with")
    arguments = parser.parse_args()
    camera = load_camera(arguments.camera)
    columns = ("brightness", "shot noise", "ISO of that in the profile", "read noise", "of the profile")
    lines = head("Mosaic", *columns)
    rounding = 1 / 12 / (arguments.white - arguments.black) ** 2
    for path in arguments.mosaics:
        with np.load(path) as archive:
            counts = archive["packed"].astype(np.float32)
        planes = (counts - arguments.black) / (arguments.white - arguments.black)
        noise = fit_noise(planes[..., 1:3], planes[..., 0] + planes[..., 3])
        if noise is None:
            lines.append(f"| {path.stem} | {planes.mean():.3f} | not told | | | |")
            continue
        shot, read = noise
        iso, profile = shot / camera.shot_noise, camera.read_noise(shot) + rounding
        lines.append(
            f"| {path.stem} | {planes.mean():.3f} | {shot:.2e} | {iso:.0f} | {read:.1e} | {profile:.1e} |"
        )
    publish(lines, arguments.out)


if __name__ == "__main__":
    main()
