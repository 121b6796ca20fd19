"""Write sensor RAW as DNG (Adobe Digital Negative), the format that RAW developers open.

The file follows the DNG specification 1.4: IFD 0 contains the JPEG preview and the camera and colour tags,
its SubIFD the mosaic. tifffile writes both. It cannot write the Exif and GPS IFDs, which are appended.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from omf.io.exif import CAPTURE_TAGS, EXIF_IFD, GPS_IFD, GPS_TAGS, Exif, encode_ifd
from omf.raw.camera import LIGHT_SOURCES, Camera
from omf.raw.camera_colours import SRGB_TO_XYZ_D50, calibrations
from omf.utils.console import log
from omf.utils.errors import InputError
from omf.utils.files import atomic_write
from omf.utils.version import VERSION

if TYPE_CHECKING:
    from omf.raw.photo_profile import PhotoProfile

MAX_FILE_BYTES = 2**32 - 2**20  # of mosaic and preview: offsets have 32 bits, and the tags need some space
MIN_DNG_SIDE, MAX_DNG_SIDE = 21, 65_499  # pixels, of images that LibRaw opens
MAX_PREVIEW_SIDE = 1024  # pixels, longer side of the preview
DNG_TILE = 256  # pixels per side: 128 KiB
SUB_IFDS, LONG, IFD = 330, 4, 13  # a TIFF tag and two TIFF types
RATIONAL_DENOMINATOR = 1_000_000

Tag = tuple[str, str, int, object]  # name, type, number of values, values


def save_dng(
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
    profile: "PhotoProfile | None" = None,
    noise: tuple[float, float] | None = None,
    exif: Exif | None = None,
    baseline_exposure: float = 0.0,
    original_name: str = "",
    compressed: bool = True,
    synced: bool = True,
    own: bool = False,
) -> None:
    """Write a mosaic as a DNG file, atomically. Raises InputError if it would exceed 4 GiB.

    The mosaic keeps its size, even an odd one: ActiveArea and the default crop cover all of it. Compression
    roughly halves the file size. A compressed mosaic consists of tiles of lossless JPEG (ITU-T T.81, process
    14; compression 7 in DNG), encoded as two components of half the width, so that each sample is predicted
    from one of the same colour.

    UniqueCameraModel names no real camera, so that developers do not apply a real camera's profile. Make and
    Model are copied from the photo. So is DateTime, so that the same photo gives the same bytes.

    Args:
        path: output file.
        counts: mosaic, uint16 (H, W).
        preview: sRGB, uint8 or uint16 (h, w, 3), in the orientation of `counts`; stored as JPEG of up to 1024
            pixels on the longer side.
        cfa: CFA order, one of `CFA_ORIGINS`.
        black_level: counts for 0.0.
        white_level: counts for 1.0.
        neutral: RAW of a neutral grey, (3,), green at 1; see `omf.raw.white_balance.estimate_neutral`.
        camera: camera of the RAW; None stands for sRGB primaries.
        model: name of the model that reconstructed the RAW.
        profile: profile of the photo, whose tones and colours developers then show; None: none.
        noise: shot and read noise, see `isp.add_noise`; None if unknown.
        exif: EXIF of the photo; None to write none.
        baseline_exposure: stops by which a developer should brighten the RAW at its neutral setting.
        original_name: file name of the photo; empty to write none.
        compressed: False for uncompressed samples, as of all mosaics narrower than a tile (256 pixels).
        synced, own: see `omf.utils.files.atomic_write`.
    """
    preview, (height, width) = shrink_preview(preview), counts.shape
    if counts.nbytes + preview.nbytes > MAX_FILE_BYTES:
        raise InputError(
            f"{path}: {width} x {height} pixels take more than 4 GiB, the limit of DNG;"
            " write .npy, or split the photo into smaller ones"
        )
    if not all(MIN_DNG_SIDE <= side <= MAX_DNG_SIDE for side in counts.shape):
        log.warning(
            f"{path}: {width} x {height} pixels; RAW developers open DNG files"
            f" of {MIN_DNG_SIDE} to {MAX_DNG_SIDE} pixels per side"
        )
    exif = exif or Exif()
    # LibRaw and dcraw misread a tile that is wider than the image
    tiled = compressed and width >= DNG_TILE
    tiling = {"compression": "jpeg", "bitspersample": 16, "tile": (DNG_TILE, DNG_TILE)} if tiled else {}
    name = "unknown" if camera is None else camera.name
    with atomic_write(path, synced, own) as temporary:
        with tifffile.TiffWriter(temporary, bigtiff=False, byteorder="<") as tiff:
            tiff.write(
                preview,
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 90},
                rowsperstrip=len(preview),
                subfiletype=1,  # reduced-resolution image
                subifds=1,
                software=ascii_only(f"overexposure-mask-fusion {VERSION}, model {model}"),
                datetime=exif.date or None,
                metadata=None,
                extratags=[
                    *colour_tags(camera, neutral, profile),
                    *origin_tags(exif, name, original_name),
                    rationals("BaselineExposure", np.array([baseline_exposure])),
                ],
            )
            tiff.write(
                encode_tiles(counts) if tiled else counts,
                shape=counts.shape,
                dtype=counts.dtype,
                photometric="cfa",
                subfiletype=0,
                software=False,
                metadata=None,
                extratags=mosaic_tags(counts.shape, cfa, black_level, white_level, noise),
                **tiling,
            )
        with temporary.open("r+b") as file:
            # not every reader knows the type IFD
            replace_bytes(file, struct.pack("<HHI", SUB_IFDS, IFD, 1), struct.pack("<HHI", SUB_IFDS, LONG, 1))
            append_ifd(file, EXIF_IFD, exif.capture, CAPTURE_TAGS)
            if exif.gps:
                append_ifd(file, GPS_IFD, exif.gps, GPS_TAGS)


def shrink_preview(rgb: np.ndarray) -> np.ndarray:
    """Shrink sRGB, uint8 or uint16 (H, W, 3), to uint8 (h, w, 3) of up to 1024 pixels on the longer side."""
    preview = Image.fromarray(rgb if rgb.dtype == np.uint8 else (rgb >> 8).astype(np.uint8))
    preview.thumbnail((MAX_PREVIEW_SIDE, MAX_PREVIEW_SIDE))
    return np.asarray(preview)


def encode_tiles(counts: np.ndarray) -> Iterator[bytes]:
    """Encode a mosaic as tiles of lossless JPEG, row by row, replicating the right and lower edges."""
    for top in range(0, counts.shape[0], DNG_TILE):
        for left in range(0, counts.shape[1], DNG_TILE):
            tile = counts[top : top + DNG_TILE, left : left + DNG_TILE]
            tile = np.pad(tile, [(0, DNG_TILE - size) for size in tile.shape], mode="edge")
            # every reader supports predictor 1, the sample on the left
            yield imagecodecs.jpeg8_encode(
                tile.reshape(DNG_TILE, DNG_TILE // 2, 2), lossless=True, predictor=1, bitspersample=16
            )


def colour_tags(
    camera: Camera | None, neutral: np.ndarray, profile: "PhotoProfile | None" = None
) -> list[Tag]:
    """Return the tags for converting RAW to colours (DNG specification, chapter 6).

    ForwardMatrix converts white-balanced camera RGB to XYZ under D50. It is P inverse(C), where C converts
    linear sRGB to white-balanced camera RGB, and P converts linear sRGB to XYZ under D50: the inverse of the
    simulator. C is that of the photo's profile, or the mean of the camera's `colour_matrices`. The arguments
    are those of `save_dng`.
    """
    from_srgb = np.eye(3) if camera is None else camera.mean_colour_matrix
    if profile:
        from_srgb = profile.colour_matrix
    forward = SRGB_TO_XYZ_D50 @ np.linalg.inv(from_srgb)
    tags = [rationals("AsShotNeutral", neutral, signed=False)]
    for number, (light, matrix) in enumerate(calibrations(camera), 1):
        tags += [
            rationals(f"ColorMatrix{number}", matrix),
            rationals(f"ForwardMatrix{number}", forward),
            (f"CalibrationIlluminant{number}", "H", 1, LIGHT_SOURCES[light][0]),
        ]
    if profile:
        points = np.stack(profile.tone_curve, axis=1).ravel()
        tags += [
            ("ProfileName", "s", 0, "Photo"),
            ("ProfileToneCurve", "f", points.size, points.astype(np.float32).tolist()),
            ("ProfileEmbedPolicy", "I", 1, 0),  # may be copied
        ]
    return tags


def origin_tags(exif: Exif, name: str, original_name: str) -> list[Tag]:
    """Return the tags of photo and camera, with placeholders for the offsets of the appended IFDs."""
    original = original_name.encode("utf-8", "replace") + b"\0"
    return [
        ("Make", "s", 0, ascii_only(exif.make or "Overexposure Mask Fusion")),
        ("Model", "s", 0, ascii_only(exif.model or name)),
        ("Orientation", "H", 1, exif.orientation),
        ("DNGVersion", "B", 4, bytes([1, 4, 0, 0])),
        ("DNGBackwardVersion", "B", 4, bytes([1, 2, 0, 0])),  # PreviewColorSpace needs 1.2
        ("UniqueCameraModel", "s", 0, ascii_only(f"Overexposure Mask Fusion {name}")),
        ("PreviewColorSpace", "I", 1, 2),  # sRGB
        *([("OriginalRawFileName", "B", len(original), original)] if original_name else []),
        *((tag, "I", 1, 0) for tag in (["ExifTag", "GPSTag"] if exif.gps else ["ExifTag"])),
    ]


def mosaic_tags(
    shape: tuple[int, int], cfa: str, black_level: int, white_level: int, noise: tuple[float, float] | None
) -> list[Tag]:
    """Return the tags for converting counts to linear values of each colour."""
    height, width = shape
    tags = [
        ("CFARepeatPatternDim", "H", 2, (2, 2)),
        ("CFAPattern", "B", 4, bytes(map("RGB".index, cfa))),  # 0 red, 1 green, 2 blue
        ("CFAPlaneColor", "B", 3, bytes([0, 1, 2])),
        ("CFALayout", "H", 1, 1),  # rectangular
        ("BlackLevelRepeatDim", "H", 2, (2, 2)),
        ("BlackLevel", "H", 4, (black_level,) * 4),
        ("WhiteLevel", "I", 1, white_level),
        ("DefaultCropOrigin", "I", 2, (0, 0)),
        ("DefaultCropSize", "I", 2, (width, height)),
        ("ActiveArea", "I", 4, (0, 0, height, width)),
    ]
    return tags if noise is None else [*tags, ("NoiseProfile", "d", 2, noise)]


def rationals(name: str, values: np.ndarray, signed: bool = True) -> Tag:
    """Return a tag of rationals with six decimals."""
    parts = [
        part
        for value in np.rint(values.ravel() * RATIONAL_DENOMINATOR).astype(int).tolist()
        for part in (value, RATIONAL_DENOMINATOR)
    ]
    return name, "2i" if signed else "2I", values.size, parts


def ascii_only(text: str) -> str:
    """Replace characters outside ASCII, which TIFF text excludes, by question marks."""
    return text.encode("ascii", "replace").decode()


def append_ifd(file: BinaryIO, tag: int, values: dict, known: dict) -> None:
    """Append an IFD of values to a TIFF file, and write its offset to the placeholder of `tag` in IFD 0."""
    offset = file.seek(0, os.SEEK_END)
    offset += offset % 2  # IFDs begin at even offsets
    file.seek(offset)
    file.write(encode_ifd(values, known, offset))
    replace_bytes(file, struct.pack("<HHII", tag, LONG, 1, 0), struct.pack("<HHII", tag, LONG, 1, offset))


def replace_bytes(file: BinaryIO, old: bytes, new: bytes) -> None:
    """Replace the first occurrence of `old` in the first 4096 bytes of a file, which contain IFD 0."""
    file.seek(0)
    position = file.read(4096).index(old)
    file.seek(position)
    file.write(new)
