"""Plots of a calibration: tone curves, neutrals, gains and residuals of the pairs. No torch here."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from omf.calibration.calibrate import PairFit
from omf.raw.camera import Camera
from omf.raw.global_fit import KNOTS, mean_rendering
from omf.utils.files import atomic_write


def draw_calibration(fits: Sequence[PairFit], camera: Camera, out: Path) -> None:
    """Plot measured pairs, one or more, and the profile `camera` made from them as a PNG file."""
    from matplotlib.figure import Figure  # imported late, as it takes a second

    from omf.report.plots import BLUE, GREEN, MAIN, ORANGE

    figure = Figure(figsize=(10, 7), layout="constrained")
    figure.suptitle(f"{camera.name}: {len(fits)} pairs")
    tones, neutrals, gains, residuals = figure.subplots(2, 2).ravel()
    for axes in (tones, neutrals, gains, residuals):
        axes.spines[["top", "right"]].set_visible(False)

    for fit in fits:
        shown = fit.fit.covers(KNOTS)
        tones.plot(fit.fit.curve[shown], KNOTS[shown], color=MAIN, alpha=0.3, linewidth=1)
    tones.plot(*mean_rendering(camera, 257), color=ORANGE, linewidth=2, label="profile")
    tones.plot([], [], color=MAIN, label="pairs, where they have pixels")
    tones.set(xlabel="linear", ylabel="photo, sRGB")
    tones.legend(frameon=False, loc="lower right")

    points = np.array([fit.fit.neutral for fit in fits])
    neutrals.scatter(*points.T, s=25, color=MAIN, alpha=0.7, linewidths=0, label="pairs")
    neutrals.scatter(*camera.neutrals.T, s=40, color=ORANGE, marker="x", label="profile")
    neutrals.set(xlabel="RAW of a grey, R/G", ylabel="RAW of a grey, B/G")
    neutrals.legend(frameon=False)

    bright = [fit for fit in fits if fit.fit.has_highlights]
    if bright:
        for values, colour, label in (
            ([fit.fit.gain for fit in bright], BLUE, "gain"),
            ([fit.exposure for fit in bright], GREEN, "exposure"),
        ):
            bins = np.linspace(min(values) - 0.05, max(values) + 0.05, 12)
            gains.hist(values, bins=bins, color=colour, alpha=0.6, label=label)
        gains.legend(frameon=False)
    gains.set(xlabel="gain, exposure", ylabel="pairs with highlights")
    gains.yaxis.get_major_locator().set_params(integer=True)

    residuals.bar(range(1, len(fits) + 1), [fit.fit.residual for fit in fits], color=MAIN)
    residuals.set(xlabel="pair", ylabel="PSNR of the global model, dB")
    residuals.xaxis.get_major_locator().set_params(integer=True)
    with atomic_write(out) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
