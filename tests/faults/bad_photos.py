"""Tables of photos that users may have, and the message expected for each."""

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from conftest import random_rgb
from picture_files import png_chunk
from PIL import Image, ImageCms

RGB = random_rgb(24, 32)
DEEP = random_rgb(24, 32, dtype=np.uint16)


@dataclass(frozen=True)
class Case:
    """A file in a folder of photos, and its expected result."""

    kind: str
    name: str
    made: bytes | Callable[[Path], object]  # content, or a function that creates the file
    words: str | None = None  # part of the expected message; None: the photo is valid
    like: str | None = None  # file with the same pixels

    def make(self, folder: Path) -> None:
        if isinstance(self.made, bytes):
            (folder / self.name).write_bytes(self.made)
        else:
            self.made(folder / self.name)

    @property
    def stem(self) -> str:
        return Path(self.name).stem


def saved(
    kind: str,
    mode: str = "RGB",
    size: tuple[int, int] = (32, 24),
    pixels: np.ndarray = RGB,
    **options: object,
) -> bytes:
    """Return an image file written by Pillow."""
    content = io.BytesIO()
    Image.fromarray(pixels).resize(size).convert(mode).save(content, kind, **options)
    return content.getvalue()


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    content = io.BytesIO()
    tifffile.imwrite(content, pixels, **options)
    return content.getvalue()


def png(width: int, height: int, depth: int = 8, data: bytes = b"", *more: bytes) -> bytes:
    """Return an RGB PNG with the given size in its header and the given (uncompressed) data."""
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [png_chunk(b"IHDR", header), *more, png_chunk(b"IDAT", zlib.compress(data)), png_chunk(b"IEND", b"")]
    )


