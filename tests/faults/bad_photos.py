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
import pillow_heif
import tifffile
from conftest import random_rgb
from picture_files import bytes_of, png_chunk
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


def cases(words: str, *rows: tuple) -> list[Case]:
    """Return cases, (kind, name, made) each, with the same message."""
    return [Case(*row, words) for row in rows]


def valid(like: str | None, *rows: tuple) -> list[Case]:
    """Return valid photos, (kind, name, made) each, with the same pixels as a file."""
    return [Case(*row, like=like) for row in rows]


def saved(kind: str, mode: str = "RGB", size: tuple[int, int] = (32, 24), **options: object) -> bytes:
    """Return an image file written by Pillow."""
    return bytes_of(lambda file: Image.fromarray(RGB).resize(size).convert(mode).save(file, kind, **options))


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    return bytes_of(lambda file: tifffile.imwrite(file, pixels, **options))


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


def socket_at(path: Path) -> None:
    previous = Path.cwd()
    os.chdir(path.parent)  # the full path may exceed the limit for sockets
    socket.socket(socket.AF_UNIX).bind(path.name)
    os.chdir(previous)


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


TIFF_HEAD = b"Exif\0\0II*\0\x08\0\0\0"
# an IFD with one tag, an Exif IFD that points back to it; the next IFD is the same one again
CYCLIC = TIFF_HEAD + struct.pack("<HHHII", 1, 34665, 4, 1, 8) + struct.pack("<I", 8)
CUT_IFD = TIFF_HEAD + struct.pack("<HHHII", 900, 34665, 4, 1, 4_000_000_000)
BOMB = zlib.compress(bytes(100_000_000), 9)  # 100 KB compressed
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
CHANNELS = {"photometric": "minisblack", "planarconfig": "contig"}
PLANES = {"photometric": "rgb", "planarconfig": "separate"}
HUGE = (20_000, 15_000)
FIVE = np.zeros((24, 32, 5), np.uint16)
DARKER = Image.fromarray(RGB // 2)
HEIC_HEAD = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
HEIC = bytes_of(pillow_heif.from_pillow(Image.fromarray(RGB).resize((64, 64))).save)
# a TIFF with the tag that marks DNG files, DNGVersion
DNG = tiff(RGB, photometric="rgb", extratags=[(50706, "B", 4, bytes([1, 4, 0, 0]), True)])
LARGE = {"size": (200, 200)}
TEXT = b"Dear all,\nhere are the photos.\n"
PAGE = b"<!doctype html><html><body>404 Not Found</body></html>"
# their second halves are replaced by zeros, as a power failure does
ZERO_TAILS = {
    "baseline.jpg": saved("JPEG", **LARGE),
    "progressive.jpg": saved("JPEG", progressive=True, **LARGE),
    "grey.jpg": saved("JPEG", "L", **LARGE),
    "cmyk.jpg": saved("JPEG", "CMYK", **LARGE),
    "restart_markers.jpg": saved("JPEG", restart_marker_rows=1, **LARGE),
    "lossy.webp": saved("WEBP", **LARGE),
    "coded.avif": saved("AVIF", **LARGE),
    "coded2.heic": HEIC,
}

BAD = [
    *cases(
        "an empty file; copy it again",
        *((f"empty {kind}", f"empty_{kind}.{kind}", b"") for kind in ("jpg", "png", "tif", "heic")),
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
        ("truncated HEIC", "cut_heic.heic", HEIC[:-200]),
        ("HEIC header only", "head.heic", HEIC_HEAD),
        ("damaged PNG data", "inside.png", saved("PNG")[:600] + bytes(100) + saved("PNG")[700:]),
        ("bomb in iCCP", "iccp.png", with_chunk(b"iCCP", b"a\0\0" + BOMB)),
        ("bomb in iCCP, 16 bit", "iccp16.png", with_chunk(b"iCCP", b"a\0\0" + BOMB, 16)),
        ("bomb in zTXt", "ztxt.png", with_chunk(b"zTXt", b"a\0\0" + BOMB)),
        *(
            (f"{name}, half zeros", f"zeros_{name}", content[: len(content) // 2].ljust(len(content), b"\0"))
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
        ("error page called .jpg", "page.jpg", PAGE),
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
    Case("bomb: PNG of 2^31 x 2^31", "bomb31.png", png(2**31 - 1, 2**31 - 1), "; "),
    *cases(
        "22000 x 22000 pixels in 901 bytes; give an intact",
        ("500 MP", "500mp.jpg", jpeg_of_size(22_000, 22_000)),
    ),
    Case("300 megapixels: PNG", "300mp.png", png(*HUGE, 16, bytes(100)), "20000 x 15000 pixels in 69 bytes"),
    Case("300 megapixels: TIFF", "300.tif", tiff_of_size(*HUGE, DEEP), "20000 x 15000 pixels in 4880 bytes"),
    *(
        Case(f"TIFF of {kind}", f"{kind}.tif", tiff(pixels), f"{kind} samples; save it with 8 or 16 bits")
        for kind in ("uint32", "int16", "float32", "complex64")
        for pixels in [np.zeros((8, 8), kind)]
    ),
    *cases(
        "float32 samples; save it with 8 or 16 bits",
        ("TIFF of NaNs", "nan.tif", tiff(RGB * np.float32("nan"), photometric="rgb")),
    ),
    *cases(
        "CIELAB colours in 16 bits; save it as RGB or grey",
        ("Lab TIFF, 16 bit", "lab16.tif", tiff(DEEP, photometric="cielab")),
    ),
    Case("TIFF with 5 channels", "five.tif", tiff(FIVE.astype(np.uint8), **CHANNELS), "; "),
    *cases(
        "5 channels; save it as RGB or grey",
        ("TIFF with 5 channels, 16 bit", "five16.tif", tiff(FIVE, **CHANNELS)),
    ),
    *cases(
        "camera RAW; give the photo that was developed from it",
        ("camera RAW", "raw.dng", DNG),
        ("camera RAW called .tif", "raw_as.tif", DNG),
        ("text called .nef", "raw_text.nef", b"text"),
    ),
    Case("folder called .jpg", "folder.jpg", Path.mkdir, "a folder, not a file; give"),
    Case("pipe", "pipe.jpg", os.mkfifo, "a pipe, not a file; give"),
    Case("socket", "socket.jpg", socket_at, "a socket, not a file; give"),
    Case("link to a device", "device.jpg", link_to("/dev/zero"), "a device, not a file; give"),
    Case("dangling link", "broken_link.jpg", link_to("nowhere.jpg"), "a broken symbolic link; "),
    *cases(
        "can't be read (Too many levels of symbolic links",
        ("link to itself", "loop.jpg", link_to("loop.jpg")),
    ),
    *(
        Case(f"name clash: {name}", name, saved("PNG"), f"would become {name[:-4]}.npy, and so would {other}")
        for name, other in (
            ("clash.png", "another picture (clash.jpg); rename one"),
            ("clash.jpg", "another picture (clash.png); rename one"),
            ("clash2.PNG", "another picture (clash2.png); rename one"),
            ("clash2.png", "another picture (clash2.PNG); rename one"),
        )
    ),
    *cases(
        "and so would another picture",
        ("name clash, newline, PNG", "same\nname.png", saved("PNG")),
        ("name clash, newline, JPEG", "same\nname.jpg", saved("JPEG")),
    ),
]


ODD = [
    *valid(
        None,
        ("WebP", "web.webp", saved("WEBP")),
        ("WebP called .jpg", "webp.jpg", saved("WEBP")),
        ("JPEG called .jfif", "chrome.jfif", saved("JPEG")),
        ("JPEG called .tif", "jpeg.tif", saved("JPEG")),
        ("HEIC called .jpg", "heic.jpg", HEIC),
        ("60,000 pixels wide", "wide.png", saved("PNG", size=(60_000, 2))),
        ("60,000 pixels high", "high.jpg", saved("JPEG", size=(2, 60_000))),
        ("2 x 2", "cell.png", saved("PNG", size=(2, 2))),
        ("palette", "palette.png", saved("PNG", "P")),
        ("palette TIFF", "palette_tif.tif", saved("TIFF", "P")),
        ("grey and alpha", "grey_alpha.png", saved("PNG", "LA")),
        ("black and white", "bits.png", saved("PNG", "1")),
        ("black and white TIFF", "bits_tif.tif", saved("TIFF", "1")),
        ("grey", "grey.jpg", saved("JPEG", "L")),
        ("CMYK", "cmyk.jpg", saved("JPEG", "CMYK")),
        ("CMYK TIFF", "cmyk_tif.tif", saved("TIFF", "CMYK")),
        ("Lab TIFF", "lab.tif", saved("TIFF", "LAB")),
        ("YCbCr TIFF", "ycbcr.tif", saved("TIFF", "YCbCr")),
        ("16-bit TIFF", "deep.tif", tiff(DEEP, photometric="rgb")),
        ("grey TIFF with alpha, 16 bit", "two.tif", tiff(DEEP[..., :2], **CHANNELS)),
    ),
    *valid(
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
    *valid(
        "deep.tif",
        ("16-bit TIFF, planar", "planes.tif", tiff(DEEP.transpose(2, 0, 1), **PLANES)),
        ("TIFF of three pages, 16 bit", "pages16.tif", tiff(np.stack([DEEP] * 3), photometric="rgb")),
    ),
    *valid(
        "jpeg.tif",
        ("zeros before the end", "fill.jpg", saved("JPEG")[:-2] + bytes(90) + b"\xff\xd9"),
        ("trailing bytes", "behind.jpg", saved("JPEG") + bytes(10_000)),
        ("invalid EXIF", "exif.jpg", saved("JPEG", exif=b"Exif\0\0" + b"no EXIF at all" * 9)),
        ("truncated EXIF", "exif_cut.jpg", saved("JPEG", exif=CUT_IFD)),
        ("cyclic EXIF", "exif_circle.jpg", saved("JPEG", exif=CYCLIC)),
        ("invalid ICC profile", "icc.jpg", saved("JPEG", icc_profile=b"no profile" * 50)),
        ("truncated ICC profile", "icc_cut.jpg", saved("JPEG", icc_profile=PROFILE[:200])),
        ("Lab ICC profile", "icc_lab.jpg", saved("JPEG", icc_profile=LAB_PROFILE)),
    ),
    Case("RGB profile, grey photo", "icc_l.jpg", saved("JPEG", "L", icc_profile=PROFILE), like="grey.jpg"),
    Case("RGB profile, CMYK photo", "icc_k.jpg", saved("JPEG", "CMYK", icc_profile=PROFILE), like="cmyk.jpg"),
]


NOT_UTF_8 = os.fsdecode(b"latin1 \xe9\xff.png")
# all contain the same image
NAMES = [
    Case(ascii(name), name, saved("PNG"), like="plain.png")
    for name in (
        *("plain.png", "Plain.png", "CAPITALS.PNG", "007.png", "null.png"),
        *("  two  spaces .png", "new\nline.png", "carriage\rreturn.png", "tab\there.png"),
        *("\x1b[31mred\x1b[0m\x07.png", 'it\'s "quoted" `ls`.png', "back\\slash\\n\\.png"),
        *("caf\u00e9.png", "cafe\u0301.png", "写真 фото صورة 📷.png", "abc\u202egnp.png", NOT_UTF_8),
        *("-o.png", "--help.png", "--.png", "a...png", "photo.tar.jpg.png"),
        # of the greatest length, in characters and in bytes
        *("n" * 251 + ".png", "n" * 250 + "m.png", "é" * 125 + "n.png"),
        *("{braces} {{two}} {0} {wildcards.shard} {input}.png", "100% %s %d %(name)s %2F.png"),
        *("$(touch injected) `touch injected` $HOME ${PATH}.png", "[a-z]*?.png", "a;b|c&d>e<f#g!h~.png"),
        *("<img src=x onerror=alert(1)> &amp; <!--.png", "=1+1,;.png"),  # HTML, and a formula
        *("readme.png", "submission.png", "CON.png"),  # files of the entry; reserved on Windows
    )
]

# not listed: hidden files, and files without an image suffix
IGNORED = [
    *valid(None, ("hidden", ".hidden.png", b""), ("hidden, only dots", "..png", b"")),
    *valid(None, ("no suffix", "photo", b""), ("notes", "notes.txt", TEXT), ("preview", "Thumbs.db", TEXT)),
]


def npy(array: np.ndarray) -> bytes:
    return bytes_of(lambda file: np.save(file, array, allow_pickle=True))


TERABYTES = {"descr": "<u2", "fortran_order": False, "shape": (10**6, 10**6, 4)}
COUNTS = np.full((12, 16, 4), 500, np.uint16)
NPY = "give uint16 (H/2, W/2, 4)"
NPY_FILE = "give a .npy file of uint16 (H/2, W/2, 4)"

# ground truth for some of the photos above
GROUND_TRUTH = [
    Case("valid", "plain.npy", npy(COUNTS)),
    *cases(
        "packed (12, 16, 4), but its ground truth is (11, 16, 4); both must show the same",
        ("another shape", "png.npy", npy(COUNTS[:-1])),
    ),
    *cases(
        "but its ground truth is (0, 16, 4); both must show the same",
        ("no pixels", "icc_cut.npy", npy(COUNTS[:0])),
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
        (
            "header claiming terabytes",
            "icc.npy",
            bytes_of(lambda file: np.lib.format.write_array_header_1_0(file, TERABYTES)),
        ),
    ),
    Case("an archive", "animated.npy", bytes_of(lambda file: np.savez(file, COUNTS)), f"an archive; {NPY}"),
    Case("text", "behind.npy", b"text", f"can't be read (not an array of numbers); {NPY_FILE}"),
    *cases(
        "an empty file; copy it again", ("empty file", "exif.npy", b""), ("empty camera RAW", "007.nef", b"")
    ),
    Case("folder", "link.npy", Path.mkdir, "a folder, not a file; give a .npy file"),
    Case("pipe", "cmyk.npy", os.mkfifo, "a pipe, not a file; give a .npy file"),
    Case("dangling link", "lab.npy", link_to("nowhere.npy"), "a broken symbolic link; give a .npy file"),
    Case("text called .dng", "ycbcr.dng", b"text", "give an intact camera RAW file"),
    Case("photo called .dng", "two.dng", saved("TIFF"), "give"),
]
