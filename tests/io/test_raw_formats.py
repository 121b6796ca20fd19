import json
from dataclasses import asdict
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from conftest import ROOT, omf
from hypothesis import given
from hypothesis import strategies as st

from omf import cli
from omf.io import raw_formats as formats
from omf.io.raw_formats import Noise, RawFormat, Writer, challenge_of, counts_of, from_dict, raw_format
from omf.raw.bayer import CFA_ORIGINS, to_challenge_format, unpack
from omf.raw.camera import load_camera, typical_read_noise
from omf.utils.errors import InputError

CAMERA = load_camera("samsung_s7")
DEFAULTS = {
    "challenge": "aim2022",
    "output_format": "npy",
    "bit_depth": None,
    "white_level": None,
    "black_level": 0,
    "cfa": "RGGB",
    "noise": {},
    "gps": False,
}


def picture(height: int = 9, width: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.05, 1.05, (height, width, 3)).astype(np.float32).clip(0, 1)


def asked(**settings) -> RawFormat:
    return raw_format(DEFAULTS | settings, CAMERA)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_the_default_is_the_challenges_format(height, width, seed):
    raw = picture(2 * height + seed % 2, 2 * width, seed)
    assert asked() == RawFormat()
    assert (counts_of(raw, "x", RawFormat()) == to_challenge_format(raw)).all()


def test_ntire_2025_has_12_bits():
    of = asked(challenge="ntire2025")
    raw = picture(1024, 1024)
    counts = counts_of(raw, "x", of)
    assert (counts.shape, counts.dtype) == ((512, 512, 4), np.uint16)
    assert (counts[..., 0] == (raw[::2, ::2, 0] * np.float32(4095)).astype(int)).all()
    assert counts.max() <= 4095


@pytest.mark.parametrize("cfa", CFA_ORIGINS)
@pytest.mark.parametrize(("bits", "white"), [(10, 1023), (12, 4095), (14, 16383), (14, 15000)])
def test_mosaics_of_any_order_and_depth(cfa, bits, white):
    raw = picture()
    of = asked(output_format="mosaic", cfa=cfa, bit_depth=bits, white_level=white, black_level=64)
    counts = counts_of(raw, "x", of)
    assert (counts.shape, counts.dtype) == ((9, 12), np.uint16)  # odd sizes too
    for site, colour in enumerate(cfa):
        rows, columns = slice(site // 2, None, 2), slice(site % 2, None, 2)
        expected = raw[rows, columns, "RGB".index(colour)] * (white - 64) + 64
        assert np.abs(counts[rows, columns] - expected).max() <= 0.51
    packed = counts_of(
        raw, "x", asked(output_format="npz", cfa=cfa, bit_depth=bits, white_level=white, black_level=64)
    )
    assert (unpack(packed) == counts[:8]).all()


def test_what_files_hold(tmp_path):
    raw = picture()
    for kind, suffix in formats.FORMAT_SUFFIXES.items():
        if kind == "dng":
            continue  # tests/io/test_dng.py
        of = asked(
            output_format=kind,
            bit_depth=None if kind == "npy" else 12,
            cfa="RGGB" if kind == "npy" else "BGGR",
        )
        Writer(tmp_path / kind, of, CAMERA, "some_model", {})("a name", raw)
        (path,) = (tmp_path / kind).iterdir()
        assert path.name == f"a name{suffix}"
        counts = counts_of(raw, "a name", of)
        if kind == "png":
            assert (imagecodecs.png_decode(path.read_bytes()) == counts).all()
            continue
        loaded = np.load(path)
        if kind == "npz":
            assert loaded["raw"].dtype == np.uint16 and (loaded["raw"] == counts).all()
            told = {key: loaded[key].item() for key in loaded if key != "raw"}
            assert told == {
                "max_val": 4095,
                "white_level": 4095,
                "black_level": 0,
                "bit_depth": 12,
                "cfa": "BGGR",
                "camera": "samsung_s7",
                "model": "some_model",
            }
        else:
            assert loaded.dtype == np.uint16 and (loaded == counts).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"bit_depth": 12},
            "bit_depth is 12, but output_format npy is the format of aim2022, which has 10; take another",
        ),
        (
            {"challenge": "ntire2025", "bit_depth": 10},
            "bit_depth is 10, but output_format npy is the format of ntire2025, which has 12",
        ),
        ({"white_level": 1023}, "white_level is 1023, but"),
        ({"black_level": 64}, "black_level is 64, but"),
        ({"cfa": "BGGR"}, "cfa is BGGR, but"),
        (
            {"output_format": "dng", "bit_depth": 10, "white_level": 4095},
            "white_level is 4095; 10 bits hold 1023 at most",
        ),
        (
            {"output_format": "png", "bit_depth": 10, "black_level": 1023},
            "black_level is 1023; it must lie below the white level, 1023",
        ),
        ({"noise": {"iso": 100, "shot": 0.1}}, "noise has iso, shot; give iso, or shot and read"),
        ({"noise": {"read": 0.1}}, "noise has read; give iso, or shot and read"),
    ],
)
def test_settings_that_contradict_each_other(settings, message):
    with pytest.raises(InputError) as error:
        asked(**settings)
    assert message in str(error.value)


