"""Measurement of a camera on pairs of photo and RAW: global ISP, noise and JPEG of each. No torch here."""

import functools
import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin

from omf.calibration.noise import measure_noise
from omf.io.camera_raw import import_rawpy
from omf.io.decoding import DECODING_ERRORS, open_image
from omf.io.embedded import open_embedded_photo
from omf.io.exif import read_exif
from omf.raw.bayer import half_size_rgb, pack
from omf.raw.camera import Camera
from omf.raw.global_fit import KNOTS, Cells, GlobalFit, fit_global, mean_curve, select_cells
from omf.raw.isp import decode_srgb, encode_srgb
from omf.training.datasets import CameraPair, Pair, PairCheck, find_pairs
from omf.utils.console import progress
from omf.utils.errors import InputError, printable

MIN_RESIDUAL = 25  # dB; of real pairs 28 and more, of unrelated ones up to 38
ISO_TAG = 34855
CHROMA = ("4:4:4", "4:2:2", "4:2:0")  # by Pillow's number of the subsampling


@dataclass(frozen=True)
class Sensor:
    """Sensor of a RAW file, as far as the file tells."""

    cfa: str
    black_level: int  # counts
    white_level: int  # counts
    frame: tuple[int, int] | None  # height and width of a full image; None: the file may be a crop


@dataclass(frozen=True)
class PairFit:
    """Measurements of one pair; unknown ones are None."""

    name: str
    sensor: Sensor
    cells: Cells
    fit: GlobalFit
    noise: tuple[float, float] | None  # variances of shot and read noise, see isp.add_noise
    iso: int | None  # from the photo's EXIF
    quality: int | None  # the JPEG's
    subsampling: int | None  # the JPEG's, as in isp.compress_jpeg

    @property
    def exposure(self) -> float:
        """Linear sRGB green of the brightest hundredth of the RAW, before clipping at 1."""
        return self.cells.exposure * self.fit.gain


def fit_pairs(folder: Path, generic: Camera) -> tuple[list[PairFit], list[str]]:
    """Measure all pairs of a folder in one of the layouts of `omf.training.datasets`.

    Each pair is fitted twice: first with the generic prior, then with the means over the pairs in its place.

    Args:
        folder: folder of pairs; camera RAW and photo are registered, as by `convert_dataset`.
        generic: profile to follow in all that a pair leaves open.

    Returns:
        The measured pairs, and problems, one line each.

    Raises:
        InputError: the folder contains no pairs.
    """
    dataset = find_pairs(folder)
    if dataset.layout == "dng":
        import_rawpy()
    fits, problems, check = [], list(dataset.problems), PairCheck()
    prior = mean_curve(generic), generic.mean_colour_matrix
    for pair in progress(dataset.pairs, "measuring", unit="pair"):
        try:
            fits.append(measure_pair(pair, check, prior))
        except InputError as error:
            problems.append(str(error))
    check.check_white_level()
    closed = [fit for fit in fits if fit.fit.has_highlights]
    if closed:
        colours = [fit.fit.colour_matrix for fit in fits if fit.fit.has_colours]
        prior = average_curve(closed), np.mean(colours, axis=0) if colours else prior[1]
        fits = [replace(fit, fit=fit_global(fit.cells, *prior)) for fit in fits]
    return fits, problems


def measure_pair(pair: Pair | CameraPair, check: PairCheck, prior: tuple[np.ndarray, np.ndarray]) -> PairFit:
    """Measure a pair, fitted with a prior curve and matrix. Raises InputError if it cannot be measured."""
    if isinstance(pair, CameraPair):
        rgb, bayer, _, raw = pair.load()
        sensor = Sensor(raw.cfa, raw.black_level, raw.white_level, raw.mosaic.shape)
    else:
        (rgb, bayer), sensor = check.load(pair), Sensor("RGGB", 0, pair.white_level, None)
    file = pair.photo or pair.raw
    cells = select_cells(rgb, half_size_rgb(pack(bayer)))
    if cells is None:
        raise InputError(f"{file}: nearly all of it is dark or clipped; give another photo")
    fit = fit_global(cells, *prior)
    if fit.residual < MIN_RESIDUAL:
        raise InputError(
            f"{file}: no tone curve and colour matrix make its RAW of it"
            f" (residual {fit.residual:.1f} dB, at least {MIN_RESIDUAL} is needed); give another pair"
        )
    quality, subsampling = jpeg_settings(pair.photo, pair.raw)
    iso = read_exif(pair.photo).capture.get(ISO_TAG) if pair.photo else None
    iso = iso if isinstance(iso, int) and iso > 0 else None
    return PairFit(pair.name, sensor, cells, fit, measure_noise(rgb, bayer), iso, quality, subsampling)


def average_curve(fits: list[PairFit]) -> np.ndarray:
    """Return the median curve of the pairs, (19,), at each knot of those whose photos cover it."""
    curves = encode_srgb(np.array([fit.fit.curve for fit in fits]))
    covered = np.array([fit.fit.covers(KNOTS) for fit in fits])
    covered |= ~covered.any(axis=0)
    curve = np.array([np.median(curves[covered[:, knot], knot]) for knot in range(len(KNOTS))])
    curve = np.maximum.accumulate(decode_srgb(curve))
    return curve / curve[-1]


@functools.cache
def quality_tables() -> list[np.ndarray]:
    """Return libjpeg's luma quantisation tables, (64,), of the qualities 1 to 100."""
    tables = []
    for quality in range(1, 101):
        buffer = io.BytesIO()
        Image.new("L", (8, 8)).save(buffer, "JPEG", quality=quality)
        tables.append(np.array(Image.open(buffer).quantization[0]))
    return tables


def jpeg_settings(photo: Path | None, raw: Path) -> tuple[int | None, int | None]:
    """Return the quality and the chroma subsampling of a photo, None if it is not a JPEG in colour.

    Without a photo, they are those of the JPEG embedded in the RAW. The quality is the one whose libjpeg
    table is closest to the photo's; cameras have tables of their own.
    """
    try:
        with open_image(photo) if photo else open_embedded_photo(raw) as image:
            if not isinstance(image, JpegImagePlugin.JpegImageFile):
                return None, None
            luma = np.array(image.quantization[0])
            sampling = JpegImagePlugin.get_sampling(image)
    except (*DECODING_ERRORS, Image.UnidentifiedImageError):  # it has been read, by another way
        return None, None
    distances = [np.abs(np.log(table / luma)).sum() for table in quality_tables()]
    return int(np.argmin(distances)) + 1, sampling if sampling in range(len(CHROMA)) else None


def fit_line(fit: PairFit) -> str:
    """Return the measurements of a pair as one line."""
    model = fit.fit
    red, blue = model.neutral
    parts = [
        f"neutral R/G {red:.3f} B/G {blue:.3f}" + " (no greys)" * (not model.has_greys),
        f"gain {model.gain:.2f}" if model.has_highlights else "gain open (no highlights)",
        f"exposure {fit.exposure:.2f}" if model.has_highlights else "exposure open",
        "" if model.has_colours else "matrix open (few colours)",
        "noise open" if fit.noise is None else f"shot noise {fit.noise[0]:.1e}",
        f"ISO {fit.iso}" if fit.iso else "",
        f"JPEG {fit.quality}" if fit.quality else "",
        CHROMA[fit.subsampling] if fit.subsampling is not None else "",
        f"residual {model.residual:.1f} dB",
    ]
    return f"{printable(fit.name)}: {', '.join(part for part in parts if part)}"
