"""Find cameras: by a profile, by one of their RAW files, or by a name that LibRaw knows."""

import ctypes
import difflib
import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import tifffile

from omf.io.camera_raw import CAMERA_RAW_SUFFIXES, import_rawpy, open_camera_raw
from omf.io.dng_tags import read_dng_tags
from omf.io.exif import ISO, read_exif
from omf.io.maker_notes import GainReader
from omf.raw.bayer import CFA_ORIGINS
from omf.raw.camera import LIGHT_SOURCES, OTHER_CFA, Camera, load_camera, profile_path
from omf.raw.camera_colours import Carriage, check_carries, colour_matrix_of, neutral_under, white_of
from omf.utils.console import count_of
from omf.utils.errors import InputError
from omf.utils.sections import AUTO

GENERIC = "generic_phone"  # profile of all that a matrix does not tell
GREYS = ("A", "D50", "D65")  # illuminants whose neutrals a profile without measured ones lists
PROBE_SIDE = 64  # pixels; LibRaw opens no DNG below 21
# Standard illuminant for values of the EXIF tag LightSource; flash and daylight are near D55
ILLUMINANTS = {number: light for light, (number, _) in LIGHT_SOURCES.items()} | {
    **{1: "D55", 2: "D50", 3: "A", 4: "D55", 9: "D55", 10: "D65", 11: "D75"},
}


def find_camera(name: str) -> Camera:
    """Return a camera by a profile (see `load_camera`), by a RAW file of it, or by a name LibRaw knows.

    Raises InputError if there is none, it is not valid, or has no colour matrix.
    """
    if is_profile(name):
        return load_camera(name)
    if Path(name).suffix.lower() in CAMERA_RAW_SUFFIXES:
        return camera_of_file(Path(name))
    if camera := camera_of_name(name):
        return camera
    try:
        return load_camera(name)  # which tells the profiles
    except InputError as error:
        near = similar_names(name)
        such_as = f", such as {' or '.join(near)}" if near else ""
        raise InputError(
            f"{error}; or give a RAW file of the camera, or a name that LibRaw knows{such_as}"
        ) from None


def is_profile(name: str) -> bool:
    """Return True for the name of a profile that exists, or a YAML file."""
    return name.endswith(".yaml") or os.path.isfile(profile_path(name))  # noqa: PTH113, since Path.is_file raises on names that are too long


@cache
def camera_of_name(name: str) -> Camera | None:
    """Return a camera that LibRaw knows by maker and model, such as `NIKON D750`, or None.

    LibRaw fills in the matrix of its table for a DNG without one. Raises InputError without rawpy.
    """
    maker, _, model = " ".join(name.split()).partition(" ")
    if not model or not name.isascii() or not name.isprintable():
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.dng"
        write_probe(path, maker, model)
        with open_camera_raw(path) as raw:
            from_xyz = raw.rgb_xyz_matrix[:3].astype(np.float64)
    if not from_xyz.any():
        return None
    return with_matrices(load_camera(GENERIC), f"{maker} {model}", {"D65": from_xyz})


def write_probe(path: Path, maker: str, model: str) -> None:
    """Write a small black DNG of a camera, without colour matrix."""
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            np.zeros((PROBE_SIDE, PROBE_SIDE), np.uint16),
            photometric="cfa",
            metadata=None,
            software=False,
            extratags=[
                ("Make", "s", 0, maker),
                ("Model", "s", 0, model),
                ("CFARepeatPatternDim", "H", 2, (2, 2)),
                ("CFAPattern", "B", 4, bytes([0, 1, 1, 2])),
                ("DNGVersion", "B", 4, bytes([1, 4, 0, 0])),
            ],
        )


def similar_names(name: str) -> list[str]:
    """Return up to three names of cameras in LibRaw's list that resemble a name; none without rawpy."""
    try:
        listed = {known.casefold(): known for known in known_names()}
    except InputError:
        return []
    found = difflib.get_close_matches(name.casefold(), listed, 3, 0.7)
    # a model without its maker
    found += [key for key in listed if key.endswith(f" {name.casefold()}")]
    return [listed[key] for key in dict.fromkeys(found)][:3]


