"""Sensor RAW as DNG, Adobe's Digital Negative, which RAW developers open.

The file follows the DNG specification 1.4: IFD 0 holds the JPEG preview and what is said of the camera and the colours,
its SubIFD the mosaic. tifffile writes both; the Exif and GPS IFDs, which it can't, are added behind.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from omf.io.exif import EXIF_IFD, GPS_IFD, PLACE, TAKEN, Exif, directory
from omf.raw.bayer import CFA_ORIGINS
from omf.raw.camera import Camera
from omf.utils.errors import InputError
from omf.utils.files import atomic_write
from omf.utils.version import VERSION

# linear sRGB to XYZ: IEC 61966-2-1, and the same adapted to D50 (Bradford), from brucelindbloom.com
SRGB_TO_XYZ_D65 = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
SRGB_TO_XYZ_D50 = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
D65 = 21  # EXIF's number of the light

MAX_FILE_BYTES = 2**32 - 2**20  # bytes of pictures: offsets have 32 bits, and the tags need some room
PREVIEW = 1024  # pixels, the preview's longer side at most
DNG_TILE = 256  # pixels a side: 128 KiB
SUB_IFDS, LONG, IFD = 330, 4, 13  # a tag and two types of TIFF
RATIONAL_DENOMINATOR = 1_000_000  # denominator of rationals

Tag = tuple[int | str, str, int, object, bool]


def write_dng(
    path: Path,
    counts: np.ndarray,
    preview: np.ndarray,
    *,
    cfa: str,
    black_level: int,
    white_level: int,
    neutral: np.ndarray,
    camera: Camera | None,
    model: str,
    noise: tuple[float, float] | None = None,
    exif: Exif | None = None,
    compressed: bool = True,
) -> None:
    """Write a mosaic as DNG, whole or not at all.

    The mosaic keeps its size, an odd one too: all of it is ActiveArea and default crop. Compressed, it takes about
    half the room: tiles of lossless JPEG (ITU-T T.81, process 14), encoded as two components of half the width, so that
    each sample is predicted from the same colour; what DNG calls compression 7. The preview is an sRGB JPEG.

    UniqueCameraModel is no real camera's, so that no developer takes a real camera's profile; Make and Model are those of
    the photo. DateTime is the photo's, so that the same photo gives the same bytes.

    Args:
        path: of the file.
        counts: uint16 (H, W).
        preview: sRGB, uint8 (h, w, 3), in the orientation of `counts`; see `preview_of`.
        cfa: the order of the colours, one of `CFA_ORIGINS`.
        black_level: counts.
        white_level: counts.
        neutral: (3,), the RAW of a neutral grey, green at 1; see `omf.raw.white_balance.estimate_neutral`.
        camera: whose RAW it is; None: its primaries are sRGB's.
        model: name of what reconstructed it.
        noise: shot and read noise, see `isp.add_noise`; None: not known.
        exif: what to say of the photo; None: nothing.
        compressed: lossless JPEG; otherwise, and where the mosaic is narrower than a tile (256 pixels), the plain samples.

    Raises:
        InputError: it would take more than 4 GiB.
    """
    if counts.nbytes + preview.nbytes > MAX_FILE_BYTES:
        height, width = counts.shape
        raise InputError(
            f"{path}: {width} x {height} pixels take more than 4 GiB, which DNG can't hold; write .npy, or cut the picture up"
        )
    exif = exif or Exif()
    tiled = (
        compressed and counts.shape[1] >= DNG_TILE
    )  # LibRaw and dcraw misread a tile that is wider than the picture
    name = "unknown" if camera is None else camera.name
    with atomic_write(path) as temporary:
        with tifffile.TiffWriter(temporary, bigtiff=False, byteorder="<") as tiff:
            tiff.write(
                preview,
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 90},
                rowsperstrip=len(preview),
                subfiletype=1,  # a smaller picture than the main one
                subifds=1,
                software=ascii_only(f"overexposure-mask-fusion {VERSION}, model {model}"),
                datetime=exif.date or None,
                metadata=None,
                extratags=colour_tags(camera, neutral) + origin_tags(exif, name),
            )
            tiff.write(
                tile_bytes(counts) if tiled else counts,
                shape=counts.shape,
                dtype=counts.dtype,
                photometric="cfa",
                subfiletype=0,
                software=False,
                metadata=None,
                extratags=mosaic_tags(counts.shape, cfa, black_level, white_level, noise),
                **(
                    {"compression": "jpeg", "bitspersample": 16, "tile": (DNG_TILE, DNG_TILE)}
                    if tiled
                    else {}
                ),
            )
        with temporary.open("r+b") as file:
            patch(
                file, struct.pack("<HHI", SUB_IFDS, IFD, 1), struct.pack("<HHI", SUB_IFDS, LONG, 1)
            )  # as all readers know it
            add_directory(file, EXIF_IFD, exif.taken, TAKEN)
            if exif.place:
                add_directory(file, GPS_IFD, exif.place, PLACE)


def preview_of(rgb: np.ndarray) -> np.ndarray:
    """A photo, sRGB, uint8 or uint16 (H, W, 3), as a preview: uint8 (h, w, 3), the longer side 1024 pixels at most."""
    picture = Image.fromarray(rgb if rgb.dtype == np.uint8 else (rgb >> 8).astype(np.uint8))
    picture.thumbnail((PREVIEW, PREVIEW))
    return np.asarray(picture)


def tile_bytes(counts: np.ndarray) -> Iterator[bytes]:
    """The tiles of a mosaic, by rows, each as lossless JPEG; beyond the right and the lower edge it is repeated."""
    for top in range(0, counts.shape[0], DNG_TILE):
        for left in range(0, counts.shape[1], DNG_TILE):
            tile = counts[top : top + DNG_TILE, left : left + DNG_TILE]
            tile = np.pad(tile, [(0, DNG_TILE - size) for size in tile.shape], mode="edge")
            # predictor 1, the sample on the left, is the one that every reader knows
            yield imagecodecs.jpeg8_encode(
                tile.reshape(DNG_TILE, DNG_TILE // 2, 2), lossless=True, predictor=1, bitspersample=16
            )


def colour_tags(camera: Camera | None, neutral: np.ndarray) -> list[Tag]:
    """What says how the RAW becomes colours; see `colour_matrices`."""
    from_xyz, forward = colour_matrices(camera)
    return [
        rationals(50728, neutral, signed=False),  # AsShotNeutral
        rationals(50721, from_xyz),  # ColorMatrix1
        rationals(50964, forward),  # ForwardMatrix1
        (50778, "H", 1, D65, True),  # CalibrationIlluminant1
    ]


def colour_matrices(camera: Camera | None) -> tuple[np.ndarray, np.ndarray]:
    """DNG's two matrices of a camera (DNG specification, chapter 6), both float64 (3, 3).

    C, the mean of the profile's `colour_matrices`, takes linear sRGB to balanced camera RGB. So ForwardMatrix, balanced
    camera RGB to XYZ under D50, is P inverse(C), where P is linear sRGB to XYZ under D50: the inverse of what the simulator
    does. ColorMatrix, XYZ to unbalanced camera RGB, is diag(n) C inverse(Q), where Q is linear sRGB to XYZ under D65
    and n the camera's usual neutral, which so counts as the camera's grey under D65. The row scale n matters for the
    colour temperature that a developer shows, hardly for the picture. One pair of matrices for all lights: no profile
    knows more.

    Returns:
        ColorMatrix1 and ForwardMatrix1.
    """
    if camera is None:
        colours, neutral = np.eye(3), np.ones(3)
    else:
        colours, neutral = camera.colour_matrices.mean(axis=0), camera.mean_neutral
    return np.diag(neutral) @ colours @ np.linalg.inv(SRGB_TO_XYZ_D65), SRGB_TO_XYZ_D50 @ np.linalg.inv(
        colours
    )


def origin_tags(exif: Exif, name: str) -> list[Tag]:
    """What the picture is, and room for the offsets of the IFDs that come later."""
    room = ["ExifTag", "GPSTag"] if exif.place else ["ExifTag"]  # by name, tifffile lets them pass
    return [
        (271, "s", 0, ascii_only(exif.make or "Overexposure Mask Fusion"), True),  # Make
        (272, "s", 0, ascii_only(exif.model or name), True),  # Model
        (274, "H", 1, exif.orientation, True),  # Orientation
        (50706, "B", 4, bytes([1, 4, 0, 0]), True),  # DNGVersion
        (50707, "B", 4, bytes([1, 2, 0, 0]), True),  # DNGBackwardVersion: PreviewColorSpace needs 1.2
        (50708, "s", 0, ascii_only(f"Overexposure Mask Fusion {name}"), True),  # UniqueCameraModel
        (50970, "I", 1, 2, True),  # PreviewColorSpace: sRGB
        *((tag, "I", 1, 0, True) for tag in room),
    ]


def mosaic_tags(
    shape: tuple[int, int], cfa: str, black_level: int, white_level: int, noise: tuple[float, float] | None
) -> list[Tag]:
    """What says how the counts become linear values of a colour."""
    height, width = shape
    row, column = CFA_ORIGINS[cfa]
    pattern = np.array([[1, 1], [1, 1]])
    pattern[row, column], pattern[1 - row, 1 - column] = 0, 2
    tags = [
        (33421, "H", 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, "B", 4, bytes(pattern.ravel().tolist()), True),  # CFAPattern: 0 red, 1 green, 2 blue
        (50710, "B", 3, bytes([0, 1, 2]), True),  # CFAPlaneColor
        (50711, "H", 1, 1, True),  # CFALayout: rectangular
        (50713, "H", 2, (2, 2), True),  # BlackLevelRepeatDim
        (50714, "H", 4, (black_level,) * 4, True),  # BlackLevel
        (50717, "I", 1, white_level, True),  # WhiteLevel
        (50719, "I", 2, (0, 0), True),  # DefaultCropOrigin
        (50720, "I", 2, (width, height), True),  # DefaultCropSize
        (50829, "I", 4, (0, 0, height, width), True),  # ActiveArea
    ]
    return tags if noise is None else [*tags, (51041, "d", 2, noise, True)]  # NoiseProfile


def rationals(code: int, values: np.ndarray, signed: bool = True) -> Tag:
    parts = [
        part
        for value in np.rint(values.ravel() * RATIONAL_DENOMINATOR).astype(int).tolist()
        for part in (value, RATIONAL_DENOMINATOR)
    ]
    return code, "2i" if signed else "2I", values.size, parts, True


def ascii_only(text: str) -> str:
    """As TIFF's texts have to be; other letters become question marks."""
    return text.encode("ascii", "replace").decode()


def add_directory(file: BinaryIO, tag: int, values: dict, known: dict) -> None:
    """Put an IFD behind all else, and its offset into the room that `origin_tags` left in IFD 0."""
    offset = file.seek(0, os.SEEK_END)
    offset += offset % 2  # IFDs begin at even offsets
    file.seek(offset)
    file.write(directory(values, known, offset))
    patch(file, struct.pack("<HHII", tag, LONG, 1, 0), struct.pack("<HHII", tag, LONG, 1, offset))


def patch(file: BinaryIO, old: bytes, new: bytes) -> None:
    """Replace what is found once, near the beginning of a file where IFD 0 lies."""
    file.seek(0)
    place = file.read(4096).index(old)
    file.seek(place)
    file.write(new)
