"""What reads files of each kind, and what it promises: a proper value, or an InputError of one line that names the file."""

import dataclasses
import math
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mutations
import numpy as np
import yaml
from mutations import Damage, Rng

from omf.utils.errors import MAX_LINE_LENGTH, UNPRINTABLE, InputError
from omf.utils.yaml import BoundedLoader

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Reader:
    """Of one kind of file."""

    damage: Damage
    read: Callable[[Path], None]  # AssertionError where the value is not proper
    suffix: str
    share: int = 1  # of the cases
    needs: str | None = None  # an optional package


def check_message(error: InputError, path: Path | str) -> None:
    line = str(error)
    assert str(path) in line, f"does not name {path}: {line[:300]}"
    assert not UNPRINTABLE.search(line), f"not one printable line: {line[:300]!r}"
    assert len(line) <= MAX_LINE_LENGTH, f"{len(line)} characters: {line[:300]}"
    assert "memory that there is" not in line, line  # no file here is so large


def read_picture(path: Path) -> None:
    from omf.io.images import read_rgb

    rgb = read_rgb(path)
    assert type(rgb) is np.ndarray and rgb.dtype in (np.uint8, np.uint16) and rgb.flags.c_contiguous, (
        type(rgb),
        rgb.dtype,
    )
    assert rgb.ndim == 3 and rgb.shape[-1] == 3 and min(rgb.shape[:2]) >= 2, rgb.shape


def read_exif(path: Path) -> None:
    from omf.io.exif import PLACE, TAKEN, directory
    from omf.io.exif import read_exif as read

    exif = read(path, gps=True)
    assert exif.orientation in range(1, 9)
    assert all(isinstance(text, str) for text in (exif.make, exif.model, exif.date))
    for values, known in ((exif.taken, TAKEN), (exif.place, PLACE)):
        assert values.keys() <= known.keys()
        directory(values, known, 8)  # as a DNG takes it up


@cache
def colours(channels: int, dtype: type) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (8, 9, channels)).astype(dtype)


def read_icc(path: Path) -> None:
    from omf.io.icc import to_srgb

    for channels, dtype in ((1, np.uint8), (3, np.uint8), (3, np.uint16), (4, np.uint8)):
        rgb = to_srgb(colours(channels, dtype), path.read_bytes())
        assert rgb is None or (rgb.shape == (8, 9, 3) and rgb.dtype == dtype)


def read_packed(path: Path) -> None:
    from omf.io.packed import read_packed as read

    for white in (1024, 4095):
        counts = read(path, white)
        assert (
            type(counts) is np.ndarray
            and counts.ndim == 3
            and counts.shape[-1] == 4
            and counts.max(initial=0) <= 1024
        )
        assert counts.dtype == (np.uint16 if white == 1024 else np.float64)


@cache
def schema() -> dict:
    return yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text())


def read_config(path: Path) -> None:
    """As the workflow does, which leaves parsing to Snakemake."""
    from omf.io.raw_formats import FORMAT_SUFFIXES, challenge_of, raw_format
    from omf.models.registry import find_model
    from omf.pipeline.config import check_config
    from omf.raw.camera import load_camera
    from omf.training.settings import settings_from

    try:
        config = yaml.load(path.read_bytes(), BoundedLoader)
    except Exception:  # PyYAML's, which Snakemake tells
        raise InputError(f"{path}: no YAML") from None
    if not isinstance(config, dict):
        raise InputError(f"{path}: no settings")
    try:
        config = check_config(config, ROOT / "workflow" / "schemas" / "config.schema.yaml")
        camera = load_camera("samsung_s7")
        for settings in (config, challenge_of(config)):
            of = raw_format(settings, camera)
            assert (
                of.kind in FORMAT_SUFFIXES
                and of.bit_depth in (10, 12, 14)
                and 0 <= of.black_level < of.white_level < 2**14 + 1
            )
        check_settings(settings_from(config["training"]))
        assert find_model(config["model"]).camera
        check_message(InputError(repr(config)), "")
    except InputError as error:
        check_message(error, "")
        raise InputError(f"{path}: {error}") from error


def read_models(path: Path) -> None:
    from omf.models.registry import find_model, read_models

    (path.parent / "models.yaml").write_bytes(path.read_bytes())
    try:
        models = read_models(path.parent)
        for name, model in models.items():
            assert find_model(name, path.parent) is not None and isinstance(name, str)
            assert model.method in ("fusion", "unprocess") and (model.widths is None) == (
                model.method != "fusion"
            )
            if model.method == "fusion":
                assert model.oe and model.noe
                assert all(type(width) is int and width > 0 for width in model.widths)
            for file in model.files:
                assert (
                    isinstance(file.path, Path)
                    and isinstance(file.bytes, int | None)
                    and isinstance(file.url, str | None)
                )
                assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
            assert all(
                isinstance(getattr(model, key), str) for key in ("camera", "description", "source", "licence")
            )
            assert isinstance(model.extra_data, bool) and isinstance(model.trained_here, bool)
    except InputError as error:
        check_message(error, path.parent / "models.yaml")
        raise InputError(f"{path}: refused") from error


