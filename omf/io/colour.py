"""Colours that a file describes without an ICC profile, as ICC profiles."""

import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import ExifTags, Image

D65_WHITE = (0.3127, 0.3290)
# Chromaticities of R, G, B, then white, by the numbers of ITU-T H.273, table 2
PRIMARIES = {
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, 0.310, 0.316),  # NTSC 1953
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *D65_WHITE),  # BT.2020
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),  # DCI P3
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *D65_WHITE),  # Display P3
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *D65_WHITE),  # EBU Tech 3213
}
SRGB_CHROMATICITIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *D65_WHITE)
SRGB_PRIMARIES = {1, 2, 5, 6, 7}  # BT.709, unspecified, and BT.601, which is close
# Gamma by the numbers of H.273, table 3; None: the sRGB curve, also for the curves of video, since players
# and browsers show video by it
GAMMAS = {1: None, 2: None, 6: None, 13: None, 14: None, 15: None, 4: 2.2, 5: 2.8, 8: 1.0}
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_COLOUR_CHUNKS = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32}  # sizes in bytes
PNG_UNIT = 100_000  # of gAMA and cHRM
SRGB_GAMMA = 0.45455  # gAMA of sRGB
ADOBE_RGB_1998 = 2  # of the EXIF tag ColorSpace, an extension; DCF has InteroperabilityIndex R03 instead


class UnsupportedColoursError(ValueError):
    """Colours that can't be converted to sRGB: their name."""


def profile_from_cicp(primaries: int, transfer: int, full_range: bool = True) -> bytes | None:
    """Return the ICC profile of code points of ITU-T H.273, or None for sRGB.

    Raises UnsupportedColoursError for HDR (PQ, HLG), and for code points that are not known.
    """
    if transfer in HDR_TRANSFERS:
        raise UnsupportedColoursError(
            f"HDR colours ({HDR_TRANSFERS[transfer]}: primaries {primaries}, transfer {transfer})"
        )
    if transfer not in GAMMAS or not (primaries in PRIMARIES or primaries in SRGB_PRIMARIES):
        raise UnsupportedColoursError(f"colours of primaries {primaries}, transfer {transfer}")
    if not full_range:
        raise UnsupportedColoursError("colours of the narrow range of video")
    gamma = GAMMAS[transfer]
    if primaries in SRGB_PRIMARIES and gamma is None:
        return None
    return gamma_profile(PRIMARIES.get(primaries, SRGB_CHROMATICITIES), gamma)


def gamma_profile(chromaticities: Sequence[float], gamma: float | None) -> bytes:
    """Return the ICC profile of an exponent, or of None for the sRGB curve; see `rgb_profile`."""
    if gamma is not None:
        return rgb_profile(chromaticities, gamma=gamma)
    stored = np.linspace(0, 1, 4096)
    curve = np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)
    return rgb_profile(chromaticities, np.tile(curve, (3, 1)))


def rgb_profile(
    chromaticities: Sequence[float], curves: np.ndarray | None = None, gamma: float | None = None
) -> bytes:
    """Return the ICC profile of x and y of R, G, B and white, with an exponent or curves to linear values.

    The curves are (3, N) in [0, 1]. Raises imagecodecs.CmsError if the chromaticities span no colours.
    """
    return imagecodecs.cms_profile(
        "rgb",
        whitepoint=(*chromaticities[6:], 1.0),
        primaries=tuple(chromaticities[:6]),
        gamma=gamma,
        transferfunction=None if curves is None else (curves * 65535).round().astype(np.uint16),
    )


