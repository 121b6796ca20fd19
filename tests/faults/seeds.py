"""Small valid files of every kind that the program reads, as input for fuzzing."""

import struct
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
import torch
import yaml
from camera_dng import bayer_of, scene, write_dng, write_tiff
from conftest import ROOT, random_rgb, random_unet
from picture_files import P3, bytes_of, icc_profile, save_heic, save_png_16
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from omf.models.checkpoints import save_network
from omf.networks.demosaic_net import DemosaicNet
from omf.networks.nafnet import LocalNAFNet

RGB, RGB16 = random_rgb(20, 31), random_rgb(20, 31, dtype=np.uint16)


def camera_exif() -> Image.Exif:
    """Return EXIF as a camera writes it, with a location."""
    exif = Image.Exif()
    exif[274], exif[271], exif[306] = 6, "Maker", "2024:01:02 03:04:05"
    exposure, lens = IFDRational(1, 125), tuple(IFDRational(n, 1) for n in (24, 70, 2, 4))
    exif[34665] = {33434: exposure, 34855: 100, 36867: "2024:01:02 03:04:05", 42034: lens, 42036: "Lens"}
    exif[34853] = {1: "N", 2: (1.0, 2.0, 3.0), 3: "E", 4: (4.0, 5.0, 6.0), 5: b"\0", 6: 100.0}
    read = Image.Exif()
    read.load(exif.tobytes())
    return read


EXIF = camera_exif()


def image(pixels: np.ndarray, **options: object) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(pixels).save(path, **options)


def encoded(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content)


def tiff(pixels: np.ndarray, **options: object) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, pixels, **{"photometric": "rgb", "metadata": None, **options})


JPEG = [
    image(RGB, exif=EXIF, icc_profile=P3),
    image(RGB, progressive=True, quality=90, subsampling=0),
    image(RGB, restart_marker_rows=1, optimize=True),
    image(RGB[..., 0]),
    lambda path: Image.fromarray(RGB).convert("CMYK").save(path, "JPEG"),
    lambda path: Image.fromarray(RGB).save(path, "MPO", save_all=True, append_images=[Image.fromarray(RGB)]),
]
PNG = [
    image(RGB, exif=EXIF, icc_profile=P3),
    image(np.dstack([RGB, RGB[..., :1]])),
    lambda path: Image.fromarray(RGB).quantize(16).save(path, transparency=3),
    lambda path: Image.fromarray(RGB[..., 0] > 128).save(path),
    image(RGB[..., 0]),
    encoded(imagecodecs.png_encode(RGB16)),
    encoded(imagecodecs.png_encode(np.dstack([RGB16, RGB16[..., :1]]))),
    encoded(imagecodecs.png_encode(RGB16[..., 0].copy())),
    lambda path: save_png_16(path, RGB16, P3),
]
TIFF = [
    image(RGB, exif=EXIF, icc_profile=P3),
    image(RGB, compression="jpeg"),
    image(RGB, compression="tiff_lzw"),
    image(RGB, compression="packbits"),
    lambda path: Image.fromarray(RGB).quantize(16).save(path),
    lambda path: Image.fromarray(RGB[..., 0] > 128).save(path, compression="group4"),
    lambda path: Image.fromarray(RGB).convert("CMYK").save(path),
    tiff(RGB, compression="zlib", tile=(16, 16)),
    tiff(RGB16),
    tiff(RGB16 >> 4, bitspersample=12),
    tiff(RGB, extratags=[(274, "H", 1, 6, True), (318, "2I", 2, (3127, 10_000, 3290, 10_000), True)]),
    tiff(RGB16, compression="zlib", predictor=True, rowsperstrip=6),
    tiff(RGB16, compression="lzw", iccprofile=P3),
    tiff(RGB16, compression="zlib", tile=(16, 16), byteorder=">"),
    tiff(RGB16, compression="zstd", bigtiff=True),
    tiff(RGB16, compression="lzma"),
    tiff(RGB16, compression="packbits"),
    tiff(RGB16, compression="jpegxr"),
    tiff(RGB16, compression="jpeg2000"),
    tiff(np.moveaxis(RGB16, -1, 0), planarconfig="separate"),
    tiff(RGB16[..., 0], photometric="minisblack"),
    tiff(np.dstack([RGB16, RGB16[..., :1]]), extrasamples=["unassalpha"]),
]
HEIC = [
    lambda path: save_heic(path, RGB),
    lambda path: save_heic(path, RGB16, "RGB;16"),
    lambda path: save_heic(path, random_rgb(64, 80), icc_profile=P3, icc_profile_type="prof"),
    lambda path: save_heic(path, random_rgb(64, 80), exif=EXIF.tobytes()),
]
AVIF = [
    image(RGB, exif=EXIF.tobytes(), icc_profile=P3),
    encoded(imagecodecs.avif_encode(RGB16 >> 6, bitspersample=10)),
    encoded(imagecodecs.avif_encode(RGB, matrix=0, primaries=12, transfer=13)),
]
WEBP = [
    image(RGB, exif=EXIF.tobytes(), icc_profile=P3),
    image(RGB, lossless=True),
    image(np.dstack([RGB, RGB[..., :1]])),
]


