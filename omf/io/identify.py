"""Identify pictures by their content."""

from pathlib import Path

SIGNATURES = {  # format: the bytes at the beginning of its files
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "GIF": (b"GIF87a", b"GIF89a"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    "OpenEXR": (b"\x76\x2f\x31\x01",),
    "Radiance HDR": (b"#?RADIANCE", b"#?RGBE"),
    "Photoshop": (b"8BPS",),
    "QOI": (b"qoif",),
    "DDS": (b"DDS ",),
    "Farbfeld": (b"farbfeld",),
    "EPS": (b"%!PS", b"\xc5\xd0\xd3\xc6"),
    "SGI": (b"\x01\xda\0", b"\x01\xda\x01"),
    "Sun raster": (b"\x59\xa6\x6a\x95",),
    "FITS": (b"SIMPLE  =",),
}
NETPBM = {f"P{kind}".encode() for kind in (*range(1, 7), "F", "f")}  # then whitespace and a number
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
# Formats without a signature, or with a text as the file
BY_SUFFIX = {".tga": "TGA", ".pcx": "PCX", ".svg": "SVG", ".ico": "ICO"}
# Suffixes of pictures in other formats than those that `omf.io.images` reads
OTHER_SUFFIXES = BY_SUFFIX.keys() | {
    *(".apng", ".avifs", ".bmp", ".dds", ".exr", ".gif", ".hdr", ".heics", ".j2k", ".jp2", ".jpf"),
    *(".jpx", ".jxl", ".pbm", ".pfm", ".pgm", ".pnm", ".ppm", ".psd", ".qoi"),
}


def identify(path: Path) -> str:
    """Return the format of a picture, such as JPEG; empty if the file is no picture or can't be read."""
    try:
        with path.open("rb") as file:
            start = file.read(64)  # contain every signature, and the brands of HEIF and AVIF
    except OSError:
        return ""
    return identify_start(start) or (BY_SUFFIX.get(path.suffix.lower(), "") if start else "")


def identify_start(start: bytes) -> str:
    """Return the format of a picture by its first bytes; empty for none."""
    for name, signatures in SIGNATURES.items():
        if start.startswith(signatures):
            return name
    if start[:2] == b"BM" and start[6:10] == bytes(4):  # reserved
        return "BMP"
    if start[:2] in NETPBM and start[2:3].isspace() and (start[3:4].isdigit() or start[3:4] == b"#"):
        return "Netpbm"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WebP"
    if start[4:8] == b"ftyp":
        size = int.from_bytes(start[:4], "big")
        brands = {start[i : i + 4] for i in (8, *range(16, min(size, len(start)), 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if start[8:12] in HEIF_BRANDS or brands & (HEIF_BRANDS - {b"mif1", b"msf1"}):
            return "HEIC"
        if start[8:12] == b"crx ":
            return "CR3"
    return ""
