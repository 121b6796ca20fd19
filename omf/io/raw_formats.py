"""How reconstructed RAW leaves: the challenges' packed counts, or a mosaic of any bit depth, levels and CFA order."""

import math
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np

from omf.io.dng import preview_of, write_dng
from omf.io.exif import read_exif
from omf.io.images import read_rgb
from omf.raw import isp
from omf.raw.bayer import WHITE_LEVEL, mosaic_of_all, pack, to_challenge_counts, whole_cells
from omf.raw.camera import Camera, name_seed, typical_read_noise
from omf.raw.white_balance import estimate_neutral
from omf.utils.errors import InputError
from omf.utils.files import atomic_write, save_npy

FORMAT_SUFFIXES = {"npy": ".npy", "mosaic": ".npy", "npz": ".npz", "png": ".png", "dng": ".dng"}


@dataclass(frozen=True)
class Challenge:
    """What a challenge's packed files hold."""

    bit_depth: int
    white_level: int  # counts for 1.0


CHALLENGES = {"aim2022": Challenge(10, WHITE_LEVEL), "ntire2025": Challenge(12, 4095)}


@dataclass(frozen=True)
class Noise:
    """Of a sensor; see `isp.add_noise`."""

    shot: float
    read: float
    seed: int = 0

    def on(self, bayer: np.ndarray, name: str) -> np.ndarray:
        """A mosaic (H, W) with noise, the same for the same name and seed; what lies below black or above white is not cut off yet."""
        rng = np.random.default_rng([self.seed, name_seed(name)])
        return isp.add_noise(bayer, self.shot, self.read, rng)


@dataclass(frozen=True)
class RawFormat:
    """What is written of a picture; `raw_format` checks the settings."""

    kind: str = "npy"  # one of FORMAT_SUFFIXES; npy is the challenge's
    bit_depth: int = 10
    white_level: int = WHITE_LEVEL  # counts for 1.0
    black_level: int = 0  # counts for 0.0
    cfa: str = "RGGB"
    noise: Noise | None = None
    gps: bool = False  # whether a DNG tells the photo's place

    @property
    def suffix(self) -> str:
        return FORMAT_SUFFIXES[self.kind]

    @property
    def is_packed(self) -> bool:
        return self.kind in ("npy", "npz")


def raw_format(settings: dict, camera: Camera) -> RawFormat:
    """The format that settings ask for.

    Args:
        settings: `challenge`, `output_format`, `bit_depth`, `white_level`, `black_level`, `cfa`, `noise` and `gps`, as in config.yaml.
        camera: of noise that is given as an ISO number.

    Raises:
        InputError: settings that contradict each other.
    """
    kind, challenge = settings["output_format"], CHALLENGES[settings["challenge"]]
    bit_depth, white, black, cfa = (
        settings[key] for key in ("bit_depth", "white_level", "black_level", "cfa")
    )
    noise = noise_of(settings["noise"] or {}, camera)
    if white is not None and white < 1:
        raise InputError(f"white_level is {white}; give the counts for white, 1 or more")
    if black < 0:
        raise InputError(f"black_level is {black}; give the counts for black, 0 or more")
    if kind == "npy":
        for key, value, its in (
            ("bit_depth", bit_depth, challenge.bit_depth),
            ("white_level", white, challenge.white_level),
            ("black_level", black, 0),
            ("cfa", cfa, "RGGB"),
        ):
            if value not in (None, its):
                raise InputError(
                    f"{key} is {value}, but output_format npy is the format of {settings['challenge']}, which has {its};"
                    " take another output_format, or another challenge"
                )
        return RawFormat(kind, challenge.bit_depth, challenge.white_level, 0, "RGGB", noise)
    bit_depth = bit_depth or 14
    white = white or 2**bit_depth - 1
    if white > 2**bit_depth - 1:
        raise InputError(f"white_level is {white}; {bit_depth} bits hold {2**bit_depth - 1} at most")
    if black >= white:
        raise InputError(f"black_level is {black}; it must lie below the white level, {white}")
    return RawFormat(kind, bit_depth, white, black, cfa, noise, settings["gps"] and kind == "dng")