@cache
def known_names() -> tuple[str, ...]:
    """Return the names of cameras in LibRaw's list; empty where the library does not show it."""
    rawpy = import_rawpy()
    try:
        library = ctypes.CDLL(rawpy._rawpy.__file__)  # which is linked with LibRaw
        library.libraw_cameraList.restype = ctypes.POINTER(ctypes.c_char_p)
        names = library.libraw_cameraList()
        return tuple(names[index].decode() for index in range(library.libraw_cameraCount()))
    except (OSError, AttributeError):
        return ()


def camera_of_file(path: Path) -> Camera:
    """Return the camera of a RAW file: its matrices, levels, CFA, frame and noise.

    All else is that of the profile `generic_phone`. The noise is that of a DNG's NoiseProfile, if the file
    tells its ISO too. The CFA of another sensor than one with a Bayer pattern is `OTHER_CFA`.

    Raises InputError if the file can't be read, tells no colour matrix, or has other colours than R, G and B.
    """
    with open_camera_raw(path) as raw:
        tags, exif = read_dng_tags(path), read_exif(path)
        from_xyz = raw.rgb_xyz_matrix[:3].astype(np.float64)
        black, white = round(float(np.mean(raw.black_level_per_channel))), int(raw.white_level)
        frame = (int(raw.sizes.height), int(raw.sizes.width))
        colours, cfa = raw.color_desc.decode(), OTHER_CFA
        if tags and tags.linear:  # which does not tell the CFA
            cfa = "RGGB"
        elif raw.raw_pattern is not None and raw.raw_pattern.shape == (2, 2):
            cfa = "".join(colours[colour] for colour in raw.raw_colors_visible[:2, :2].ravel())
    if set(colours) - set("RGB"):
        raise InputError(f"{path}: from a sensor of the colours {colours}; give RAW of red, green and blue")
    matrices = {"D65": from_xyz} if from_xyz.any() else {}
    if tags and tags.colour_matrices:
        matrices = {ILLUMINANTS.get(light, "D65"): matrix for light, matrix in tags.colour_matrices}
    if not matrices:
        raise InputError(
            f"{path}: no colour matrix in it, and LibRaw knows none of this camera; give another RAW file, or"
            " a profile"
        )
    maker, model = exif.make, exif.model
    camera = with_matrices(load_camera(GENERIC), full_name(maker, model) or path.stem, matrices)
    noise = {}
    if tags and tags.shot_noise and (iso := exif.capture.get(ISO)):
        noise = {"shot_noise": tags.shot_noise / iso}
    cfa = cfa if cfa in CFA_ORIGINS else OTHER_CFA
    return replace(camera, cfa=cfa, black_level=black, white_level=white, frame=frame, **noise)


def with_matrices(camera: Camera, name: str, matrices: dict[str, np.ndarray]) -> Camera:
    """Return a camera with the colours that matrices tell, and all else of another one.

    `matrices` are XYZ to camera RGB, (3, 3), by illuminant. Raises InputError if they can't be used.
    """
    whites = {light: chromaticity for light, (_, chromaticity) in LIGHT_SOURCES.items()}
    camera = replace(camera, name=name, xyz_matrices=matrices, illuminants=dict.fromkeys(matrices))
    with np.errstate(all="ignore"):  # of matrices that can't be used
        neutrals = {light: neutral_under(camera, whites[light]) for light in {*GREYS, *matrices}}
        colours = np.array([colour_matrix_of(matrix, light) for light, matrix in matrices.items()])
    if not np.isfinite(colours).all() or abs(np.linalg.det(colours)).min() < 1e-6:
        raise InputError(f"camera {name}: its colour matrix can't be used; give a profile")
    return replace(
        camera,
        neutrals=np.array([neutrals[light][[0, 2]] for light in GREYS]),
        weights=np.full(len(GREYS), 1 / len(GREYS)),
        colour_matrices=colours,
        illuminants={light: neutrals[light] for light in matrices},
    )