def with_chunk(kind: bytes, content: bytes, depth: int = 8) -> bytes:
    """Return a valid PNG of 2 x 2 pixels with an extra chunk."""
    return png(2, 2, depth, 2 * (b"\0" + bytes(6 * depth // 8)), png_chunk(kind, content))


def jpeg_of_size(width: int, height: int, bits: int = 8) -> bytes:
    """Return a small JPEG whose header claims another size, or another number of bits a sample."""
    content = saved("JPEG")
    offset = content.index(b"\xff\xc0") + 4
    return content[:offset] + struct.pack(">BHH", bits, height, width) + content[offset + 5 :]


def tiff_of_size(width: int, height: int, pixels: np.ndarray) -> bytes:
    """Return a small TIFF whose header claims another size."""
    file = io.BytesIO(tiff(pixels, photometric="rgb"))
    with tifffile.TiffFile(file, mode="r+b") as edited:
        tags = edited.pages.first.tags
        tags["ImageWidth"].overwrite(width)
        tags["ImageLength"].overwrite(height)
    return file.getvalue()


def exif(ifd: bytes) -> bytes:
    return b"Exif\0\0II*\0\x08\0\0\0" + ifd


# an IFD with one tag, an Exif IFD that points back to it; the next IFD is the same one again
CYCLIC = exif(struct.pack("<HHHII", 1, 34665, 4, 1, 8) + struct.pack("<I", 8))
CUT_IFD = struct.pack("<HHHII", 900, 34665, 4, 1, 4_000_000_000)
BOMB = zlib.compress(bytes(100_000_000), 9)  # 100 KB compressed
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
CHANNELS = {"photometric": "minisblack", "planarconfig": "contig"}
HUGE = (20_000, 15_000)
FIVE = np.zeros((24, 32, 5), np.uint16)
PLANES = {"photometric": "rgb", "planarconfig": "separate"}
DARKER = Image.fromarray(RGB // 2)
HEIC_HEAD = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def socket_at(path: Path) -> None:
    previous = Path.cwd()
    os.chdir(path.parent)  # the full path may exceed the limit for sockets
    socket.socket(socket.AF_UNIX).bind(path.name)
    os.chdir(previous)


def heic() -> bytes:
    import pillow_heif

    content = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(RGB).resize((64, 64))).save(content)
    return content.getvalue()


def dng_like() -> bytes:
    """Return a TIFF with the tag that marks DNG files, DNGVersion."""
    return tiff(RGB, photometric="rgb", extratags=[(50706, "B", 4, bytes([1, 4, 0, 0]), True)])


def cases(words: str, *rows: tuple) -> list[Case]:
    """Return cases, (kind, name, made) each, with the same message."""
    return [Case(*row, words) for row in rows]


def alike(like: str, *rows: tuple) -> list[Case]:
    """Return valid photos, (kind, name, made) each, with the same pixels as a file."""
    return [Case(*row, like=like) for row in rows]


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


LARGE = {"size": (200, 200)}
TEXT = b"Dear all,\nhere are the photos.\n"
# their second halves are replaced by zeros, as a power failure does
ZERO_TAILS = {
    "baseline.jpg": saved("JPEG", **LARGE),
    "progressive.jpg": saved("JPEG", progressive=True, **LARGE),
    "grey.jpg": saved("JPEG", "L", **LARGE),
    "cmyk.jpg": saved("JPEG", "CMYK", **LARGE),
    "restart_markers.jpg": saved("JPEG", restart_marker_rows=1, **LARGE),
    "lossy.webp": saved("WEBP", **LARGE),
    "coded.avif": saved("AVIF", **LARGE),
    "coded2.heic": heic(),
}

BAD = [
    *(
        Case(f"empty {kind}", f"empty_{kind}.{kind}", b"", "an empty file; copy it again")
        for kind in ("jpg", "png", "tif", "heic")
    ),
    *cases(
        "an empty file",
        ("empty, newline in the name", "two\nlines.jpg", b""),
        ("empty, escape sequence in the name", "\x1b[2Jclear\x07.jpg", b""),
        ("empty, HTML in the name", "<b onclick='x'>&amp;.jpg", b""),
    ),
    Case("empty, name not UTF-8", os.fsdecode(b"bad\xff\xfe.jpg"), b"", r"bad\udcff\udcfe.jpg: "),
    *cases(
        "can't be decoded",
        ("truncated JPEG", "cut_jpeg.jpg", saved("JPEG", **LARGE)[:-500]),
        ("truncated progressive JPEG", "cut_prog.jpg", saved("JPEG", progressive=True, **LARGE)[:-3000]),
        ("JPEG header only", "cut_header.jpg", saved("JPEG")[:40]),
        ("truncated PNG", "cut_png.png", saved("PNG")[:-500]),
        ("truncated PNG, 16 bit", "cut_png16.png", with_chunk(b"tEXt", b"a\0b", 16)[:-20]),
        ("truncated HEIC", "cut_heic.heic", heic()[:-200]),
        ("HEIC header only", "head.heic", HEIC_HEAD),
        ("damaged PNG data", "inside.png", saved("PNG")[:600] + bytes(100) + saved("PNG")[700:]),
        ("bomb in iCCP", "iccp.png", with_chunk(b"iCCP", b"a\0\0" + BOMB)),
        ("bomb in iCCP, 16 bit", "iccp16.png", with_chunk(b"iCCP", b"a\0\0" + BOMB, 16)),
        ("bomb in zTXt", "ztxt.png", with_chunk(b"zTXt", b"a\0\0" + BOMB)),
        *(
            (
                f"{name} whose second half is zeros",
                f"zeros_{name}",
                content[: len(content) // 2].ljust(len(content), b"\0"),
            )
            for name, content in ZERO_TAILS.items()
        ),
    ),
    Case("text called .tif", "text_tif.tif", b"II*\0 " + TEXT, "can't be decoded (damaged)"),
    *cases(
        "parts of the image are not in the file; give an intact",
        ("truncated TIFF", "cut_tiff.tif", tiff(RGB)[:1000]),
        ("truncated TIFF, 16 bit", "cut_tiff16.tif", tiff(DEEP)[:1000]),
        ("truncated TIFF in strips", "strips.tif", tiff(DEEP, compression="zlib", rowsperstrip=4)[:-900]),
    ),
    *cases(
        "not a picture that can be read",
        ("text called .jpg", "text.jpg", TEXT),
        ("text called .heic", "text_heic.heic", TEXT),
        ("error page called .jpg", "page.jpg", b"<!doctype html><html><body>404 Not Found</body></html>"),
        ("zeros", "zeros.jpg", bytes(5000)),
        ("archive called .png", "archive.png", b"PK\x03\x04" + bytes(100)),
        ("video called .jpg", "video.jpg", b"\0\0\0\x18ftypisom" + bytes(100)),
        ("PNG of width 0", "no_width.png", png(0, 10)),
    ),
    Case("GIF", "drawn.gif", saved("GIF"), "a GIF file; convert it to JPEG, PNG, TIFF, WebP, AVIF or HEIC"),
    Case("GIF called .jpg", "gif.jpg", saved("GIF"), "a GIF file; convert it"),
    Case("BMP called .jpg", "bmp.jpg", saved("BMP"), "a BMP file; convert it"),
    Case("EPS called .jpg, which would be rendered by a program", "eps.jpg", saved("EPS"), "convert it to"),
    Case("12-bit JPEG", "12.jpg", jpeg_of_size(32, 24, 12), "a JPEG of 12 bits a sample; save it with 8"),
    Case("JPEG behind a header", "http.jpg", b"HTTP/1.1 200 OK\n\n" + saved("JPEG"), "; remove them"),
    Case("JPEG of height 0", "no_height_jpg.jpg", jpeg_of_size(32, 0), "gives no height"),
    Case("PNG of height 0", "no_height.png", png(10, 0, 16), "10 x 0 pixels; a Bayer cell needs 2 x 2"),
    *cases(
        "0 x 24 pixels; a Bayer cell needs",
        ("TIFF of width 0", "no_width_tif.tif", tiff_of_size(0, 24, RGB)),
        ("TIFF of width 0, 16 bit", "no_width16.tif", tiff_of_size(0, 24, DEEP)),
    ),
    Case("1 x 1", "dot.png", saved("PNG", size=(1, 1)), "1 x 1 pixels; a Bayer cell needs 2 x 2"),
    Case("1 x 5000", "column.png", saved("PNG", size=(1, 5000)), "1 x 5000 pixels; a Bayer cell needs 2 x 2"),
    Case("5000 x 1", "row.jpg", saved("JPEG", size=(5000, 1)), "5000 x 1 pixels; a Bayer cell needs 2 x 2"),
    *cases(
        "60000 x 60000 pixels; 536870912 at most",
        ("bomb: PNG", "bomb.png", png(60_000, 60_000, 8, bytes(10_000_000))),
        ("bomb: PNG, 16 bit", "bomb16.png", png(60_000, 60_000, 16, bytes(10_000_000))),
        ("bomb: TIFF", "bomb_tif.tif", tiff_of_size(60_000, 60_000, RGB)),
        ("bomb: TIFF, 16 bit", "bomb16_tif.tif", tiff_of_size(60_000, 60_000, DEEP)),
    ),
    Case("bomb: JPEG", "bombs.jpg", jpeg_of_size(65_500, 65_500), "65500 x 65500 pixels; 536870912 at most"),
    *cases(
        "; ",
        ("bomb: PNG of 2^31 x 2^31", "bomb31.png", png(2**31 - 1, 2**31 - 1)),
        ("TIFF with 5 channels", "five.tif", tiff(FIVE.astype(np.uint8), **CHANNELS)),
    ),
    Case(
        "500 MP",
        "500mp.jpg",
        jpeg_of_size(22_000, 22_000),
        "22000 x 22000 pixels in 901 bytes; give an intact",
    ),
    Case("300 megapixels: PNG", "300mp.png", png(*HUGE, 16, bytes(100)), "20000 x 15000 pixels in 69 bytes"),
    Case("300 megapixels: TIFF", "300.tif", tiff_of_size(*HUGE, DEEP), "20000 x 15000 pixels in 4880 bytes"),
    *(
        Case(
            f"TIFF of {kind}",
            f"{kind}.tif",
            tiff(np.zeros((8, 8), kind)),
            f"{kind} samples; save it with 8 or 16 bits",
        )
        for kind in ("uint32", "int16", "float32", "complex64")
    ),
    Case(
        "TIFF of NaNs",
        "nan.tif",
        tiff(RGB * np.float32("nan"), photometric="rgb"),
        "float32 samples; save it with 8 or 16 bits",
    ),
    Case(
        "Lab TIFF, 16 bit",
        "lab16.tif",
        tiff(DEEP, photometric="cielab"),
        "CIELAB colours in 16 bits; save it as RGB or grey",
    ),
    Case(
        "TIFF with 5 channels, 16 bit",
        "five16.tif",
        tiff(FIVE, **CHANNELS),
        "5 channels; save it as RGB or grey",
    ),
    *cases(
        "camera RAW; give the photo that was developed from it",
        ("camera RAW", "raw.dng", dng_like()),
        ("camera RAW called .tif", "raw_as.tif", dng_like()),
        ("text called .nef", "raw_text.nef", b"text"),
    ),
    Case("folder called .jpg", "folder.jpg", Path.mkdir, "a folder, not a file; give"),
    Case("pipe", "pipe.jpg", os.mkfifo, "a pipe, not a file; give"),
    Case("socket", "socket.jpg", socket_at, "a socket, not a file; give"),
    Case("link to a device", "device.jpg", link_to("/dev/zero"), "a device, not a file; give"),
    Case("dangling link", "broken_link.jpg", link_to("nowhere.jpg"), "a broken symbolic link; "),
    Case(
        "link to itself", "loop.jpg", link_to("loop.jpg"), "can't be read (Too many levels of symbolic links"
    ),
    *(
        Case(
            kind,
            name,
            saved("PNG"),
            f"would become {name[:-4]}.npy, and so would another picture ({other}); rename one",
        )
        for kind, name, other in (
            ("name clash, PNG and JPEG: the PNG", "clash.png", "clash.jpg"),
            ("name clash, PNG and JPEG: the JPEG", "clash.jpg", "clash.png"),
            ("name clash, capital suffix", "clash2.PNG", "clash2.png"),
            ("name clash, small suffix", "clash2.png", "clash2.PNG"),
        )
    ),
    *cases(
        "and so would another picture",
        ("name clash, newline, PNG", "same\nname.png", saved("PNG")),
        ("name clash, newline, JPEG", "same\nname.jpg", saved("JPEG")),
    ),
]


ODD = [
    Case("WebP", "web.webp", saved("WEBP")),
    Case("WebP called .jpg", "webp.jpg", saved("WEBP")),
    Case("JPEG called .jfif", "chrome.jfif", saved("JPEG")),
    Case("JPEG called .tif", "jpeg.tif", saved("JPEG")),
    Case("HEIC called .jpg", "heic.jpg", heic()),
    Case("60,000 pixels wide", "wide.png", saved("PNG", size=(60_000, 2))),
    Case("60,000 pixels high", "high.jpg", saved("JPEG", size=(2, 60_000))),
    Case("2 x 2", "cell.png", saved("PNG", size=(2, 2))),
    Case("palette", "palette.png", saved("PNG", "P")),
    Case("palette TIFF", "palette_tif.tif", saved("TIFF", "P")),
    Case("grey and alpha", "grey_alpha.png", saved("PNG", "LA")),
    Case("black and white", "bits.png", saved("PNG", "1")),
    Case("black and white TIFF", "bits_tif.tif", saved("TIFF", "1")),
    Case("grey", "grey.jpg", saved("JPEG", "L")),
    Case("CMYK", "cmyk.jpg", saved("JPEG", "CMYK")),
    Case("CMYK TIFF", "cmyk_tif.tif", saved("TIFF", "CMYK")),
    Case("Lab TIFF", "lab.tif", saved("TIFF", "LAB")),
    Case("YCbCr TIFF", "ycbcr.tif", saved("TIFF", "YCbCr")),
    Case("16-bit TIFF", "deep.tif", tiff(DEEP, photometric="rgb")),
    Case("grey TIFF with alpha, 16 bit", "two.tif", tiff(DEEP[..., :2], **CHANNELS)),
    *alike(
        "plain.png",
        ("PNG called .jpg", "png.jpg", saved("PNG")),
        ("TIFF called .png", "tiff.png", tiff(RGB)),
        ("alpha", "alpha.png", saved("PNG", "RGBA")),
        ("TIFF of three pages", "pages.tif", tiff(np.stack([RGB, RGB // 2, RGB // 3]), photometric="rgb")),
        ("animated PNG", "animated.png", saved("PNG", save_all=True, append_images=[DARKER])),
        ("cyclic EXIF, PNG", "exif_circle_png.png", saved("PNG", exif=CYCLIC)),
        ("link to a photo", "link.png", link_to("plain.png")),
    ),
    Case("palette, transparent", "clear.png", saved("PNG", "P", transparency=3), like="palette.png"),
    *alike(
        "deep.tif",
        ("16-bit TIFF, planar", "planes.tif", tiff(DEEP.transpose(2, 0, 1), **PLANES)),
        ("TIFF of three pages, 16 bit", "pages16.tif", tiff(np.stack([DEEP] * 3), photometric="rgb")),
    ),
    *alike(
        "jpeg.tif",
        ("zeros before the end", "fill.jpg", saved("JPEG")[:-2] + bytes(90) + b"\xff\xd9"),
        ("trailing bytes", "behind.jpg", saved("JPEG") + bytes(10_000)),
        ("invalid EXIF", "exif.jpg", saved("JPEG", exif=b"Exif\0\0" + b"no EXIF at all" * 9)),
        ("truncated EXIF", "exif_cut.jpg", saved("JPEG", exif=exif(CUT_IFD))),
        ("cyclic EXIF", "exif_circle.jpg", saved("JPEG", exif=CYCLIC)),
        ("invalid ICC profile", "icc.jpg", saved("JPEG", icc_profile=b"no profile" * 50)),
        ("truncated ICC profile", "icc_cut.jpg", saved("JPEG", icc_profile=PROFILE[:200])),
        ("Lab ICC profile", "icc_lab.jpg", saved("JPEG", icc_profile=LAB_PROFILE)),
    ),
    Case("RGB profile, grey photo", "icc_l.jpg", saved("JPEG", "L", icc_profile=PROFILE), like="grey.jpg"),
    Case("RGB profile, CMYK photo", "icc_k.jpg", saved("JPEG", "CMYK", icc_profile=PROFILE), like="cmyk.jpg"),
]


# all contain the same image
NAMES = [
    Case(kind, name, saved("PNG"), like="plain.png")
    for kind, name in [
        ("plain", "plain.png"),
        ("spaces", "  two  spaces .png"),
        ("newline", "new\nline.png"),
        ("return", "carriage\rreturn.png"),
        ("tab", "tab\there.png"),
        ("escape sequences", "\x1b[31mred\x1b[0m\x07.png"),
        ("quotes", 'it\'s "quoted" `ls`.png'),
        ("accents, composed", "caf\u00e9.png"),
        ("accents, decomposed", "cafe\u0301.png"),
        ("other scripts", "写真 фото صورة 📷.png"),
        ("right-to-left override", "abc\u202egnp.png"),
        ("no UTF-8", os.fsdecode(b"latin1 \xe9\xff.png")),
        ("an option", "-o.png"),
        ("a long option", "--help.png"),
        ("two dashes", "--.png"),
        ("dots", "a...png"),
        ("several suffixes", "photo.tar.jpg.png"),
        ("maximum length", "n" * 251 + ".png"),
        ("maximum length, differs in the last letter", "n" * 250 + "m.png"),
        ("maximum length in bytes", "é" * 125 + "n.png"),
        ("braces", "{braces} {{two}} {0} {wildcards.shard} {input}.png"),
        ("percent", "100% %s %d %(name)s %2F.png"),
        ("substitution", "$(touch injected) `touch injected` $HOME ${PATH}.png"),
        ("backslashes", "back\\slash\\n\\.png"),
        ("globs", "[a-z]*?.png"),
        ("shell", "a;b|c&d>e<f#g!h~.png"),
        ("HTML", "<img src=x onerror=alert(1)> &amp; <!--.png"),
        ("a formula", "=1+1,;.png"),
        ("file of the entry", "readme.png"),
        ("name of the zip", "submission.png"),
        ("reserved on Windows", "CON.png"),
        ("suffix in capitals", "CAPITALS.PNG"),
        ("capitals", "Plain.png"),
        ("a number", "007.png"),
        ("null", "null.png"),
    ]
]

# not listed: hidden files, and files without an image suffix
IGNORED = [
    Case("hidden", ".hidden.png", b""),
    Case("hidden, only dots", "..png", b""),
    Case("no suffix", "photo", b""),
    Case("notes", "notes.txt", b"text"),
    Case("thumbnails", "Thumbs.db", b"text"),
]


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


def npy_header(shape: tuple[int, ...]) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "<u2", "fortran_order": False, "shape": shape})
    return content.getvalue()


def npz(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez(content, array)
    return content.getvalue()


COUNTS = np.full((12, 16, 4), 500, np.uint16)
NPY = "give uint16 (H/2, W/2, 4)"
NPY_FILE = "give a .npy file of uint16 (H/2, W/2, 4)"

# ground truth for some of the photos above
GROUND_TRUTH = [
    Case("valid", "plain.npy", npy(COUNTS)),
    Case(
        "another shape",
        "png.npy",
        npy(COUNTS[:-1]),
        "packed (12, 16, 4), but its ground truth is (11, 16, 4); both must show the same",
    ),
    Case(
        "no pixels",
        "icc_cut.npy",
        npy(COUNTS[:0]),
        "but its ground truth is (0, 16, 4); both must show the same",
    ),
    Case("float32", "tiff.npy", npy(COUNTS / np.float32(1024)), f"float32 (12, 16, 4); {NPY}"),
    Case("uint8", "jpeg.npy", npy(COUNTS.astype(np.uint8)), f"uint8 (12, 16, 4); {NPY}"),
    Case("NaN", "grey.npy", npy(np.full((12, 16, 4), np.nan)), f"float64 (12, 16, 4); {NPY}"),
    Case("a mosaic", "alpha.npy", npy(COUNTS[..., 0]), f"uint16 (12, 16); {NPY}"),
    Case("above white", "palette.npy", npy(COUNTS * 3), "counts up to 1500; the white level is 1024"),
    *cases(
        NPY_FILE,
        ("pickled", "deep.npy", npy(np.array([{}, []], object))),
        ("truncated", "pages.npy", npy(COUNTS)[:300]),
        ("header claiming terabytes", "icc.npy", npy_header((10**6, 10**6, 4))),
    ),
    Case("an archive called .npy", "animated.npy", npz(COUNTS), f"an archive; {NPY}"),
    Case("text", "behind.npy", b"text", "can't be read (not an array of numbers); " + NPY_FILE),
    *cases(
        "an empty file; copy it again", ("empty file", "exif.npy", b""), ("empty camera RAW", "007.nef", b"")
    ),
    Case("folder", "link.npy", Path.mkdir, "a folder, not a file; give a .npy file"),
    Case("pipe", "cmyk.npy", os.mkfifo, "a pipe, not a file; give a .npy file"),
    Case("dangling link", "lab.npy", link_to("nowhere.npy"), "a broken symbolic link; give a .npy file"),
    Case("text called .dng", "ycbcr.dng", b"text", "give an intact camera RAW file"),
    Case("photo called .dng", "two.dng", saved("TIFF"), "give"),
]
