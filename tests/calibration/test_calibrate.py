"""Camera profiles from pairs of photo and RAW."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from camera_dng import bayer_of, write_dng, write_pair
from PIL import Image

from omf.calibration.calibrate import PairFit, fit_line, fit_pairs, jpeg_settings
from omf.calibration.profile import calibrated_text, make_profile
from omf.io.exif import read_exif
from omf.raw.bayer import pack, to_challenge_counts
from omf.raw.camera import Camera, load_camera, mean_of
from omf.raw.global_fit import (
    KNOTS,
    GlobalFit,
    fit_global,
    hat_functions,
    limit_white,
    mean_curve,
    select_cells,
)
from omf.raw.scenes import SCENES
from omf.raw.simulator import CaptureSettings, linear_raw, sample_settings, simulate_pair
from omf.utils.paths import HOME

GENERIC = replace(load_camera("generic_phone"), tone_groups=())
CHART = next(number for number, draw in enumerate(SCENES) if draw.__name__ == "chart")


UNIFORM = {
    "saturation": [1.0, 1.0],
    "shading": [0.0, 0.0],
    "local_contrast": [0.0, 0.05],
    "sharpening": [0.0, 0.4],
    "midtones": [0.3, 0.4],
    "contrast": [0.1, 0.15],
}


def known_camera(base: str, gain: float, power: float, light: tuple[float, float]) -> Camera:
    """Return a camera with one matrix, one light, a tone curve and little spread."""
    camera = load_camera(base)
    prior = camera.prior.model_copy(
        update={
            "gain": {"log_uniform": [gain / 1.1, gain * 1.1]},
            "iso": {"log_uniform": [100, 200]},
            **{name: {"uniform": limits} for name, limits in UNIFORM.items()},
            **dict.fromkeys(("tone_deviation", "black_point", "white_point")),
        }
    )
    return replace(
        camera,
        prior=prior,
        cfa="RGGB",
        neutrals=np.array([light]),
        weights=np.ones(1),
        spread=np.diag([0.03**2, 0.03**2]),
        colour_matrices=camera.colour_matrices[:1],
        tone_curve=np.linspace(0, 1, 33) ** power,
        extra_curves=np.array([1.0, 0.0, 0.0]),
        tone_groups=(),
    )


CAMERAS = {
    "a": known_camera("samsung_s7", 1.35, 1.15, (0.59, 0.62)),
    "b": known_camera("huawei_p20", 1.8, 0.85, (0.47, 0.70)),
}


def take(
    shown: np.ndarray, camera: Camera, rng: np.random.Generator, photo: Path, **changes
) -> CaptureSettings:
    """Write a photo, and NAME.npy beside it, of a scene; return the settings."""
    settings = replace(sample_settings(camera, rng), subsampling=None, **changes)
    rgb, counts = simulate_pair(shown.astype(np.float32), settings, camera, rng)
    photo.parent.mkdir(exist_ok=True)
    Image.fromarray(rgb).save(photo, quality=93, subsampling=2)
    np.save(photo.with_suffix(".npy"), pack(to_challenge_counts(linear_raw(counts, camera))))
    return settings


def write_known_pairs(folder: Path, camera: Camera, kinds: list[int]) -> Path:
    """Write pairs of drawn scenes, NUMBER.jpg (quality 93, 4:2:0) and NUMBER.npy."""
    for number, kind in enumerate(kinds):
        rng = np.random.default_rng([5, number])
        take(SCENES[kind % len(SCENES)](160, 160, rng), camera, rng, folder / f"{number}.jpg")
    return folder


def test_a_fit_covers_the_tones_of_its_photo_and_half_a_knot_beyond():
    fit = GlobalFit(KNOTS, np.eye(3), (0.25, 0.75), True, True, True, 40.0)
    covered = fit.covers(np.array([0.2, 0.215, 0.222, 0.5, 0.778, 0.785, 0.8]))
    assert covered.tolist() == [False, False, True, True, True, False, False]


@pytest.fixture(scope="module")
def chart(tmp_path_factory) -> PairFit:
    """Return the measurement of a chart."""
    folder = write_known_pairs(tmp_path_factory.mktemp("chart") / "pairs", CAMERAS["a"], [CHART])
    (fit,), problems = fit_pairs(folder, GENERIC)
    assert problems == []
    return fit


def recovered(folder: Path) -> Camera:
    """Calibrate on a folder, and load the profile from its file."""
    fits, problems = fit_pairs(folder, GENERIC)
    assert len(problems) <= 4 and all("dark or clipped" in problem for problem in problems)
    path = folder.with_suffix(".yaml")
    path.write_text(calibrated_text(make_profile("known", fits, GENERIC)))
    return load_camera(str(path))


def errors(found: Camera, true: Camera) -> dict[str, float]:
    """Return the largest relative errors of neutral and gain, and absolute ones of matrix and sRGB curve."""
    levels = np.linspace(0.02, 0.9, 50)
    curves = [np.interp(levels, mean_curve(camera), KNOTS) for camera in (found, true)]
    return {
        "neutral": float(np.abs(found.mean_neutral / true.mean_neutral - 1).max()),
        "gain": abs(mean_of(found.prior.gain) / mean_of(true.prior.gain) - 1),
        "matrix": float(np.abs(found.mean_colour_matrix - true.mean_colour_matrix).max()),
        "curve": float(np.abs(curves[0] - curves[1]).max()),
    }


# Of the means of neutral and gain (relative), colour matrix and sRGB curve. A photo's light deviates by 3 %
# from the mean and its gain by 5.5 %, so three standard errors of n photos are 0.09 / sqrt(n) and
# 0.17 / sqrt(n); of the latter about half have highlights. The rest is the error of a fit.
BOUNDS = {
    1: {"neutral": 0.10, "gain": 0.15, "matrix": 0.08, "curve": 0.03},
    5: {"neutral": 0.04, "gain": 0.12, "matrix": 0.04, "curve": 0.02},
    # four draws of 50 pairs: gain 0.02 to 0.064, curve 0.010 to 0.015; their random curves differ in the mean
    50: {"neutral": 0.03, "gain": 0.07, "matrix": 0.015, "curve": 0.015},
}


@pytest.mark.parametrize("count", BOUNDS)
@pytest.mark.parametrize("name", CAMERAS)
def test_known_cameras_are_recovered(tmp_path, name, count):
    kinds = [CHART] if count == 1 else list(range(count))
    profile = recovered(write_known_pairs(tmp_path / "pairs", CAMERAS[name], kinds))
    found = errors(profile, CAMERAS[name])
    assert all(found[figure] <= bound for figure, bound in BOUNDS[count].items()), found
    assert profile.prior.saturation == {"uniform": [1.0, 1.0]}
    np.testing.assert_allclose(profile.colour_matrices.sum(axis=-1), 1, atol=2e-3)
    assert profile.subsampling[2] > 0.7 if count == 1 else profile.subsampling[2] == 1
    if count == 50:
        assert profile.prior.quality == {"uniform": [93, 93]}
        ((_, (iso, deviation)),) = profile.prior.iso.items()
        scale = CAMERAS[name].shot_noise / GENERIC.shot_noise  # by which the ISO of the same noise differs
        assert 100 * scale < iso < 300 * scale and deviation < 1  # texture counts as noise
        assert len(profile.neutrals) == 6


def test_few_pairs_keep_the_generic_spread(tmp_path, chart):
    profile = make_profile("known", [chart], GENERIC)
    for start in ("spread: 1 pair, 5 needed", "frame: unknown", "shading, denoising"):
        assert any(line.startswith(start) for line in profile.open)
    (tmp_path / "known.yaml").write_text(calibrated_text(profile))
    assert all(f"# open: {line}" in calibrated_text(profile) for line in profile.open)
    camera = load_camera(str(tmp_path / "known.yaml"))
    np.testing.assert_allclose(camera.spread, GENERIC.spread, rtol=0.01)
    np.testing.assert_allclose(
        np.ptp(camera.colour_matrices, axis=0), np.ptp(GENERIC.colour_matrices, axis=0), atol=2e-4
    )
    for name in ("exposure", "shading", "denoising", "local_contrast", "sharpening", "midtones", "contrast"):
        assert getattr(camera.prior, name) == getattr(GENERIC.prior, name)
    (low, high) = camera.prior.iso["log_uniform"]
    assert high / low == pytest.approx(3200 / 50, rel=0.01)
    assert camera.prior.gain["log_uniform"][0] >= 0.99


def test_a_photo_without_highlights_or_colours_leaves_gain_and_matrix_open(tmp_path):
    camera = CAMERAS["a"]
    rng = np.random.default_rng(3)
    grey = np.repeat(rng.uniform(0.02, 0.35, (10, 10, 1)), 3, axis=-1).astype(np.float32)
    shown = np.kron(grey, np.ones((16, 16, 1), np.float32))
    settings = take(shown, camera, rng, tmp_path / "pairs" / "a.png", exposure=1.0)
    (tmp_path / "pairs" / "dataset.json").write_text('{"white_level": 1024}')
    (fit,), _ = fit_pairs(tmp_path / "pairs", GENERIC)
    assert not fit.fit.has_highlights and not fit.fit.has_colours and fit.fit.has_greys
    assert "gain open" in fit_line(fit) and "matrix open" in fit_line(fit)
    np.testing.assert_allclose(fit.fit.neutral, settings.neutral[[0, 2]], rtol=0.01)
    profile = make_profile("known", [fit], GENERIC)
    for name in ("gain", "colour_matrices", "quality", "jpeg"):
        assert any(line.startswith(f"{name}: no ") for line in profile.open), name
    assert profile.fields["settings"]["gain"] == GENERIC.prior.gain
    assert profile.fields["colour_matrices"] == GENERIC.colour_matrices.round(4).tolist()
    # what is determined is the product of curve and gain
    levels = np.linspace(*fit.fit.covered, 20)
    green = hat_functions(levels) @ fit.fit.curve / fit.fit.gain
    true = hat_functions(levels) @ mean_curve(camera) / settings.gain
    np.testing.assert_allclose(green, true, rtol=0.06)


def test_a_curve_never_exceeds_the_white_level():
    curve = KNOTS**2
    flat, matrix = limit_white(curve, np.eye(3) * 1.25, 0.8)
    assert flat[-1] == matrix[1].sum() == 1
    np.testing.assert_allclose(flat[KNOTS <= 0.8], 1.25 * curve[KNOTS <= 0.8])
    assert (np.diff(flat) >= 0).all()
    for factor, brightest in ((0.8, 0.9), (1.25, 1.0)):
        same, _ = limit_white(curve, np.eye(3) * factor, brightest)
        assert same is curve


def test_outliers_hardly_matter(chart):
    raw = chart.cells.raw.copy()
    raw[::20] = raw[::20, ::-1] * 0.5
    prior = mean_curve(GENERIC), GENERIC.mean_colour_matrix
    clean, damaged = (fit_global(cells, *prior) for cells in (chart.cells, replace(chart.cells, raw=raw)))
    np.testing.assert_allclose(damaged.neutral, clean.neutral, rtol=0.02)


def test_dark_or_clipped_photos_are_no_measurement():
    for value in (2, 255):
        photo = np.full((200, 200, 3), value, np.uint8)
        assert select_cells(photo, np.full((100, 100, 3), 0.5, np.float32)) is None, value


def test_jpeg_settings(tmp_path):
    picture = Image.fromarray(np.zeros((32, 32, 3), np.uint8))
    for quality, subsampling in ((75, 0), (93, 1), (98, 2)):
        picture.save(tmp_path / "a.jpg", quality=quality, subsampling=subsampling)
        assert jpeg_settings(tmp_path / "a.jpg", tmp_path) == (quality, subsampling)
    picture.convert("L").save(tmp_path / "grey.jpg", quality=80)
    assert jpeg_settings(tmp_path / "grey.jpg", tmp_path) == (80, None)
    picture.save(tmp_path / "a.png")
    assert jpeg_settings(tmp_path / "a.png", tmp_path) == (None, None)


def test_the_command_line_from_pairs_to_raw(tmp_path, monkeypatch, call_omf):
    folder = write_known_pairs(tmp_path / "pairs", CAMERAS["b"], [CHART, CHART + 1, CHART])
    (folder / "2.npy").write_bytes(b"damaged")
    exif = Image.Exif()
    exif.get_ifd(34665)[34855] = 200
    Image.open(folder / "0.jpg").save(folder / "0.jpg", quality=93, subsampling=2, exif=exif)
    assert read_exif(folder / "0.jpg").capture[34855] == 200
    out = tmp_path / "cameras" / "my phone.yaml"
    monkeypatch.setenv(HOME, str(tmp_path))
    result = call_omf("calibrate", folder, "-o", "my phone")
    assert result.returncode == 1, result.stderr
    (problem,) = (line for line in result.stderr.splitlines() if "problem:" in line)
    assert "2.npy" in problem
    lines = result.stdout.splitlines()
    assert lines[0].startswith("0: neutral R/G ") and " gain " in lines[0] and lines[0].endswith(" dB")
    assert "ISO 200" in lines[0] and "JPEG 93, 4:2:0" in lines[0]
    assert lines[2].startswith("open: ")
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert load_camera(str(out)).name == "my phone"
    predict = ("predict", folder / "0.jpg", "-o", tmp_path / "raw")
    result = call_omf(*predict, "--model", "inverse", "--camera", "my phone")
    assert result.returncode == 0, result.stderr
    found, true = np.load(tmp_path / "raw" / "0.npy") / 1024, np.load(folder / "0.npy") / 1024
    assert -10 * np.log10(((found - true) ** 2).mean()) > 25
    result = call_omf(*predict, "--camera", out)
    assert result.returncode == 0 and f"cameras: {out} (1 photo)" in result.stderr
    result = call_omf("calibrate", folder, "-o", tmp_path / "profile.txt")
    assert result.returncode == 1 and "ends in .yaml" in result.stderr


def test_camera_raw_needs_no_conversion(tmp_path):
    pytest.importorskip("rawpy")
    folder = tmp_path / "phone"
    shown = write_pair(folder, "a", turns=1)  # turned, and smaller than the RAW
    write_dng(folder / "a.dng", bayer_of(shown, "GRBG", noise=0.002), "GRBG", (64,) * 4, 1023)
    (folder / "b.jpg").write_bytes((folder / "a.jpg").read_bytes())
    (folder / "b.dng").write_bytes(b"damaged")
    (fit,), problems = fit_pairs(folder, GENERIC)
    assert len(problems) == 1 and "b.dng: can't be decoded" in problems[0]
    np.testing.assert_allclose(fit.fit.neutral, (0.55, 0.6), rtol=0.03)
    assert fit.fit.gain == pytest.approx(1 / 0.45, rel=0.1)
    np.testing.assert_allclose(fit.fit.colour_matrix, np.eye(3), atol=0.06)
    camera = make_profile("phone", [fit], GENERIC).fields
    assert (camera["cfa"], camera["black_level"], camera["white_level"]) == ("GRBG", 64, 1023)
    assert camera["frame"] == [260, 340]


FAULTS = {
    "another pair's": lambda rgb, counts, other: (rgb, other),
    "turned": lambda rgb, counts, other: (rgb[::-1, ::-1], counts),
    "shifted": lambda rgb, counts, other: (np.roll(rgb, (4, 4), (0, 1)), counts),
    "GRBG": lambda rgb, counts, other: (rgb, counts[..., [1, 0, 3, 2]]),
    "BGGR": lambda rgb, counts, other: (rgb, counts[..., ::-1]),
    "black level": lambda rgb, counts, other: (rgb, counts // 2 + 64),
    "negative values": lambda rgb, counts, other: (rgb, counts.astype(np.int16) - 200),
    "grey": lambda rgb, counts, other: (rgb[..., [1, 1, 1]], counts),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_packed_pairs_that_are_none_are_no_measurement(tmp_path, fault):
    folder = write_known_pairs(tmp_path / "pairs", CAMERAS["a"], [CHART, CHART + 1, CHART + 2])
    counts = [np.load(folder / f"{number}.npy") for number in range(3)]
    for number in range(3):
        rgb = np.asarray(Image.open(folder / f"{number}.jpg"))
        photo, raw = FAULTS[fault](rgb, counts[number], counts[(number + 1) % 3])
        Image.fromarray(np.ascontiguousarray(photo)).save(folder / f"{number}.jpg", quality=93)
        np.save(folder / f"{number}.npy", raw)
    fits, problems = fit_pairs(folder, GENERIC)
    assert fits == [] and len(problems) == 3, problems


def test_pairs_of_which_no_model_makes_the_raw_and_a_folder_without_usable_ones(
    tmp_path, monkeypatch, call_omf
):
    folder = write_known_pairs(tmp_path / "pairs", CAMERAS["a"], [CHART])
    monkeypatch.setattr("omf.calibration.calibrate.MIN_RESIDUAL", 90)
    fits, (problem,) = fit_pairs(folder, GENERIC)
    assert fits == [] and "0.jpg: no tone curve and colour matrix" in problem
    (folder / "0.npy").write_bytes(b"damaged")
    result = call_omf("calibrate", folder, "-o", tmp_path / "a.yaml")
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1 and "none of its pairs can be used" in result.stderr
    assert not (tmp_path / "a.yaml").exists()
