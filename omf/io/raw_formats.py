"""Formats of reconstructed RAW: a challenge's packed counts, or a mosaic of any bit depth, levels and CFA."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import imagecodecs
import numpy as np

from omf.io.dng import save_dng
from omf.io.exif import read_exif
from omf.io.images import read_rgb
from omf.io.local_files import local_file
from omf.raw import isp
from omf.raw.bayer import WHITE_LEVEL, crop_to_cells, mosaic_full, pack, to_challenge_counts
from omf.raw.camera import Camera, name_seed
from omf.raw.extra_curves import invert_curve
from omf.utils.errors import InputError
from omf.utils.files import atomic_write, check_is_file, save_npy

LEVEL_SETTINGS = ("bit_depth", "white_level", "black_level", "cfa")
# Settings of the challenge's own format, which is scored
SCORED = {"output_format": "npy", "bit_depth": None, "white_level": None, "black_level": 0, "cfa": "RGGB"}
FORMAT_SUFFIXES = {
    "npy": ".npy",
    "mosaic": ".npy",
    "npz": ".npz",
    "png": ".png",
    "dng": ".dng",
    "demosaiced": ".npz",
}


@dataclass(frozen=True)
class Challenge:
    """Levels of a challenge's packed files."""

    bit_depth: int
    white_level: int  # counts for 1.0


CHALLENGES = {"aim2022": Challenge(10, WHITE_LEVEL), "ntire2025": Challenge(12, 4095)}


@dataclass(frozen=True)
class Noise:
    """Shot and read noise of a sensor; see `isp.add_noise`."""

    shot: float
    read: float
    seed: int = 0

    def add_to(self, bayer: np.ndarray, name: str) -> np.ndarray:
        """Add noise, determined by photo name and seed, to a linear mosaic (H, W), without clipping."""
        rng = np.random.default_rng([self.seed, name_seed(name)])
        return isp.add_noise(bayer, self.shot, self.read, rng)


@dataclass(frozen=True)
class RawFormat:
    """File format, levels and CFA of RAW files; `parse_raw_format` checks the settings."""

    kind: str = "npy"  # key of FORMAT_SUFFIXES; npy is the challenge's format
    bit_depth: int = 10
    white_level: int = WHITE_LEVEL  # counts for 1.0
    black_level: int = 0  # counts for 0.0
    cfa: str = "RGGB"
    noise: Noise | None = None
    gps: bool = False  # True to copy the photo's GPS fields to a DNG

    @property
    def suffix(self) -> str:
        """Suffix of the files, with its dot."""
        return FORMAT_SUFFIXES[self.kind]

    @property
    def is_packed(self) -> bool:
        """True for packed RGGB, False for a mosaic."""
        return self.kind in ("npy", "npz")


def parse_raw_format(settings: dict, camera: Camera) -> RawFormat:
    """Build the RAW format from the settings. Raises InputError if they are out of range or contradict.

    Args:
        settings: `challenge`, `output_format`, `bit_depth`, `white_level`, `black_level`, `cfa`, `noise` and
            `gps`, as in config.yaml.
        camera: camera whose noise is added if `noise` is an ISO sensitivity.
    """
    kind, challenge = settings["output_format"], CHALLENGES[settings["challenge"]]
    bit_depth, white, black, cfa = (settings[key] for key in LEVEL_SETTINGS)
    noise = parse_noise(settings["noise"] or {}, camera)
    if white is not None and white < 1:
        raise InputError(f"white_level is {white}; give the counts for white, 1 or more")
    if black < 0:
        raise InputError(f"black_level is {black}; give the counts for black, 0 or more")
    if kind == "npy":
        scored = RawFormat(kind, challenge.bit_depth, challenge.white_level, noise=noise)
        for key in LEVEL_SETTINGS:
            expected = getattr(scored, key)
            if settings[key] not in (None, expected):
                raise InputError(
                    f"{key} is {settings[key]}, but output_format npy is the format of"
                    f" {settings['challenge']}, which has {expected};"
                    " use another output_format, or another challenge"
                )
        return scored
    bit_depth = bit_depth or 14
    white = white or 2**bit_depth - 1
    if white > 2**bit_depth - 1:
        raise InputError(f"white_level is {white}; {bit_depth} bits hold {2**bit_depth - 1} at most")
    if black >= white:
        raise InputError(f"black_level is {black}; it must lie below the white level, {white}")
    return RawFormat(kind, bit_depth, white, black, cfa, noise, settings["gps"] and kind == "dng")


def challenge_settings(settings: dict) -> dict:
    """Return a copy of the settings with the challenge's own format, which is scored; noise is kept."""
    return settings | SCORED


def parse_noise(settings: dict, camera: Camera) -> Noise | None:
    """Build the noise from `shot` and `read`, or from the camera's `iso`, or none; `seed` is optional.

    Raises InputError if they are out of range or contradict each other.
    """
    given = settings.keys() - {"seed"}
    if not given:
        return None
    seed = settings.get("seed", 0)
    for key, value in settings.items():
        if not 0 <= value < math.inf or (key == "iso" and value == 0):
            raise InputError(
                f"noise has {key} {value}; give a number {'above 0' if key == 'iso' else 'of 0 or more'}"
            )
    if given == {"iso"}:
        shot = camera.shot_noise * settings["iso"]
        return Noise(shot, camera.read_noise(shot), seed)
    if given == {"shot", "read"}:
        return Noise(settings["shot"], settings["read"], seed)
    raise InputError(f"noise has {', '.join(sorted(given))}; give iso, or shot and read")


