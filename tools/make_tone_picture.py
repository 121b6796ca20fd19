"""Draw docs/dng_tones.jpg: a photograph, and its DNG in RawTherapee without and with the photo's profile.

Needs rawtherapee-cli. The photograph is that of Rachel Michetti, CC0, as in scikit-image.
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
from pictures import draw_sheet
from PIL import Image
from skimage import data

import omf
from omf.evaluation.metrics import psnr
from omf.utils.errors import cli_entry_point

MODEL = "samsung_s7"
PANEL = (400, 267)  # width and height, pixels
SETTINGS = """[Version]
AppVersion=5.9
Version=346
[Color Management]
InputProfile={}
ToneCurve=true
OutputProfile=RTv4_sRGB
"""


def render(dng: Path, profile: str) -> np.ndarray:
    """Return what RawTherapee makes of a DNG with an input profile."""
    settings, out = dng.with_suffix(".pp3"), dng.with_suffix(".png")
    settings.write_text(SETTINGS.format(profile))
    command = ["rawtherapee-cli", "-q", "-o", out, "-n", "-b8", "-Y", "-p", settings, "-c", dng]
    subprocess.run(command, check=True, capture_output=True)
    return np.asarray(Image.open(out))


@cli_entry_point
def main() -> None:
    rgb = data.coffee()
    with tempfile.TemporaryDirectory() as folder:
        dng = Path(folder) / "photo.dng"
        raw = omf.Reconstructor(MODEL, device="cpu").demosaiced(rgb)
        omf.write_dng(raw, dng, photo=rgb)
        panels = {
            "photo": rgb,
            "RawTherapee, camera's colours": render(dng, "(camera)"),
            "RawTherapee, the DNG as input profile": render(dng, f"file:{dng}"),
        }
    for title, panel in list(panels.items())[1:]:
        border = (rgb.shape[0] - panel.shape[0]) // 2  # which RawTherapee leaves out
        shown = rgb[border : rgb.shape[0] - border, border : rgb.shape[1] - border]
        print(f"{title}: {psnr(panel / 255, shown / 255):.1f} dB")
    draw_sheet("dng_tones.jpg", list(panels), [list(panels.values())], PANEL)


if __name__ == "__main__":
    main()
