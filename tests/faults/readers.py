"""The reader of each kind of file, which must return a valid value or raise a one-line InputError."""

import json
import math
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jsonschema
import mutations
import numpy as np
import yaml
from mutations import Damage, Rng

from omf.io import camera_raw, exif, icc, images, packed
from omf.io.raw_formats import FORMAT_SUFFIXES, challenge_settings, parse_raw_format
from omf.models.registry import METHODS, find_model, read_list
from omf.pipeline.config import check_config
from omf.raw.camera import load_camera
from omf.raw.simulator import sample_settings
from omf.training import settings
from omf.utils.errors import MAX_LINE_LENGTH, UNPRINTABLE, InputError
from omf.utils.sections import Section
from omf.utils.yaml import BoundedLoader

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Reader:
    """The reader of one kind of file, and the mutation to test it with."""

    damage: Damage
    read: Callable[[Path], None]  # raises AssertionError if the value is not valid
    suffix: str
    share: int = 1  # relative number of cases
    needs: str | None = None  # required optional package


def check_message(error: InputError, path: Path | str) -> None:
    """Assert that the message is one printable line of limited length that names the file."""
    line = str(error)
    assert str(path) in line, f"does not name {path}: {line[:300]}"
    assert not UNPRINTABLE.search(line), f"not one printable line: {line[:300]!r}"
    assert len(line) <= MAX_LINE_LENGTH, f"{len(line)} characters: {line[:300]}"
    assert "available memory" not in line, line  # no file here is that large


def read_image(path: Path) -> None:
    rgb = images.read_rgb(path)
    assert type(rgb) is np.ndarray and rgb.flags.c_contiguous, type(rgb)
    assert rgb.dtype in (np.uint8, np.uint16), rgb.dtype
    assert rgb.ndim == 3 and rgb.shape[-1] == 3 and min(rgb.shape[:2]) >= 2, rgb.shape


def read_exif(path: Path) -> None:
    read = exif.read_exif(path, gps=True)
    assert read.orientation in range(1, 9)
    assert all(isinstance(text, str) for text in (read.make, read.model, read.date))
    for values, known in ((read.capture, exif.CAPTURE_TAGS), (read.gps, exif.GPS_TAGS)):
        assert values.keys() <= known.keys()
        exif.encode_ifd(values, known, 8)  # as written to a DNG


@cache
def colours(channels: int, dtype: type) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (8, 9, channels)).astype(dtype)


def read_icc(path: Path) -> None:
    for channels, dtype in ((1, np.uint8), (3, np.uint8), (3, np.uint16), (4, np.uint8)):
        rgb = icc.to_srgb(colours(channels, dtype), path.read_bytes())
        assert rgb is None or (rgb.shape == (8, 9, 3) and rgb.dtype == dtype)


def read_packed(path: Path) -> None:
    for white in (1024, 4095):
        counts = packed.read_packed(path, white)
        assert type(counts) is np.ndarray and counts.ndim == 3 and counts.shape[-1] == 4
        assert counts.max(initial=0) <= 1024
        assert counts.dtype == (np.uint16 if white == 1024 else np.float64)


def read_config(path: Path) -> None:
    """Check settings as the workflow does, which leaves parsing to Snakemake."""
    try:
        config = yaml.load(path.read_bytes(), BoundedLoader)
    except Exception:  # PyYAML's, which Snakemake reports
        raise InputError(f"{path}: no YAML") from None
    if not isinstance(config, dict):
        raise InputError(f"{path}: no settings")
    try:
        checked = check_config(config)
        config = checked.run_settings()
        for asked in (config, challenge_settings(config)):
            raw_format = parse_raw_format(asked, load_camera("samsung_s7"))
            assert raw_format.kind in FORMAT_SUFFIXES and raw_format.bit_depth in (10, 12, 14)
            assert 0 <= raw_format.black_level < raw_format.white_level < 2**14 + 1
        check_settings(checked)
        assert find_model(config["model"]).camera
        check_message(InputError(repr(config)), "")
    except InputError as error:
        check_message(error, "")
        raise InputError(f"{path}: {error}") from error


def read_models(path: Path) -> None:
    listing = path.parent / "models.yaml"
    listing.write_bytes(path.read_bytes())
    try:
        models, problems = read_list(listing)
        for name, problem in problems.items():
            check_message(problem, listing)
            assert name not in models
        for name, model in models.items():
            assert isinstance(name, str)
            assert model.method in METHODS and (model.widths is None) == (model.method != "fusion")
            if model.method == "fusion":
                assert model.oe and (model.noe or model.base)
                assert all(type(width) is int and width > 0 for width in model.widths)
            for file in model.files:
                assert isinstance(file.path, Path)
                assert isinstance(file.bytes, int | None) and isinstance(file.url, str | None)
                assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
            texts = (model.camera, model.description, model.source, model.licence)
            assert all(isinstance(text, str) for text in texts)
            assert isinstance(model.extra_data, bool) and isinstance(model.trained_here, bool)
        if problems:  # the other entries can be used
            raise InputError(f"{listing}: {len(problems)} entries are refused")
    except InputError as error:
        check_message(error, listing)
        raise InputError(f"{path}: refused") from error


