"""Formats of RAW files: settings, counts, noise and file contents."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import imagecodecs
import numpy as np
import pytest
import tifffile
from camera_dng import SITES
from conftest import ROOT, random_rgb
from hypothesis import given, settings
from hypothesis import strategies as st

from omf.io import raw_formats as formats
from omf.io.images import save_png
from omf.io.raw_formats import (
    Noise,
    RawFormat,
    Writer,
    challenge_settings,
    from_dict,
    parse_raw_format,
    to_counts,
)
from omf.pipeline.config import Config
from omf.raw.bayer import CFA_ORIGINS, to_challenge_format, unpack
from omf.raw.camera import load_camera, typical_read_noise
from omf.utils.errors import InputError

CAMERA = load_camera("samsung_s7")
DEFAULTS = Config().run_settings()


def random_raw(height: int = 9, width: int = 12, seed: int = 0) -> np.ndarray:
    """Return random demosaiced RAW, float32 (height, width, 3), with clipped values."""
    return np.random.default_rng(seed).uniform(-0.05, 1.05, (height, width, 3)).astype(np.float32).clip(0, 1)


def build_format(**settings) -> RawFormat:
    """Parse the default settings, changed by `settings`."""
    return parse_raw_format(DEFAULTS | settings, CAMERA)


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_default_is_the_challenge_format(height, width, seed):
    raw = random_raw(2 * height + seed % 2, 2 * width, seed)
    assert build_format() == RawFormat()
    assert (to_counts(raw, "x", RawFormat()) == to_challenge_format(raw)).all()


def test_ntire_2025_has_12_bits():
    raw_format = build_format(challenge="ntire2025")
    raw = random_raw(64, 64)
    counts = to_counts(raw, "x", raw_format)
    assert (counts.shape, counts.dtype) == ((32, 32, 4), np.uint16)
    assert (counts[..., 0] == (raw[::2, ::2, 0] * np.float32(4095)).astype(int)).all()
    assert counts.max() <= 4095


@pytest.mark.parametrize("cfa", CFA_ORIGINS)
@pytest.mark.parametrize(("bits", "white"), [(10, 1023), (12, 4095), (14, 16383), (14, 15000)])
def test_mosaics_of_any_order_and_depth(cfa, bits, white):
    raw = random_raw()
    settings = {"cfa": cfa, "bit_depth": bits, "white_level": white, "black_level": 64}
    counts = to_counts(raw, "x", build_format(output_format="mosaic", **settings))
    assert (counts.shape, counts.dtype) == ((9, 12), np.uint16)  # odd sizes too
    for site, colour in zip(SITES, cfa):
        expected = raw[site][..., "RGB".index(colour)] * (white - 64) + 64
        assert np.abs(counts[site] - expected).max() <= 0.51
    packed = to_counts(raw, "x", build_format(output_format="npz", **settings))
    assert (unpack(packed) == counts[:8]).all()


@pytest.mark.parametrize("kind", ["npy", "mosaic", "npz", "png"])  # dng: see test_dng.py
def test_file_contents(tmp_path, kind):
    raw = random_raw()
    raw_format = build_format(output_format=kind, **{} if kind == "npy" else {"bit_depth": 12, "cfa": "BGGR"})
    Writer(tmp_path, raw_format, CAMERA, "some_model")("a name", Path("a name.jpg"), raw)
    (path,) = tmp_path.iterdir()
    assert path.name == f"a name{formats.FORMAT_SUFFIXES[kind]}"
    content = imagecodecs.png_decode(path.read_bytes()) if kind == "png" else np.load(path)
    if kind == "npz":
        assert {key: content[key].item() for key in content if key != "raw"} == {
            **{"max_val": 4095, "white_level": 4095, "black_level": 0, "bit_depth": 12},
            **{"cfa": "BGGR", "camera": "samsung_s7", "model": "some_model"},
        }
        content = content["raw"]
    assert content.dtype == np.uint16 and (content == to_counts(raw, "a name", raw_format)).all()


FIXED = "{} is {}, but output_format npy is the format of {}, which has {}; use another"


@pytest.mark.parametrize(
    ("settings", "message"),  # more in tests/faults/test_bad_runs.py
    [
        ({"bit_depth": 12}, FIXED.format("bit_depth", 12, "aim2022", 10)),
        ({"challenge": "ntire2025", "bit_depth": 10}, FIXED.format("bit_depth", 10, "ntire2025", 12)),
        ({"white_level": 1023}, FIXED.format("white_level", 1023, "aim2022", 1024)),
        ({"black_level": 64}, FIXED.format("black_level", 64, "aim2022", 0)),
        ({"noise": {"read": 0.1}}, "noise has read; give iso, or shot and read"),
    ],
)
def test_contradictory_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        build_format(**settings)


def test_scored_format_is_the_challenge_format():
    levels = {"bit_depth": 12, "cfa": "BGGR", "black_level": 64}
    settings = DEFAULTS | {"output_format": "dng", "noise": {"iso": 100}} | levels
    scored = parse_raw_format(challenge_settings(settings), CAMERA)
    assert (scored.kind, scored.bit_depth, scored.cfa, scored.black_level) == ("npy", 10, "RGGB", 0)
    assert scored.noise == parse_raw_format(settings, CAMERA).noise


def test_formats_round_trip_through_json():
    dng = build_format(output_format="dng", noise={"iso": 100, "seed": 3}, cfa="GBRG")
    for raw_format in (RawFormat(), dng):
        assert from_dict(json.loads(json.dumps(asdict(raw_format)))) == raw_format


def test_noise_has_the_variance_of_its_model():
    """Compare variances on flat images of 160,000 samples.

    The standard error of a variance is 0.35 %, so the tolerance of 2 % exceeds 5 standard errors.
    """
    noise = Noise(shot=2e-3, read=5e-5)
    for level in (0.0, 0.1, 0.5, 0.9):
        noisy = noise.add_to(np.full((400, 400), level, np.float32), f"level {level}")
        assert noisy.var() == pytest.approx(2e-3 * level + 5e-5, rel=0.02)
        assert noisy.mean() == pytest.approx(level, abs=5 * float(noisy.std()) / 400)
    # as counts: a black level prevents clipping, and rounding adds a variance of 1/12 count squared
    raw_format = build_format(
        output_format="mosaic", bit_depth=14, black_level=1024, noise={"shot": 2e-3, "read": 5e-5}
    )
    counts = to_counts(np.full((400, 400, 3), 0.3, np.float32), "x", raw_format)
    scale = raw_format.white_level - raw_format.black_level
    assert counts.var() / scale**2 == pytest.approx(2e-3 * 0.3 + 5e-5 + 1 / 12 / scale**2, rel=0.02)


def test_noise_is_of_the_camera_and_depends_only_on_seed_and_name():
    noise = build_format(noise={"iso": 400}).noise
    assert noise.shot == pytest.approx(4 * 4.79e-4)
    assert noise.read == typical_read_noise(noise.shot)
    flat = np.full((20, 20), 0.5, np.float32)
    first = noise.add_to(flat, "a")
    assert (first == build_format(noise={"iso": 400}).noise.add_to(flat, "a")).all()
    assert (first != noise.add_to(flat, "b")).any()
    assert (first != build_format(noise={"iso": 400, "seed": 1}).noise.add_to(flat, "a")).any()


def test_settings_offer_the_same_formats():
    fields = Config.model_fields
    in_tars = ["webdataset"]  # of which the files in the tars have one of the others
    assert [*formats.FORMAT_SUFFIXES, *in_tars] == list(get_args(fields["output_format"].annotation))
    assert list(formats.CHALLENGES) == list(get_args(fields["challenge"].annotation))


def test_no_dng_of_a_photo_that_is_gone(tmp_path):
    """Its EXIF would be missing, silently."""
    writer = Writer(tmp_path / "out", build_format(output_format="dng"), CAMERA, "some_model")
    raw = random_raw()
    with pytest.raises(InputError, match=r"gone\.jpg: no such file; give the photo itself"):
        writer("gone", tmp_path / "gone.jpg", raw, np.zeros(raw.shape, np.uint8))
    assert not (tmp_path / "out").exists()


def test_dng_contains_counts_and_metadata(tmp_path):
    rgb = random_rgb(31, 48)
    save_png(tmp_path / "chart.png", rgb)
    raw = (rgb / np.float32(255)) ** 2.2
    levels = {"cfa": "GBRG", "bit_depth": 12, "black_level": 64, "noise": {"iso": 100}}
    raw_format = build_format(output_format="dng", **levels)
    Writer(tmp_path, raw_format, CAMERA, "some_model")("chart", tmp_path / "chart.png", raw)
    with tifffile.TiffFile(tmp_path / "chart.dng") as dng:
        assert "model some_model" in dng.pages[0].tags["Software"].value
        assert dng.pages[0].tags["OriginalRawFileName"].value == b"chart.png\0"
        mosaic = dng.pages[0].pages[0]
        assert (mosaic.asarray() == to_counts(raw, "chart", raw_format)).all()
        assert mosaic.tags["WhiteLevel"].value == 4095
        assert mosaic.tags["BlackLevel"].value == (64,) * 4
        assert mosaic.tags["CFAPattern"].value == bytes([1, 2, 0, 1])
        assert mosaic.tags["NoiseProfile"].value == (raw_format.noise.shot, raw_format.noise.read)


def test_predict_in_a_format(tmp_path, tiny_model, photo_folder, omf_lines):
    predict = ("predict", photo_folder / "leaves_odd.jpg", "--model", tiny_model, "--device", "cpu")
    mosaic = ("-o", tmp_path, "--format", "mosaic", "--cfa", "GBRG")
    omf_lines(*predict, "--bit-depth", 12, *mosaic)
    assert np.load(tmp_path / "leaves_odd.npy").shape[0] % 2 == 1
    code, (line,) = omf_lines(*predict, "--bit-depth", 12, "-o", tmp_path / "npy")
    assert code == 1
    assert line.startswith("error: bit_depth is 12, but output_format npy")
    assert not (tmp_path / "npy").exists()


def test_evaluating_ntire_2025(tmp_path, omf_lines):
    """Score the same images at 12 bits: scores differ only by the finer counts."""
    ground_truth = np.load(ROOT / "test_raw" / "coffee.npy")[:100, :120]
    for folder, counts in (("truth", ground_truth), ("raw", ground_truth // 2)):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "coffee.npy", (counts * 4095.0 / 1024).astype(np.uint16))
    evaluate = ("evaluate", tmp_path / "raw", tmp_path / "truth")
    omf_lines(*evaluate, "--challenge", "ntire2025", "--out", tmp_path / "scored")
    psnr = json.loads((tmp_path / "scored" / "scores.json").read_text())["mean"]["psnr"]
    error = (ground_truth // 2 - ground_truth.astype(float)) / 1024
    assert psnr == pytest.approx(-10 * np.log10((error**2).mean()), abs=0.05)
    assert omf_lines(*evaluate)[0] == 1  # counts above 1024