def challenge_of(settings: dict) -> dict:
    """The same settings, but of the challenge's own format, which is scored: noise remains."""
    return settings | {
        "output_format": "npy",
        "bit_depth": None,
        "white_level": None,
        "black_level": 0,
        "cfa": "RGGB",
    }


def noise_of(settings: dict, camera: Camera) -> Noise | None:
    """`shot` and `read`, or `iso` for the camera's own noise at that sensitivity; and a `seed`. Raises InputError."""
    given = settings.keys() - {"seed"}
    if not given:
        return None
    seed = settings.get("seed", 0)
    for key, value in settings.items():
        if not 0 <= value < math.inf or (key == "iso" and value == 0):
            raise InputError(
                f"noise has {key} {value}; give a number {'above 0' if key == 'iso' else 'that is not below 0'}"
            )
    if given == {"iso"}:
        shot = camera.shot_noise * settings["iso"]
        return Noise(shot, typical_read_noise(shot), seed)
    if given == {"shot", "read"}:
        return Noise(settings["shot"], settings["read"], seed)
    raise InputError(f"noise has {', '.join(sorted(given))}; give iso, or shot and read")


def counts_of(raw: np.ndarray, name: str, of: RawFormat) -> np.ndarray:
    """What a file of the format holds.

    Args:
        raw: demosaiced RAW, float32 (H, W, 3) in [0, 1].
        name: of the picture, which decides its noise.
        of: the format.

    Returns:
        uint16: packed (H/2, W/2, 4), without a last odd row and column, or the mosaic (H, W). A challenge's counts are truncated,
        as it does; others are rounded, and the black level lies below them.
    """
    bayer = mosaic_of_all(raw, of.cfa)
    if of.noise:
        bayer = of.noise.on(bayer, name)
    counts = (
        to_challenge_counts(bayer, of.white_level)
        if of.kind == "npy"
        else isp.to_sensor_counts(bayer, of.black_level, of.white_level)
    )
    return pack(whole_cells(counts)) if of.is_packed else counts


@dataclass(frozen=True)
class Writer:
    """Writes pictures in a format: the `write` of `omf.pipeline.stream.stream`."""

    folder: Path
    format: RawFormat
    camera: Camera  # whose RAW it is
    model: str
    photos: dict[str, Path]  # by name

    def __call__(self, name: str, raw: np.ndarray) -> None:
        """Write demosaiced RAW, float32 (H, W, 3) in [0, 1], whole or not at all."""
        path = self.folder / f"{name}{self.format.suffix}"
        counts = counts_of(raw, name, self.format)
        if self.format.kind == "npz":
            with atomic_write(path) as temporary, temporary.open("wb") as file:
                np.savez(file, raw=counts, **self.description())
        elif self.format.kind == "dng":
            self.write_dng(path, counts, raw, self.photos[name])
        elif self.format.kind == "png":
            with atomic_write(path) as temporary:
                temporary.write_bytes(imagecodecs.png_encode(counts, level=1))
        else:
            save_npy(path, counts)

    def write_dng(self, path: Path, counts: np.ndarray, raw: np.ndarray, photo: Path) -> None:
        of, rgb = self.format, read_rgb(photo)
        if rgb.shape != raw.shape:
            raise InputError(
                f"{photo}: changed while it was worked on, to {rgb.shape[1]} x {rgb.shape[0]} pixels; run again"
            )
        write_dng(
            path,
            counts,
            preview_of(rgb),
            cfa=of.cfa,
            black_level=of.black_level,
            white_level=of.white_level,
            neutral=estimate_neutral(raw, rgb, self.camera),
            camera=self.camera,
            model=self.model,
            noise=(of.noise.shot, of.noise.read) if of.noise else None,
            exif=read_exif(photo, of.gps),
        )

    def description(self) -> dict[str, str | int]:
        """What goes with the counts."""
        of = self.format
        levels = {
            "max_val": of.white_level,
            "white_level": of.white_level,
            "black_level": of.black_level,
            "bit_depth": of.bit_depth,
        }
        return levels | {"cfa": of.cfa, "camera": self.camera.name, "model": self.model}


def from_dict(of: dict) -> RawFormat:
    """Undo `dataclasses.asdict`."""
    return RawFormat(**of | {"noise": Noise(**of["noise"]) if of["noise"] else None})