def read_camera(path: Path) -> None:
    camera = load_camera(str(path.with_suffix("")))
    assert isinstance(camera.name, str) and 0 <= camera.black_level < camera.white_level <= 65535
    arrays = (camera.neutrals, camera.weights, camera.spread, camera.colour_matrices)
    assert all(np.isfinite(values).all() for values in arrays)
    assert camera.colour_matrices.shape[1:] == (3, 3) and camera.neutrals.shape == (len(camera.weights), 2)
    assert camera.mean_neutral.shape == (3,) and (camera.mean_neutral > 0).all()
    assert camera.shot_noise > 0 and abs(camera.subsampling.sum() - 1) < 1e-6 and len(camera.frame) == 2
    drawn = sample_settings(camera, np.random.default_rng(0))
    assert (drawn.neutral > 0).all() and math.isfinite(drawn.exposure)


def check_settings(section: Section) -> None:
    """Assert that accepted settings satisfy their JSON schema, an independent check, and are finite."""
    values = section.model_dump()
    jsonschema.validate(values, section.model_json_schema())
    json.dumps(values, allow_nan=False)


def read_settings(path: Path) -> None:
    check_settings(settings.read_settings(path))


def read_dng(path: Path) -> None:
    raw = camera_raw.read_camera_raw(path)
    assert raw.mosaic.dtype == np.float32 and raw.mosaic.ndim == 2
    assert raw.cfa in ("RGGB", "GRBG", "GBRG", "BGGR")
    assert raw.mosaic.min(initial=0) >= 0 and raw.mosaic.max(initial=0) <= 1
    assert raw.bayer.ndim == 2 and min(raw.bayer.shape) >= 2 and not any(size % 2 for size in raw.bayer.shape)


def read_weights(path: Path) -> None:
    import torch

    from omf.models.checkpoints import load_network

    network = load_network(path)
    assert not network.training
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())
    assert len(network.widths) == network.depth + 1


def read_demosaic_net(path: Path) -> None:
    import torch

    from omf.models.checkpoints import load_demosaic_net

    network = load_demosaic_net(path)
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 4, 4)).shape == (1, 3, 4, 4)


def mutate_image(seeds: list[bytes], rng: Rng) -> bytes:
    """Mutate a random file according to its format."""
    seed = mutations.pick(seeds, rng)
    if seed.startswith(b"\x89PNG"):
        return mutations.mutate_png([seed], rng)
    if seed[:2] in (b"II", b"MM"):
        return mutations.mutate_tiff([seed], rng)
    return mutations.mutate_bytes([seed, *seeds], rng)


READERS = {
    "jpeg": Reader(mutations.mutate_bytes, read_image, ".jpg", 12),
    "png": Reader(mutations.mutate_png, read_image, ".png", 12),
    "tiff": Reader(mutations.mutate_tiff, read_image, ".tif", 16),
    "heic": Reader(mutations.mutate_bytes, read_image, ".heic", 8, "pillow_heif"),
    "avif": Reader(mutations.mutate_bytes, read_image, ".avif", 8),
    "webp": Reader(mutations.mutate_bytes, read_image, ".webp", 8),
    "exif": Reader(mutate_image, read_exif, ".jpg", 8),
    "icc": Reader(mutations.mutate_bytes, read_icc, ".icc", 8),
    "packed": Reader(mutations.mutate_npy, read_packed, ".npy", 8),
    "config": Reader(mutations.mutate_yaml, read_config, ".yaml", 3),
    "models": Reader(mutations.mutate_yaml, read_models, ".yaml", 3),
    "camera": Reader(mutations.mutate_yaml, read_camera, ".yaml", 3),
    "settings": Reader(mutations.mutate_yaml, read_settings, ".yaml", 4),
    "dng": Reader(mutations.mutate_tiff, read_dng, ".dng", 8, "rawpy"),
    "safetensors": Reader(mutations.mutate_safetensors, read_weights, ".safetensors", 6),
    "pt": Reader(mutations.mutate_zip, read_weights, ".pt", 6),
    "demosaic": Reader(mutations.mutate_safetensors, read_demosaic_net, ".safetensors", 3),
}


def raise_key_error(path: Path) -> None:
    raise KeyError(path.name)


def raise_two_lines(path: Path) -> None:
    error = InputError(f"{path}: wrong")
    error.args = (f"{path}: wrong\nand more",)
    raise error


# readers that violate the contract in every way; `test_fuzz.py` checks that this is detected
READERS |= {
    name: Reader(mutations.mutate_bytes, read, ".txt", 0)
    for name, read in {
        "raises": raise_key_error,
        "two_lines": raise_two_lines,
        "dies": lambda path: os.abort(),
        "hangs": lambda path: time.sleep(3600),
        "fills": lambda path: bytearray(3 * 2**30),
    }.items()
}
