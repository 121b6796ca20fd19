"""Tags of DNG files that LibRaw reduces to fewer numbers: black levels, active area, CFA colours."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from omf.io.decoding import DECODING_ERRORS
from omf.io.tiff import has_empty_end, tag_numbers
from omf.raw.bayer import mosaic_full
from omf.raw.develop import ProfileTones

CFA, LINEAR_RAW = tifffile.PHOTOMETRIC.CFA, tifffile.PHOTOMETRIC.LINEAR_RAW
CFA_COLOURS = "RGBCMYW"  # codes of CFAPattern


@dataclass(frozen=True)
class DngTags:
    """Layout and levels of the RAW image in a DNG file, by the DNG specification 1.7.1."""

    size: tuple[int, int]  # height and width, pixels
    linear: bool  # three samples for each pixel, already demosaiced
    colours: str  # of the CFA, row by row, such as RGGB; empty in linear DNG
    area: tuple[int, int, int, int] | None  # top, left, bottom, right; None: all
    baseline_exposure: float | None  # stops
    # values of the EXIF tag LightSource, each with the matrix from XYZ to camera RGB, (3, 3), in that light
    colour_matrices: list[tuple[int, np.ndarray]]
    # white-balanced camera RGB to XYZ under D50, (3, 3), in the second light of two
    forward_matrix: np.ndarray | None
    tone_curve: ProfileTones | None  # of the profile in the file
    shot_noise: float | None  # of NoiseProfile, mean of the channels: variance of a signal of 1
    cut_short: bool  # parts of the image lie behind the end of the file, or zeros take the place of their end
    black: tuple[np.ndarray, np.ndarray, np.ndarray] | None  # see `black_level_map`; None: the same for all

    def black_level_map(self) -> np.ndarray | None:
        """Return the black level of each pixel of the area, float32 (H, W); None if it is the same for all.

        It is a pattern that repeats, (rows, columns, samples), and values to add for each column and row.
        """
        if self.black is None:
            return None
        top, left, bottom, right = self.area or (0, 0, *self.size)
        height, width = bottom - top, right - left
        levels, across, down = self.black
        rows, columns, samples = levels.shape
        black = np.tile(levels, (-(-height // rows), -(-width // columns), 1))[:height, :width]
        black = mosaic_full(black) if samples == 3 else black[..., 0]  # of linear DNG: as its samples
        return black + across.reshape(1, -1) + down.reshape(-1, 1)


def read_dng_tags(path: Path) -> DngTags | None:
    """Read the tags of the RAW image in a DNG file; None for other files, and for tags that can't be read."""
    try:
        with tifffile.TiffFile(path) as tiff:
            page = find_raw_image(tiff)
            return page and parse_tags(page, tiff.pages.first)
    except DECODING_ERRORS:
        return None


def find_raw_image(tiff: tifffile.TiffFile) -> tifffile.TiffPage | None:
    """Return the largest RAW image that is no preview of another."""
    pages = [page for top in tiff.pages for page in (top, *(top.pages or ()))]
    raw = [
        page
        for page in pages
        if page.photometric in (CFA, LINEAR_RAW) and not page.tags.valueof("NewSubfileType", 0) & 1
    ]
    return max(raw, key=lambda page: page.imagelength * page.imagewidth, default=None)


def parse_tags(page: tifffile.TiffPage, first: tifffile.TiffPage) -> DngTags:
    """Return the tags of a RAW image and of the first page. Raises ValueError if they are invalid."""
    area = tuple(map(int, numbers(page, "ActiveArea"))) or None
    height, width = page.imagelength, page.imagewidth
    top, left, bottom, right = area or (0, 0, height, width)
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise ValueError("ActiveArea lies outside of the image")
    ends = map(sum, zip(page.dataoffsets, page.databytecounts))
    exposure = numbers(first, "BaselineExposure")
    matrices = {number: numbers(first, f"ColorMatrix{number}") for number in (1, 2)}
    lights = {number: int((numbers(first, f"CalibrationIlluminant{number}") or [0])[0]) for number in (1, 2)}
    forward = numbers(first, "ForwardMatrix2") or numbers(first, "ForwardMatrix1")
    noise = numbers(page, "NoiseProfile") or numbers(first, "NoiseProfile")
    return DngTags(
        size=(height, width),
        linear=page.photometric == LINEAR_RAW,
        colours=parse_colours(page) if page.photometric == CFA else "",
        area=area,
        baseline_exposure=exposure[0] if exposure else None,
        colour_matrices=[
            (lights[number], np.reshape(matrix, (3, 3)))
            for number, matrix in matrices.items()
            if len(matrix) == 9
        ],
        forward_matrix=np.reshape(forward, (3, 3)) if len(forward) == 9 else None,
        tone_curve=parse_tone_curve(numbers(first, "ProfileToneCurve")),
        shot_noise=float(np.mean(noise[::2])) if noise else None,
        cut_short=any(end > page.parent.filehandle.size for end in ends) or has_empty_end(page),
        black=parse_black(page, bottom - top, right - left),
    )


def parse_colours(page: tifffile.TiffPage) -> str:
    """Return the colours of a CFA, of the codes in CFAPattern, or in CFAPlaneColor if they refer to it."""
    codes, planes = ([int(code) for code in numbers(page, tag)] for tag in ("CFAPattern", "CFAPlaneColor"))
    if any(code > 2 for code in planes) and all(code < len(planes) for code in codes):
        codes = [planes[code] for code in codes]
    return "".join(CFA_COLOURS[code] if code < len(CFA_COLOURS) else "?" for code in codes)


def parse_tone_curve(points: list[float]) -> ProfileTones | None:
    """Return the curve of ProfileToneCurve; None if there is none, or it does not rise from 0 to 1."""
    if len(points) < 4 or len(points) % 2:
        return None
    before, after = np.reshape(points, (-1, 2)).T
    valid = np.isfinite(points).all() and (np.diff(before) > 0).all() and (np.diff(after) >= 0).all()
    ends = (before[0], after[0], before[-1], after[-1])
    return ProfileTones(before, after) if valid and np.allclose(ends, (0, 0, 1, 1), atol=1e-6) else None


def parse_black(
    page: tifffile.TiffPage, height: int, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return the pattern of black levels and what columns and rows add to it; None if all are equal.

    Raises ValueError for another number of values than the area of height x width pixels has.
    """
    repeat = [int(value) for value in numbers(page, "BlackLevelRepeatDim")] or [1, 1]
    levels = np.asarray(numbers(page, "BlackLevel") or (0,), np.float32)
    deltas = ("BlackLevelDeltaH", "BlackLevelDeltaV")
    across, down = (np.asarray(numbers(page, tag) or (0,), np.float32) for tag in deltas)
    if (levels == levels[0]).all() and not across.any() and not down.any():
        return None
    if page.dtype is not None and page.dtype.kind == "f":  # LibRaw scales samples and levels to counts
        return None
    levels = levels.reshape(*repeat, -1)
    if across.size not in (1, width) or down.size not in (1, height) or levels.shape[2] not in (1, 3):
        raise ValueError("black levels do not fit the image")
    return levels, across, down


def numbers(page: tifffile.TiffPage, tag: str) -> list[float]:
    """Return the numbers of a tag; empty if it is absent. A quotient by zero is 0."""
    return [0.0 if math.isnan(value) else value for value in tag_numbers(page, tag)]