def read_camera(path: Path) -> None:
    from omf.raw.camera import load_camera
    from omf.raw.simulator import sample_settings

    camera = load_camera(str(path.with_suffix("")))
    assert isinstance(camera.name, str) and 0 <= camera.black_level < camera.white_level <= 65535
    assert all(
        np.isfinite(values).all()
        for values in (camera.neutrals, camera.weights, camera.spread, camera.colour_matrices)
    )
    assert camera.colour_matrices.shape[1:] == (3, 3) and camera.neutrals.shape == (len(camera.weights), 2)
    assert camera.mean_neutral.shape == (3,) and (camera.mean_neutral > 0).all()
    assert camera.shot_noise > 0 and abs(camera.subsampling.sum() - 1) < 1e-6 and len(camera.frame) == 2
    shot = sample_settings(camera, np.random.default_rng(0))
    assert (shot.neutral > 0).all() and math.isfinite(shot.exposure)


def check_settings(settings: object) -> None:
    """Types as the defaults have them, all through."""
    for field in dataclasses.fields(settings):
        value, default = getattr(settings, field.name), getattr(type(settings)(), field.name)
        if dataclasses.is_dataclass(default):
            check_settings(value)
        elif isinstance(default, bool | str):
            assert type(value) is type(default), (field.name, value)
        elif isinstance(default, float):
            assert type(value) in (int, float) and math.isfinite(value), (field.name, value)
        elif isinstance(default, int):
            assert type(value) is int, (field.name, value)
        else:
            kind = int if field.name == "widths" else str
            assert isinstance(value, list) and all(type(entry) is kind for entry in value), (
                field.name,
                value,
            )


def read_settings(path: Path) -> None:
    from omf.training.settings import read_settings as read

    settings = read(path)
    check_settings(settings)


def read_dng(path: Path) -> None:
    from omf.io.camera_raw import read_camera_raw

    raw = read_camera_raw(path)
    assert (
        raw.mosaic.dtype == np.float32
        and raw.mosaic.ndim == 2
        and raw.cfa in ("RGGB", "GRBG", "GBRG", "BGGR")
    )
    assert raw.mosaic.min(initial=0) >= 0 and raw.mosaic.max(initial=0) <= 1 and raw.flip in range(8)
    assert raw.bayer.ndim == 2 and min(raw.bayer.shape) >= 2 and not any(size % 2 for size in raw.bayer.shape)


def read_weights(path: Path) -> None:
    import torch

    from omf.models.checkpoints import load_network

    network = load_network(path)
    assert not network.training and all(
        torch.isfinite(value).all() for value in network.state_dict().values()
    )
    assert len(network.widths) == network.depth + 1


def read_demosaic_net(path: Path) -> None:
    import torch

    from omf.models.checkpoints import load_demosaic_net

    network = load_demosaic_net(path)
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 4, 4)).shape == (1, 3, 4, 4)


def of_any_picture(seeds: list[bytes], rng: Rng) -> bytes:
    """By the format of the file that is drawn."""
    seed = mutations.pick(seeds, rng)
    if seed.startswith(b"\x89PNG"):
        return mutations.of_png([seed], rng)
    return (
        mutations.of_tiff([seed], rng)
        if seed[:2] in (b"II", b"MM")
        else mutations.of_bytes([seed, *seeds], rng)
    )


READERS = {
    "jpeg": Reader(mutations.of_bytes, read_picture, ".jpg", 12),
    "png": Reader(mutations.of_png, read_picture, ".png", 12),
    "tiff": Reader(mutations.of_tiff, read_picture, ".tif", 16),
    "heic": Reader(mutations.of_bytes, read_picture, ".heic", 8, "pillow_heif"),
    "exif": Reader(of_any_picture, read_exif, ".jpg", 8),
    "icc": Reader(mutations.of_bytes, read_icc, ".icc", 8),
    "packed": Reader(mutations.of_npy, read_packed, ".npy", 8),
    "config": Reader(mutations.of_yaml, read_config, ".yaml", 3),
    "models": Reader(mutations.of_yaml, read_models, ".yaml", 3),
    "camera": Reader(mutations.of_yaml, read_camera, ".yaml", 3),
    "settings": Reader(mutations.of_yaml, read_settings, ".yaml", 4),
    "dng": Reader(mutations.of_tiff, read_dng, ".dng", 8, "rawpy"),
    "safetensors": Reader(mutations.of_safetensors, read_weights, ".safetensors", 6),
    "pt": Reader(mutations.of_zip, read_weights, ".pt", 6),
    "demosaic": Reader(mutations.of_safetensors, read_demosaic_net, ".safetensors", 3),
}


def read_backwards(path: Path) -> None:
    raise KeyError(path.name)


def tell_much(path: Path) -> None:
    error = InputError(f"{path}: wrong")
    error.args = (f"{path}: wrong\nand more",)
    raise error


def wait(path: Path) -> None:
    time.sleep(3600)


def fill(path: Path) -> None:
    bytearray(3 * 2**30)


# that break the promise in every way, which `test_fuzz.py` expects to be noticed
READERS |= {
    name: Reader(mutations.of_bytes, read, ".txt", 0)
    for name, read in {
        "raises": read_backwards,
        "tells": tell_much,
        "dies": lambda path: os.abort(),
        "hangs": wait,
        "fills": fill,
    }.items()
}