def lut_profile(space: bytes, inputs: int) -> bytes:
    """Return an ICC profile with a colour table (ICC.1:2010, lut16Type), as printers use."""
    grid = b"".join(
        struct.pack(">3H", *(65535 * (n >> bit & 1) for bit in range(3))) for n in range(2**inputs)
    )
    identity = struct.pack(">9i", *(65536 * (n % 4 == 0) for n in range(9)))
    ramp = struct.pack(">2H", 0, 65535)
    lut = b"mft2" + bytes(4) + bytes([inputs, 3, 2, 0]) + identity + struct.pack(">HH", 2, 2)
    lut += ramp * inputs + grid + ramp * 3
    head = struct.pack(">I4sI4s4s4s", 144 + len(lut), b"lcms", 0x02400000, b"prtr", space, b"Lab ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head + bytes(128 - len(head)) + struct.pack(">I4sII", 1, b"A2B0", 144, len(lut)) + lut


PROFILES = [P3, icc_profile(), icc_profile((), (1.0,)), imagecodecs.cms_profile("srgb")]
PROFILES += [lut_profile(b"RGB ", 3), lut_profile(b"CMYK", 4)]


def npy(array: np.ndarray) -> bytes:
    return bytes_of(lambda file: np.save(file, array))


COUNTS = np.random.default_rng(0).integers(0, 1025, (6, 5, 4)).astype(np.uint16)
PACKED = [npy(COUNTS), npy(COUNTS.astype(">u2")), npy(np.asfortranarray(COUNTS))]
PACKED.append(bytes_of(lambda file: np.savez(file, raw=COUNTS)))


def save_legacy(path: Path) -> None:
    """Save a state_dict in the legacy format of PyTorch, before zip files."""
    torch.save(random_unet((4, 6), 1).state_dict(), path, _use_new_zipfile_serialization=False)


SAFETENSORS = [
    lambda path: save_network(random_unet((4, 6), 0), path),
    lambda path: save_network(LocalNAFNet((3, 5)).eval(), path),
]
PT = [lambda path: torch.save(random_unet((4, 6), 0).state_dict(), path), save_legacy]
DEMOSAIC = [lambda path: save_network(DemosaicNet(4, 4), path)]

MODELS = (ROOT / "trained_models" / "models.yaml").read_bytes()
CAMERAS = [path.read_bytes() for path in sorted((ROOT / "cameras").glob("*.yaml"))]
CONFIG = (ROOT / "config.yaml").read_bytes()
# every section filled in, while the committed file leaves some empty
FULL_CONFIG = yaml.safe_load(CONFIG) | {"output_format": "dng", "bit_depth": 12, "white_level": 4000}
FULL_CONFIG |= {"black_level": 64, "noise": {"iso": 400, "seed": 3}, "gps": True}
SETTINGS = [
    yaml.safe_dump(yaml.safe_load(CONFIG)["training"]).encode(),
    b"batch_size: 3\nloss: {oe: {l1: 0.5, colour: 1}}\nwidths: [4, 6]\n",
    (ROOT / "trained_models" / "samsung_s7" / "training.yaml").read_bytes(),
]

LINEAR16 = (scene(0, 32, 48).clip(0, 1) * 16000 + 64).astype(np.uint16)
DNG = [
    lambda path: write_dng(path, bayer_of(scene(0, 32, 48))),
    lambda path: write_dng(path, bayer_of(scene(0, 32, 48), "GRBG"), "GRBG"),
    lambda path: write_dng(path, bayer_of(scene(0, 33, 47)), black=(60, 61, 62, 63), orientation=6),
    lambda path: write_tiff(path, LINEAR16, (1, 1), b""),
]

SEEDS: dict[str, list[bytes | Callable[[Path], None]]] = {
    **{"jpeg": JPEG, "png": PNG, "tiff": TIFF, "heic": HEIC, "avif": AVIF, "webp": WEBP},
    **{"exif": [JPEG[0], PNG[0], TIFF[0], TIFF[12], HEIC[3]], "icc": PROFILES, "packed": PACKED, "dng": DNG},
    **{"config": [CONFIG, yaml.safe_dump(FULL_CONFIG).encode()], "settings": SETTINGS},
    **{"models": [MODELS], "camera": CAMERAS},
    **{"safetensors": SAFETENSORS, "pt": PT, "demosaic": DEMOSAIC},
    **{name: [b"a text"] for name in ("raises", "two_lines", "dies", "hangs", "fills")},
}
# suffix of the files to write, since some libraries select the format by it
LISTS = {".jpg": JPEG, ".png": PNG, ".tif": TIFF, ".heic": HEIC, ".avif": AVIF, ".webp": WEBP}
SUFFIXES = {id(seed): suffix for suffix, seeds in LISTS.items() for seed in seeds}


def write_seeds(folder: Path, readers: list[str]) -> None:
    """Write each file as FOLDER/READER/NUMBER."""
    for reader in readers:
        (folder / reader).mkdir(parents=True)
        torch.manual_seed(0)  # for the untrained networks
        for number, seed in enumerate(SEEDS[reader]):
            default = ".safetensors" if reader in ("safetensors", "demosaic") else ""
            path = folder / reader / f"{number:02}{SUFFIXES.get(id(seed), default)}"
            path.write_bytes(seed) if isinstance(seed, bytes) else seed(path)
