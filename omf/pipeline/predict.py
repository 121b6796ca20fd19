"""Reconstruction of photos in one process, without a workflow."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from omf.inference.base import Method, Picture
from omf.io.photos import map_by_name
from omf.pipeline.preprocess import decode
from omf.pipeline.stream import stream
from omf.utils.console import log, progress
from omf.utils.files import save_npy


def predict(
    photos: Iterable[Path],
    out: Path,
    method: Method,
    writer: Callable[[dict[str, Path]], Callable[[str, np.ndarray], None]] | None = None,
    neutral: tuple[float, float] | None = None,
    exposure: float = 1.0,
) -> list[str]:
    """Reconstruct photos in one process: photos -> `out`/NAME.npy, in the challenge's format.

    Args:
        photos: sRGB photo files.
        out: folder for the RAW files.
        method: reconstruction method.
        writer: factory that takes {name: photo} and returns a function that writes demosaiced RAW in another
            format, see `omf.io.raw_formats.Writer`.
        neutral: R/G and B/G of a grey in the RAW of all photos, if they are known.
        exposure: factor on the RAW that the method would predict.

    Returns:
        One line for each photo that could not be used.
    """
    named, problems = map_by_name(photos)
    submit, write = method.packed, lambda name, raw: save_npy(out / f"{name}.npy", raw)
    if writer:
        submit, write = method.demosaiced, writer(named)

    def read(name: str) -> Picture:
        return decode(named[name])._replace(neutral=neutral, exposure=exposure)

    steps = stream(named, read, submit, write, method.pixels_per_batch)
    for name, problem in progress(steps, total=len(named), unit="image"):
        log.debug(f"{named[name]}: {'not used' if problem else 'done'}")
        if problem:
            problems.append(str(problem))
    return problems