def to_counts(raw: np.ndarray, name: str, raw_format: RawFormat) -> np.ndarray:
    """Convert demosaiced RAW, float32 (H, W, 3) in [0, 1], to the counts of a format.

    Counts of a challenge are truncated, as the challenge does; others are rounded and offset by the black
    level. The name of the file determines its noise.

    Returns:
        uint16: packed RGGB (H/2, W/2, 4), with an odd last row and column cropped, the mosaic (H, W), or
        demosaiced RAW (H, W, 3).
    """
    bayer = raw if raw_format.kind == "demosaiced" else mosaic_full(raw, raw_format.cfa)
    if raw_format.noise:
        bayer = raw_format.noise.add_to(bayer, name)
    if raw_format.kind == "npy":
        counts = to_challenge_counts(bayer, raw_format.white_level)
    else:
        counts = isp.to_sensor_counts(bayer, raw_format.black_level, raw_format.white_level)
    return pack(crop_to_cells(counts)) if raw_format.is_packed else counts


@dataclass(frozen=True)
class Writer:
    """Writer of RAW files in one format."""

    folder: Path
    format: RawFormat
    camera: Camera  # the model's camera
    model: str  # name of the model that reconstructed it
    scratch: bool = False  # True for files that are read back at once: not synced to disk

    def __call__(
        self,
        name: str,
        photo: Path,
        raw: np.ndarray,
        rgb: np.ndarray | None = None,
        curve: int | None = None,
        camera: Camera | None = None,
    ) -> None:
        """Write the RAW of a photo, atomically.

        Args:
            name: name of the file, which determines its noise.
            photo: photo file.
            raw: demosaiced RAW, float32 (H, W, 3) in [0, 1], or the counts of the format.
            rgb: the decoded photo, without an extra curve; None: a DNG reads it.
            curve: extra curve of the photo file, if it has one.
            camera: camera of this RAW, if it is another one than the model's.

        Raises InputError if for a DNG the photo cannot be read or has another size, or the file would exceed
        4 GiB.
        """
        camera = camera or self.camera
        path = self.folder / f"{name}{self.format.suffix}"
        counts = raw if raw.dtype == np.uint16 else to_counts(raw, name, self.format)
        how = {"synced": not self.scratch, "own": self.scratch}
        if path.suffix == ".npz":
            with atomic_write(path, **how) as temporary, temporary.open("wb") as file:
                np.savez(file, raw=counts, **self.metadata(camera))
        elif self.format.kind == "dng":
            if rgb is None:
                rgb = read_rgb(photo) if curve is None else invert_curve(read_rgb(photo), curve)
            self.write_dng(path, counts, raw, photo, rgb, camera)
        elif self.format.kind == "png":
            with atomic_write(path, **how) as temporary:
                temporary.write_bytes(imagecodecs.png_encode(counts, level=1))
        else:
            save_npy(path, counts, **how)

    def write_dng(
        self, path: Path, counts: np.ndarray, raw: np.ndarray, photo: Path, rgb: np.ndarray, camera: Camera
    ) -> None:
        """Write the counts as DNG, with a preview and the EXIF of the photo."""
        from omf.raw.photo_profile import photo_colours  # SciPy's solver takes long to load

        raw_format = self.format
        with local_file(photo) as file:
            check_is_file(file, "the photo itself, whose EXIF the DNG contains")
            exif = read_exif(file, raw_format.gps)
        if rgb.shape != raw.shape:
            raise InputError(
                f"{photo}: changed during the run, to {rgb.shape[1]} x {rgb.shape[0]} pixels; run again"
            )
        colours = photo_colours(raw, rgb, camera)
        if camera is not self.camera and exif.model not in camera.name:  # the RAW of another camera
            exif = replace(exif, make="", model="")
        save_dng(
            path,
            counts,
            rgb,
            cfa=raw_format.cfa,
            black_level=raw_format.black_level,
            white_level=raw_format.white_level,
            neutral=colours.neutral,
            camera=camera,
            model=self.model,
            profile=colours.profile,
            noise=(raw_format.noise.shot, raw_format.noise.read) if raw_format.noise else None,
            exif=exif,
            baseline_exposure=colours.stops,
            original_name=photo.name,
            synced=not self.scratch,
            own=self.scratch,
        )

    def metadata(self, camera: Camera) -> dict[str, str | int]:
        """Return the metadata of a .npz file."""
        names = ("white_level", "black_level", "bit_depth", "cfa")
        levels = {name: getattr(self.format, name) for name in names}
        if self.format.kind == "demosaiced":
            del levels["cfa"]
        return {"max_val": self.format.white_level, **levels, "camera": camera.name, "model": self.model}


def from_dict(fields: dict) -> RawFormat:
    """Invert `dataclasses.asdict`."""
    return RawFormat(**fields | {"noise": Noise(**fields["noise"]) if fields["noise"] else None})
