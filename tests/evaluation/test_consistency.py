import numpy as np
import pytest
from conftest import ROOT, random_rgb
from hypothesis import given
from hypothesis import strategies as st

from omf.evaluation.consistency import consistency, fit_tone_curve
from omf.io.images import read_rgb
from omf.io.packed import read_packed
from omf.raw.bayer import half_size_photo, to_challenge_format
from omf.raw.camera import load_camera
from omf.raw.isp import decode_srgb
from omf.raw.overexposure import overexposure_mask

S7 = load_camera("samsung_s7")


def judged(counts: np.ndarray, rgb: np.ndarray) -> dict:
    return consistency(counts, half_size_photo(rgb), float(overexposure_mask(rgb).mean()), S7)


def raw_like(rgb: np.ndarray, neutral=(0.5, 1.0, 0.6), scale: float = 1.0) -> np.ndarray:
    """RAW of a camera whose ISP is the sRGB curve and white balance."""
    return to_challenge_format((scale * decode_srgb(rgb / 255) * neutral).clip(0, 1).astype(np.float32))


def test_the_true_raw_is_consistent_and_another_pictures_is_not():
    for name in ("leaves", "hills"):
        rgb = read_rgb(ROOT / "test_rgb" / f"{name}.jpg")
        right = judged(read_packed(ROOT / "test_raw" / f"{name}.npy"), rgb)
        wrong = judged(read_packed(ROOT / "test_raw" / "bricks.npy"), rgb)
        assert right["consistency_psnr"] > 24
        assert right["consistency_psnr"] > wrong["consistency_psnr"] + 5
        assert right["warnings"] == []


def test_colours_tones_and_exposure_are_fitted():
    rgb = random_rgb(120, 160)
    for neutral, scale in (((0.5, 1, 0.6), 1), ((0.7, 1, 0.5), 0.4)):
        assert judged(raw_like(rgb, neutral, scale), rgb)["consistency_psnr"] > 24


@pytest.mark.parametrize(
    ("raw", "remark"),
    [
        (lambda rgb: raw_like(rgb, scale=0), "all black"),
        (lambda rgb: np.full((60, 80, 4), 300, np.uint16), "all of one value"),
        (lambda rgb: raw_like(rgb, scale=40), "saturated: "),
        (lambda rgb: raw_like(rgb, (1.5, 1.0, 0.6)), "a cast: red is"),
        (lambda rgb: raw_like(rgb, (0.5, 1.0, 0.1)), "a cast: blue is 0.1"),
    ],
)
def test_what_is_suspicious(raw, remark):
    rgb = random_rgb(120, 160) // 2
    (found,) = judged(raw(rgb), rgb)["warnings"]
    assert found.startswith(remark)


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_photos_are_no_reason_for_suspicion(level):
    rgb = np.full((40, 60, 3), level, np.uint8)
    counts = np.full((20, 30, 4), 1024 if level else 0, np.uint16)
    answer = judged(counts, rgb)
    assert answer["warnings"] == []
    assert answer["clipped"] == (1 if level else 0)
    assert np.isfinite(answer["consistency_psnr"])


@given(st.integers(0, 2**32 - 1), st.integers(1, 400))
def test_tone_curves_rise(seed, size):
    rng = np.random.default_rng(seed)
    curve = fit_tone_curve(rng.choice(rng.uniform(size=50), size), rng.uniform(size=size))
    values = curve(np.linspace(-0.5, 1.5, 100))
    assert (np.diff(values) >= 0).all()
    assert 0 <= values.min() <= values.max() <= 1
