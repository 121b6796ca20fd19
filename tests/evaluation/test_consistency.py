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
from omf.raw.white_balance import MAX_NEUTRAL_FACTOR

S7 = load_camera("samsung_s7")


def consistency_of(counts: np.ndarray, rgb: np.ndarray) -> dict:
    return consistency(counts, half_size_photo(rgb), float(overexposure_mask(rgb).mean()), S7)


def raw_like(rgb: np.ndarray, neutral=(0.5, 1.0, 0.6), scale: float = 1.0) -> np.ndarray:
    """Return RAW of a camera whose ISP consists of white balance and the sRGB curve."""
    return to_challenge_format((scale * decode_srgb(rgb / 255) * neutral).clip(0, 1).astype(np.float32))


def test_the_true_raw_is_consistent_and_that_of_another_photo_is_not():
    for name in ("chelsea", "coffee"):
        rgb = read_rgb(ROOT / "test_rgb" / f"{name}.jpg")
        raw, other = (read_packed(ROOT / "test_raw" / f"{file}.npy") for file in (name, "rocket"))
        right, wrong = (consistency_of(counts, rgb) for counts in (raw, other[: len(raw), : raw.shape[1]]))
        # how high it is depends on the sample's noise; the distance from another photo's is the point
        assert right["consistency_psnr"] > wrong["consistency_psnr"] + 10
        assert right["warnings"] == []


def test_colours_tones_and_exposure_are_fitted():
    rgb = random_rgb(120, 160)
    for neutral, scale in (((0.5, 1, 0.6), 1), ((0.7, 1, 0.5), 0.4)):
        assert consistency_of(raw_like(rgb, neutral, scale), rgb)["consistency_psnr"] > 24


@pytest.mark.parametrize(
    ("raw", "warning"),
    [
        (lambda rgb: raw_like(rgb, scale=0), "all black"),
        (lambda rgb: np.full((60, 80, 4), 300, np.uint16), "constant"),
        (lambda rgb: raw_like(rgb, scale=40), "saturated: "),
        (lambda rgb: raw_like(rgb, (1.5, 1.0, 0.6)), "colour cast: red is"),
        (lambda rgb: raw_like(rgb, (0.5, 1.0, 0.1)), "colour cast: blue is 0.1"),
    ],
)
def test_suspicious_raw_gets_a_warning(raw, warning):
    rgb = random_rgb(120, 160) // 2
    (line,) = consistency_of(raw(rgb), rgb)["warnings"]
    assert line.startswith(warning)


@pytest.mark.parametrize("channel", [0, 1])
def test_the_lights_of_the_camera_limit_the_colour(channel):
    rgb = np.full((40, 60, 3), 128, np.uint8)
    limits = (
        S7.neutrals[:, channel].min() / MAX_NEUTRAL_FACTOR,
        S7.neutrals[:, channel].max() * MAX_NEUTRAL_FACTOR,
    )
    for limit, inwards in zip(limits, (1.02, 0.98)):
        for ratio, expected in ((limit * inwards, 0), (limit / inwards, 1)):
            neutral = S7.mean_neutral.copy()
            neutral[2 * channel] = ratio
            assert len(consistency_of(raw_like(rgb, neutral), rgb)["warnings"]) == expected


def test_the_light_is_that_of_the_raw_relative_to_the_photo():
    """A photo whose greys are a little yellow tells the light by the ratios to them, not by the RAW alone."""
    rgb = np.full((40, 60, 3), (140, 140, 126), np.uint8)
    (warning,) = consistency_of(raw_like(rgb, (0.5, 1.0, 0.2)), rgb)["warnings"]
    assert warning.startswith(
        "colour cast: blue is 0.20 of green for a neutral grey; this camera's lights give"
    )


@pytest.mark.parametrize("white", [1023, 1024])
def test_more_clipped_samples_than_twice_the_overexposed_pixels_are_suspicious(white):
    """Samples are clipped at the white level, or a count below it; 60 % are here."""
    rgb = np.full((40, 100, 3), 128, np.uint8)
    counts = np.full((20, 50, 4), 400, np.uint16)
    counts[:, :30] = white
    counts[:, 30:40] = 1022
    for overexposed, number in ((0.29, 1), (0.31, 0)):
        result = consistency(counts, half_size_photo(rgb), overexposed, S7)
        assert result["clipped"] == pytest.approx(0.6)
        assert sum("saturated: 60%" in line for line in result["warnings"]) == number


def test_only_greys_tell_the_light():
    """The RAW of saturated colours has other ratios to the photo, by the colour matrix."""
    rgb = np.full((40, 60, 3), (30, 30, 220), np.uint8)
    rgb[:, :10] = 128
    raw = decode_srgb(rgb / 255) @ S7.mean_colour_matrix.T * S7.mean_neutral
    assert consistency_of(to_challenge_format(raw.astype(np.float32)), rgb)["warnings"] == []


@pytest.mark.parametrize(("photo", "raw"), [(0, 0), (20, 0), (255, 1024)])
def test_black_and_white_photos_cause_no_warning(photo, raw):
    rgb = np.full((40, 60, 3), photo, np.uint8)
    counts = np.full((20, 30, 4), raw, np.uint16)
    result = consistency_of(counts, rgb)
    assert result["warnings"] == [] and result["clipped"] == (1 if raw else 0)
    assert np.isfinite(result["consistency_psnr"])


@given(st.integers(0, 2**32 - 1), st.integers(1, 400))
def test_tone_curves_rise(seed, size):
    rng = np.random.default_rng(seed)
    curve = fit_tone_curve(rng.choice(rng.uniform(size=50), size), rng.uniform(size=size))
    values = curve(np.linspace(-0.5, 1.5, 100))
    assert (np.diff(values) >= 0).all()
    assert 0 <= values.min() <= values.max() <= 1