def test_what_is_scored_stays_the_challenges():
    settings = DEFAULTS | {
        "output_format": "dng",
        "bit_depth": 12,
        "cfa": "BGGR",
        "noise": {"iso": 100},
        "black_level": 64,
    }
    scored = raw_format(challenge_of(settings), CAMERA)
    assert (scored.kind, scored.bit_depth, scored.cfa, scored.black_level) == ("npy", 10, "RGGB", 0)
    assert scored.noise == raw_format(settings, CAMERA).noise


def test_formats_pass_through_json():
    for of in (RawFormat(), asked(output_format="dng", noise={"iso": 100, "seed": 3}, cfa="GBRG")):
        assert from_dict(json.loads(json.dumps(asdict(of)))) == of


def test_noise_has_the_variance_of_its_model():
    """For flat pictures, 160,000 samples each: the standard error of a variance is 0.35 %, so 2 % are more than 5 of it."""
    noise = Noise(shot=2e-3, read=5e-5)
    for level in (0.0, 0.1, 0.5, 0.9):
        noisy = noise.on(np.full((400, 400), level, np.float32), f"level {level}")
        assert noisy.var() == pytest.approx(2e-3 * level + 5e-5, rel=0.02)
        assert noisy.mean() == pytest.approx(level, abs=5 * float(noisy.std()) / 400)
    # through the counts: with a pedestal, nothing is cut off, and rounding adds a twelfth of a count
    of = asked(output_format="mosaic", bit_depth=14, black_level=1024, noise={"shot": 2e-3, "read": 5e-5})
    counts = counts_of(np.full((400, 400, 3), 0.3, np.float32), "x", of)
    scale = of.white_level - of.black_level
    assert counts.var() / scale**2 == pytest.approx(2e-3 * 0.3 + 5e-5 + 1 / 12 / scale**2, rel=0.02)


def test_noise_of_a_camera():
    noise = asked(noise={"iso": 400}).noise
    assert noise.shot == pytest.approx(4 * 4.79e-4)
    assert noise.read == typical_read_noise(noise.shot)


def test_noise_depends_on_seed_and_name_alone():
    flat = np.full((20, 20), 0.5, np.float32)
    noise = Noise(1e-3, 1e-5)
    assert (noise.on(flat, "a") == Noise(1e-3, 1e-5).on(flat, "a")).all()
    assert (noise.on(flat, "a") != noise.on(flat, "b")).any()
    assert (noise.on(flat, "a") != Noise(1e-3, 1e-5, seed=1).on(flat, "a")).any()


def test_the_command_line_knows_the_same_formats():
    assert list(formats.FORMAT_SUFFIXES) == cli.FORMATS
    assert list(formats.CHALLENGES) == cli.CHALLENGES


def test_dng_holds_the_counts_and_the_photos_story(tmp_path, photo_folder):
    raw = picture(240, 320)
    of = asked(output_format="dng", cfa="GBRG", bit_depth=12, black_level=64, noise={"iso": 100})
    Writer(tmp_path, of, CAMERA, "some_model", {"hills": photo_folder / "hills.jpg"})("hills", raw)
    with tifffile.TiffFile(tmp_path / "hills.dng") as dng:
        assert "model some_model" in dng.pages[0].tags["Software"].value
        mosaic = dng.pages[0].pages[0]
        assert (mosaic.asarray() == counts_of(raw, "hills", of)).all()
        assert mosaic.tags["WhiteLevel"].value == 4095
        assert mosaic.tags["BlackLevel"].value == (64,) * 4
        assert mosaic.tags["CFAPattern"].value == bytes([1, 2, 0, 1])
        assert mosaic.tags["NoiseProfile"].value == (of.noise.shot, of.noise.read)


def test_predict_in_a_format(tmp_path, tiny_model, photo_folder):
    arguments = ["--model", tiny_model, "--device", "cpu"]
    result = omf(
        "predict",
        photo_folder,
        "-o",
        tmp_path / "mosaic",
        "--format",
        "mosaic",
        "--cfa",
        "GBRG",
        "--bit-depth",
        12,
        *arguments,
    )
    assert result.returncode == 0, result.stderr
    assert {path.stem: np.load(path).shape for path in Path(tmp_path / "mosaic").iterdir()}["leaves_odd"][
        0
    ] % 2 == 1
    result = omf("predict", photo_folder, "-o", tmp_path / "npy", "--bit-depth", 12, *arguments)
    assert result.returncode == 1
    assert result.stderr.startswith("error: bit_depth is 12, but output_format npy")
    assert not (tmp_path / "npy").exists()


def test_evaluating_ntire_2025(tmp_path):
    """The same pictures as 12 bits: the scores are the same but for the finer counts."""
    truth = np.load(ROOT / "test_raw" / "hills.npy")
    for folder, counts in (("truth", truth), ("raw", truth // 2)):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "hills.npy", (counts * 4095.0 / 1024).astype(np.uint16))
    result = omf(
        "evaluate",
        tmp_path / "raw",
        tmp_path / "truth",
        "--challenge",
        "ntire2025",
        "--out",
        tmp_path / "scored",
    )
    assert result.returncode == 0, result.stderr
    assert omf("evaluate", tmp_path / "raw", tmp_path / "truth").returncode == 1  # counts above 1024
    psnr = json.loads((tmp_path / "scored" / "scores.json").read_text())["mean"]["psnr"]
    error = (truth // 2 - truth.astype(float)) / 1024
    assert psnr == pytest.approx(-10 * np.log10((error**2).mean()), abs=0.05)