def profile_from_png(chunks: Mapping[bytes, bytes]) -> bytes | None:
    """Return the ICC profile of a PNG file without an iCCP chunk, or None for sRGB.

    The priorities are those of the PNG specification, third edition: cICP, then sRGB, then gAMA and cHRM.
    Chunks with values that describe no colours are ignored, as broken ICC profiles are. Raises
    UnsupportedColoursError for HDR, and for unknown code points.
    """
    if code := chunks.get(b"cICP"):
        return profile_from_cicp(code[0], code[1], bool(code[3]))
    if b"sRGB" in chunks:
        return None
    gamma, chromaticities = None, SRGB_CHROMATICITIES
    if b"gAMA" in chunks:
        stored = struct.unpack(">I", chunks[b"gAMA"])[0] / PNG_UNIT
        gamma = 1 / stored if 0.05 < stored < 20 else None
    if b"cHRM" in chunks:
        values = [value / PNG_UNIT for value in struct.unpack(">8I", chunks[b"cHRM"])]
        chromaticities = (*values[2:], *values[:2])  # white comes first
    return profile_unless_srgb(chromaticities, gamma)


def profile_unless_srgb(chromaticities: Sequence[float], gamma: float | None) -> bytes | None:
    """Return the ICC profile of chromaticities and gamma, or None for sRGB and for impossible values."""
    like_srgb = np.allclose(chromaticities, SRGB_CHROMATICITIES, atol=2e-3)
    if like_srgb and (gamma is None or abs(1 / gamma - SRGB_GAMMA) < 2e-3):
        return None
    try:
        return gamma_profile(chromaticities, gamma)
    except (imagecodecs.CmsError, ValueError):
        return None


def profile_from_tiff(
    white: Sequence[float], primaries: Sequence[float], transfer: Sequence[float]
) -> bytes | None:
    """Return the ICC profile of a TIFF file, or None for sRGB.

    The numbers of WhitePoint, PrimaryChromaticities and TransferFunction are empty if the tag is absent; NaN
    for a quotient by zero.
    """
    chromaticities = list(SRGB_CHROMATICITIES)
    for part, values in ((slice(6, 8), white), (slice(0, 6), primaries)):
        if len(values) == len(chromaticities[part]) and np.isfinite(values).all():
            chromaticities[part] = values
    table = np.asarray(transfer, np.float64) / 65535
    # one table of 2**bits values, or three
    if table.size < 256 or (table.size % 3 and table.size & (table.size - 1)):
        return profile_unless_srgb(chromaticities, None)
    curves = table.reshape(3, -1) if table.size % 3 == 0 else np.tile(table, (3, 1))
    samples = np.linspace(0, curves.shape[1] - 1, 4096).round().astype(int)
    try:
        return rgb_profile(chromaticities, curves[:, samples])
    except (imagecodecs.CmsError, ValueError):
        return None


def profile_from_exif(exif: Image.Exif) -> bytes | None:
    """Return the ICC profile of Adobe RGB if the EXIF of a photo without a profile says so, else None."""
    index = ""
    try:
        space = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace)
        with suppress(KeyError):  # without this directory, Pillow before 13 raises it
            index = exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex, "")
    except Exception:  # damaged EXIF, for which Pillow raises anything
        return None
    index = index.decode("ascii", "replace") if isinstance(index, bytes) else str(index)
    if space == ADOBE_RGB_1998 or (space != 1 and index.strip("\0 ") == "R03"):
        return imagecodecs.cms_profile("adobergb")
    return None


def read_colour_chunks(path: Path) -> dict[bytes, bytes] | None:
    """Return the chunks of a PNG file that describe colours, except ICC profiles; None if it is cut short.

    Decoders allocate the declared length of a chunk, so that a damaged one takes gigabytes.
    """
    size, position, kind = path.stat().st_size, len(PNG_SIGNATURE), b""
    chunks: dict[bytes, bytes] = {}
    with path.open("rb") as file:
        while kind != b"IEND":
            file.seek(position)
            header = file.read(8)
            length, kind = struct.unpack(">I4s", header) if len(header) == 8 else (size, b"")
            position += 12 + length
            if position > size:
                return None
            if length == PNG_COLOUR_CHUNKS.get(kind):
                chunks.setdefault(kind, file.read(length))
    return chunks