def camera_of_photo(path: Path) -> Camera | None:
    """Return the camera that took a photo, by its EXIF, or None if LibRaw does not know it."""
    exif = read_exif(path)
    return camera_of_model(exif.make, exif.model)


def camera_of_model(make: str, model: str) -> Camera | None:
    """Return the camera of the EXIF fields Make and Model, or None if LibRaw does not know it."""
    maker = make.partition(" ")[0]  # as NIKON CORPORATION
    return camera_of_name(full_name(maker, model)) if maker and model else None


def full_name(maker: str, model: str) -> str:
    """Return the name of a camera, of which its maker may be a part."""
    return model if model.casefold().startswith(maker.casefold()) else f"{maker} {model}"


def asked_camera(setting: str, own: str, photo: Path) -> str:
    """Return the name, for `find_camera`, of the camera whose RAW of a photo is asked for; empty: the own.

    `setting` is `camera` in config.yaml, `own` the model's camera.
    """
    if setting != AUTO:
        return "" if setting == own else setting
    camera = camera_of_photo(photo)
    return camera.name if camera else ""


def noted_neutral(photo: Path, target: Camera, gains: GainReader) -> tuple[float, float] | None:
    """Return R/G and B/G of a grey in a camera's RAW, in the light that the photo's own camera noted.

    None if the photo tells no gains, LibRaw does not know its camera, or no light has such gains.
    """
    camera, found = camera_of_photo(photo), gains(photo)
    if camera is None or found is None:
        return None
    neutral = np.array([1 / found[0], 1, 1 / found[1]])
    if camera.name != target.name:
        white = white_of(camera, neutral)
        if white == LIGHT_SOURCES["D50"][1]:
            return None
        neutral = neutral_under(target, white)
    return float(neutral[0]), float(neutral[2])


def carriage_to(own: Camera, asked: str) -> Carriage | None:
    """Return the carriage from a model's own camera to one that is asked for; None if `asked` is empty."""
    return Carriage(own, find_camera(asked)) if asked else None


def find_cameras(cameras: Mapping[str, str]) -> dict[str, Camera]:
    """Return the cameras of photos that have another than the model's own; see `asked_camera`."""
    found = {asked: find_camera(asked) for asked in {*cameras.values()} if asked}
    return {photo: found[asked] for photo, asked in cameras.items() if asked}


def label_of(asked: str) -> str:
    """Return the name of a camera for people: that of a profile, or in a RAW file."""
    return asked if is_profile(asked) else find_camera(asked).name


def cameras_line(cameras: Mapping[str, str], own: str) -> str:
    """Return a line of the cameras of RAW, as `asked_camera` returns them, with their numbers of photos."""
    counts = Counter(cameras.values())
    names = {asked: label_of(asked) if asked else f"{own}, the model's own" for asked in counts}
    return "cameras: " + "; ".join(
        f"{names[asked]} ({count_of(count, 'photo')})" for asked, count in sorted(counts.items())
    )


def neutrals_line(neutrals: Mapping[str, Sequence[float] | None]) -> str:
    """Return a line of how many photos, by name, tell their white balance."""
    told = sum(neutral is not None for neutral in neutrals.values())
    return f"white balance: of the maker notes in {told} of {count_of(len(neutrals), 'photo')}"


def check_camera(setting: str, own: str) -> Camera:
    """Return the camera that a setting asks for, of `auto` the model's own.

    Raises InputError if it is not found, RAW of the own one can't be carried to it, or rawpy is missing.
    """
    source = find_camera(own)
    if setting in ("", own):
        return source
    if setting == AUTO:
        import_rawpy()
        return source
    check_carries(source, target := find_camera(setting))
    return target
