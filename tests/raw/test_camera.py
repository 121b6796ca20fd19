from dataclasses import fields, replace

import numpy as np
import pytest
import yaml
from conftest import ROOT, random_rgb
from hypothesis import given
from hypothesis import strategies as st

from omf.raw import camera, isp
from omf.raw.bayer import demosaic, mosaic
from omf.raw.camera import Camera, load_camera
from omf.raw.overexposure import overexposure_mask
from omf.raw.scenes import SCENES
from omf.raw.simulator import (
    CaptureSettings,
    expose,
    linear_raw,
    linear_scene,
    linearise_photo,
    mean_settings,
    render_uniform,
    run_isp,
    sample_settings,
    sample_tone_curve,
    simulate_pair,
)
from omf.utils.errors import InputError

CAMERAS = sorted(path.stem for path in (ROOT / "cameras").glob("*.yaml"))
# without the kinds of photo, but with the tone curve of one of them
PROFILE = yaml.safe_load((ROOT / "cameras" / "samsung_s7.yaml").read_text())
PROFILE["tone_curve"] = PROFILE.pop("tone_groups")[-1]["tone_curve"]
S7 = camera.read_profile(PROFILE)
PLAIN = {  # an ISP without the steps that cannot be inverted
    "shading": 0.0,
    "shot_noise": 0.0,
    "read_noise": 0.0,
    "local_contrast": 0.0,
    "sharpening": 0.0,
    "subsampling": None,
    "camera_curve": None,
    "tone_curve": None,
    "extra_curve": 0,
}


def with_fields(**fields: object) -> Camera:
    """Return the S7 with other fields in its profile."""
    return camera.read_profile(PROFILE | fields)


def sampled(profile: Camera, seed: int) -> CaptureSettings:
    return sample_settings(profile, np.random.default_rng(seed))


def plain_settings(seed: int, **changes: object) -> CaptureSettings:
    return replace(sampled(S7, seed), **PLAIN | changes)


def simulated(scene: np.ndarray, settings: CaptureSettings, sensor: Camera = S7) -> tuple:
    return simulate_pair(scene, settings, sensor, np.random.default_rng(0))


@pytest.mark.parametrize("name", CAMERAS)
def test_profiles_are_plausible_and_their_neutrals_vary_as_they_say(name):
    profile = load_camera(name)
    assert profile.weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(profile.colour_matrices.sum(axis=-1), 1, atol=2e-3)
    # without white balance, red and blue of a grey are below green
    assert ((profile.mean_neutral[[0, 2]] > 0.4) & (profile.mean_neutral[[0, 2]] < 0.9)).all()
    assert np.linalg.eigvalsh(profile.spread).min() > 0
    one_light = replace(profile, neutrals=profile.neutrals[:1], weights=np.ones(1))
    rng = np.random.default_rng(0)
    logs = np.log([sample_settings(one_light, rng).neutral[[0, 2]] for _ in range(4000)])
    np.testing.assert_allclose(np.cov(logs.T), profile.spread, rtol=0.1)
    np.testing.assert_allclose(np.exp(logs.mean(axis=0)), profile.neutrals[0], rtol=0.02)


def test_the_numbers_of_a_profile_are_read_as_it_states_them():
    profile = with_fields(
        jitter={"red": 0.1, "blue": 0.2, "correlation": -0.5},
        shot_noise_iso_100=1e-3,
        read_noise_floor=1e-6,
        jpeg={"4:4:4": 1, "4:2:2": 0, "4:2:0": 2, "none": 1},
    )
    np.testing.assert_allclose(profile.spread, [[0.01, -0.01], [-0.01, 0.04]])
    assert profile.subsampling == pytest.approx([0.25, 0, 0.5, 0.25])
    assert profile.shot_noise == pytest.approx(1e-5)
    typical = np.exp(2.18 * np.log(1e-3) + 1.2)
    for factor in (1, 2):
        assert profile.read_noise(1e-3, factor) == pytest.approx(factor * typical + 1e-6)


def test_settings_are_sampled_from_the_profile():
    rng = np.random.default_rng(0)
    samples = [sample_settings(S7, rng) for _ in range(2000)]
    gains = np.array([sample.gain for sample in samples])
    assert gains.min() >= 1 and gains.max() <= 1.05
    assert np.median(gains) == pytest.approx(np.sqrt(1.05), rel=0.01)
    assert np.median([sample.exposure for sample in samples]) == pytest.approx(1, rel=0.04)
    assert np.mean([sample.subsampling == 2 for sample in samples]) == pytest.approx(0.7, abs=0.05)


def test_tone_curves_are_optional_and_leave_the_other_settings_alone():
    none = PROFILE["settings"] | {"tone_deviation": None, "black_point": None, "white_point": None}
    one, other = (
        sampled(with_fields(settings=none | tone, extra_tone_curves={"none": 1, "a": 0, "b": 0}), 3)
        for tone in ({}, {"tone_deviation": {"uniform": [0.5, 0.5]}})
    )
    assert one.tone_curve is None and one.extra_curve == 0 and other.tone_curve is not None
    assert one.exposure == other.exposure and one.gain == other.gain


def test_a_tone_curve_of_the_camera_changes_no_draw():
    curve, rngs = np.linspace(0, 1, 9) ** 1.5, [np.random.default_rng(3) for _ in range(2)]
    one, two = (
        sample_settings(replace(S7, tone_curve=given), rng) for given, rng in zip((None, curve), rngs)
    )
    assert one.camera_curve is None and two.camera_curve is curve
    assert rngs[0].bit_generator.state == rngs[1].bit_generator.state
    for field in fields(CaptureSettings):
        if field.name != "camera_curve":
            np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))
    raw = np.full((8, 8, 3), 0.1, np.float32) * one.neutral.astype(np.float32)
    identity = replace(one, camera_curve=np.linspace(0, 1, 9))
    assert np.abs(run_isp(raw, identity).astype(int) - run_isp(raw, one)).max() <= 1
    assert (run_isp(raw, two) < run_isp(raw, one)).all()


GROUPS = [
    {"weight": 3, "settings": {"gain": {"uniform": [1.5, 1.5]}, "black_point": {"uniform": [0.1, 0.1]}}},
    {"weight": 1, "tone_curve": [0, 0.25, 1], "settings": {"gain": {"uniform": [1, 1]}}},
]


def test_each_photo_is_of_one_tone_group():
    grouped = with_fields(tone_groups=GROUPS)
    assert [group.weight for group in grouped.tone_groups] == [0.75, 0.25]
    photos = [sampled(grouped, seed) for seed in range(400)]
    kinds = {(photo.gain, float(photo.camera_curve[1])) for photo in photos}
    assert kinds == {(1.5, S7.tone_curve[1]), (1.0, 0.25)}  # what a group lacks is the profile's
    assert abs(np.mean([photo.gain == 1.5 for photo in photos]) - 0.75) < 0.07
    assert all((photo.tone_curve[5] == 0) == (photo.gain == 1.5) for photo in photos)
    ranges = [photo.exposure for photo in photos if photo.gain == 1]
    assert np.std(np.log(ranges)) == pytest.approx(S7.prior.exposure["log_normal"][1], rel=0.25)


def test_the_means_of_a_prior_and_of_tone_groups():
    assert camera.mean_of({"uniform": [1, 2]}) == 1.5
    assert camera.mean_of({"log_uniform": [1, 4]}) == 2
    assert camera.mean_of({"log_normal": [1.5, 0.3]}) == 1.5
    settings = mean_settings(S7)
    assert settings.gain == pytest.approx(camera.mean_of(S7.prior.gain))
    assert settings.subsampling is None and settings.shot_noise == settings.read_noise == 0
    assert settings.camera_curve is S7.tone_curve
    mean = mean_settings(with_fields(tone_groups=GROUPS))
    assert mean.gain == 0.75 * 1.5 + 0.25
    middle = mean.camera_curve[len(mean.camera_curve) // 2]
    assert middle == pytest.approx(0.75 * S7.tone_curve[len(S7.tone_curve) // 2] + 0.25 * 0.25, abs=1e-6)
    one = mean_settings(with_fields(tone_groups=[{"weight": 2}]))
    assert one.gain == settings.gain and (one.camera_curve == S7.tone_curve).all()


@pytest.mark.parametrize(("black", "white"), [(0.1, 0.8), (0.1, None), (None, 0.8), (None, None)])
def test_the_mean_of_random_tone_curves_rises_from_the_mean_black_point_to_the_mean_white_point(black, white):
    ranges = {"black_point": black and [0, 2 * black], "white_point": white and [2 * white - 1, 1]}
    given = {name: limits and {"uniform": limits} for name, limits in ranges.items()}
    curve = mean_settings(with_fields(settings=PROFILE["settings"] | given)).tone_curve
    if black or white:
        points = np.linspace(0, 1, len(curve))
        lowest = black or 0
        expected = (white or 1) * np.maximum(points - lowest, 0) / (1 - lowest)
        np.testing.assert_allclose(curve, expected, atol=1e-12)
    else:
        assert curve is None


@given(st.integers(0, 1000), st.floats(0, 1), st.floats(0, 0.2), st.floats(0.7, 1))
def test_tone_curves_rise_from_the_black_point_to_the_white_point(seed, deviation, black, white):
    curve = sample_tone_curve(deviation, black, white, np.random.default_rng(seed))
    points = np.linspace(0, 1, len(curve))
    assert (np.diff(curve) >= 0).all()
    assert (curve[points <= black] == 0).all()
    assert curve[-1] == pytest.approx(white)
    if deviation == 0:
        np.testing.assert_allclose(
            curve[points > black], white * (points[points > black] - black) / (1 - black)
        )


def test_extra_curves_occur_as_often_as_the_profile_says():
    profile = with_fields(extra_tone_curves={"none": 1, "a": 2, "b": 1})
    found = [sampled(profile, seed).extra_curve for seed in range(400)]
    assert np.bincount(found) / 400 == pytest.approx([0.25, 0.5, 0.25], abs=0.08)  # three deviations
    srgb = np.linspace(0, 1, 11, dtype=np.float32)
    np.testing.assert_allclose(isp.EXTRA_CURVES[0](srgb), srgb / (srgb + 0.25), rtol=1e-6)
    np.testing.assert_allclose(isp.EXTRA_CURVES[1](srgb), 3 * srgb**2 - 2 * srgb**3, atol=1e-6)


def test_tone_curves_change_the_photo_and_not_the_raw():
    settings = replace(sampled(S7, 2), subsampling=None)
    darker = replace(settings, tone_curve=np.linspace(0, 1, 65) ** 2)
    (photo, raw), (other, same) = (
        simulated(SCENES[0](80, 80, np.random.default_rng(1)), each) for each in (settings, darker)
    )
    assert (raw == same).all() and other.mean() < 0.9 * photo.mean()


def test_uniform_areas_are_rendered_as_by_the_isp():
    for seed in range(30):
        settings = replace(sampled(S7, seed), subsampling=None)
        for value in (0.02, 0.3, 1.0):
            # a grey that the ISP sees as `value`
            raw = isp.invert_white_balance(np.full((16, 16, 3), value), settings.neutral, settings.gain)
            rendered = run_isp(raw.astype(np.float32), settings) / 255
            expected = render_uniform(np.array(value), settings)
            np.testing.assert_allclose(rendered, np.full((16, 16, 3), expected), atol=0.01)


def test_unknown_camera_error_lists_the_known_ones():
    with pytest.raises(InputError, match=r"known cameras: generic_phone, huawei_p20, samsung_s7"):
        load_camera("box_brownie")


def gain(**distribution: list) -> dict:
    return {"settings": PROFILE["settings"] | {"gain": distribution}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cfa": "RGBW"}, "cfa is 'RGBW'; it must be RGGB, GRBG"),
        ({"settings": {}}, "settings.exposure is missing; it must be uniform or"),
        ({"settings": PROFILE["settings"] | {"gain": [1, 2]}}, "settings.gain is .1, 2."),
        (gain(uniformly=[1, 2]), "settings.gain is .*uniformly"),
        (gain(uniform=[2, 1]), "settings.gain is .*2, 1.*the first not above the second"),
        (gain(uniform=["1", 2]), "settings.gain is '1'; it must be .* two numbers"),
        (gain(uniform=[1, 2, 3]), "settings.gain is .*3.*two numbers"),
        (gain(log_uniform=[0, 2]), r"settings.gain is .*0, 2.*log_uniform \(above 0\)"),
        (gain(log_normal=[1, 1e300]), r"settings.gain is .*1e\+300"),
        (gain(log_normal=[1, 700]), "settings.gain is .*700.*a deviation of 10 at most"),
        ({"settings": PROFILE["settings"] | {"black_point": 1}}, "settings.black_point is 1; .* or null"),
        ({"neutrals": None}, "neutrals is None; it must be a list of red, blue and weight"),
        ({"neutrals": [{"red": 0.5, "blue": 0.5, "weight": 0}]}, "neutrals is .*; it must be a list of red"),
        ({"neutrals": [{"red": 0.5, "blue": 0.5}]}, "neutrals is .*; it must be a list of red"),
        (
            {"jitter": {"red": 0.1, "blue": 0.1, "correlation": -2}},
            "jitter.correlation is -2; it must be a number from -1 to 1",
        ),
        ({"black_level": 2000}, "black_level 2000, white_level 1023; the white level must be the higher"),
        ({"white_level": "1023"}, "white_level is '1023'; it must be a whole number of counts"),
        ({"frame": [3024]}, "frame is .3024.; it must be 2 numbers"),
        ({"name": 7}, "name is 7; it must be text"),
        ({"colour_matrices": np.eye(3).tolist()}, "colour_matrices is .*; it must be N x 3 x 3 numbers"),
        ({"colour_matrices": [np.full((3, 3), np.nan).tolist()]}, "the number nan; give finite ones"),
        ({"shot_noise_iso_100": 0}, "shot_noise_iso_100 is 0; it must be a number"),
        ({"jpeg": dict.fromkeys(PROFILE["jpeg"], 0)}, "jpeg is .*; it must be shares of 4:4:4.*not all 0"),
        ({"extra_tone_curves": {"none": 1}}, "extra_tone_curves is .*; it must be shares of none, a, b"),
        (
            {"illuminants": [{"light": "A", "red": 1}]},
            r"illuminants is .'light': 'A'.*; it must be a list of light \(A, D50",
        ),
        ({"tone_groups": [{"weight": 0}]}, "tone_groups: weight is 0; it must be a number"),
        ({"tone_groups": [{"settings": {}}]}, "tone_groups: weight is missing"),
        (
            {"tone_groups": [{"weight": 1, "gain": 2}]},
            "tone_groups: gain is not a setting .*weight, tone_curve",
        ),
        ({"tone_groups": [{"weight": 1} | gain(uniform=[2, 1])]}, "tone_groups.settings: gain is .*2, 1"),
        ({"tone_groups": [{"weight": 1, "tone_curve": [1, 0]}]}, "tone_groups: tone_curve is .1, 0."),
        *(
            ({"tone_curve": curve}, "tone_curve is .*; it must be two or more values that rise")
            for curve in ([0.5], [0, 0.5, 0.4], [0, 2], [1, 1], "a", [[0, 1]])
        ),
    ],
)
def test_invalid_profile_is_reported_on_one_line(tmp_path, change, message):
    (tmp_path / "broken.yaml").write_text(yaml.safe_dump(PROFILE | change))
    with pytest.raises(InputError, match=rf"broken\.yaml: not a valid camera profile \(.*{message}") as error:
        load_camera(str(tmp_path / "broken.yaml"))
    assert "\n" not in str(error.value)


def test_grey_has_the_neutral_in_raw_and_is_grey_in_srgb():
    for seed in range(20):
        settings = plain_settings(seed)
        rgb, counts = simulated(np.full((16, 16, 3), 0.2 / settings.exposure, np.float32), settings)
        raw = demosaic(linear_raw(counts, S7))[4, 4]
        np.testing.assert_allclose(raw / raw[1], settings.neutral, rtol=0.02)
        assert np.ptp(rgb.astype(float).mean(axis=(0, 1))) < 2


def test_highlights_clip_in_srgb_but_not_in_raw():
    for seed in range(20):
        settings = plain_settings(seed, gain=1.5)
        ramp = np.linspace(1.05, 1.5, 64, dtype=np.float32)[None, :, None] / settings.exposure
        rgb, counts = simulated(np.tile(ramp, (16, 1, 3)), settings)
        assert overexposure_mask(rgb).all()
        green = demosaic(linear_raw(counts, S7))[0, :, 1]
        assert green[-1] - green[0] > 0.25  # the RAW still distinguishes 0.7 from 1


@pytest.mark.parametrize("cfa", ["RGGB", "GRBG", "GBRG", "BGGR"])
@pytest.mark.parametrize("shape", [(40, 48), (41, 47)])
def test_photo_and_raw_are_aligned_for_every_cfa(cfa, shape):
    sensor = replace(S7, cfa=cfa, black_level=64)
    neutral = {"exposure": 1.0, "gain": 1.0, "midtones": 0.0, "contrast": 0.0, "saturation": 1.0}
    settings = plain_settings(3, colour_matrix=np.eye(3), **neutral)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    scene = np.stack([x, y, x + y], axis=-1) / 150 + 0.1
    rgb, counts = simulated(scene, settings, sensor)
    bayer = linear_raw(counts, sensor)
    assert bayer.shape == rgb.shape[:2] and all(length % 2 == 0 for length in bayer.shape)
    expected = mosaic(isp.decode_srgb(rgb / np.float32(255)) * settings.neutral.astype(np.float32))
    np.testing.assert_allclose(bayer, expected, atol=0.008)  # 8 bits in sRGB, 10 in RAW


def test_the_raw_is_shaded_around_the_optical_axis_and_the_photo_is_not():
    sensor = replace(S7, frame=np.array([60, 80]), cfa="RGGB")  # half a diagonal is 50 pixels
    settings = plain_settings(0, centre=np.array([10.0, -20.0]))
    grey = np.full((60, 80, 3), 0.4 / settings.exposure, np.float32)
    (_, even), (photo, counts) = (
        simulated(grey, replace(settings, shading=amount), sensor) for amount in (0.0, 0.2)
    )
    y, x = np.mgrid[:60, :80]
    expected = 1 - 0.2 * ((y - 20) ** 2 + (x - 60) ** 2) / 50**2
    np.testing.assert_allclose(counts / even, expected, atol=0.01)
    assert np.ptp(photo, axis=(0, 1)).max() <= 1


def test_denoising_removes_a_share_of_the_noise_from_the_photo_alone():
    settings = plain_settings(0, shot_noise=0.002)
    grey = np.full((64, 64, 3), 0.3 / settings.exposure, np.float32)
    pairs = [simulated(grey, replace(settings, denoising=share)) for share in (0.0, 0.5, 1.0)]
    noise = [photo[..., 1].std() for photo, _ in pairs]
    assert noise == pytest.approx([noise[0], noise[0] / 2, 0], abs=0.03 * noise[0]) and noise[0] > 5
    assert all((counts == pairs[0][1]).all() for _, counts in pairs)


def test_isp_is_inverted_where_possible():
    for seed in range(10):
        settings = plain_settings(seed, gain=1.0)
        noise = np.random.default_rng(seed).standard_normal((32, 32, 3))
        scene = np.clip(0.3 + 0.1 * noise, 0.1, 0.6).astype(np.float32) / np.float32(settings.exposure)
        raw = np.clip(expose(scene, settings), 0, 1)
        linear = linearise_photo(run_isp(raw, settings), settings)
        balanced = isp.srgb_to_camera(linear, settings.colour_matrix)
        restored = isp.clip(isp.invert_white_balance(balanced, settings.neutral, settings.gain))
        np.testing.assert_allclose(restored, raw, atol=0.02)


def test_photo_round_trip_through_the_camera():
    photo = np.clip(random_rgb(64, 64), 20, 200)
    settings = plain_settings(2, exposure=1.0, gain=1.0)
    restored = run_isp(expose(linear_scene(photo, settings), settings), settings)
    assert np.abs(restored.astype(int) - photo).max() <= 2


def test_clipped_areas_brighten_from_bright_surroundings_without_a_jump():
    photo = np.full((60, 90, 3), 249, np.uint8)
    photo[:, 40:] = 255
    photo[20:40, 60:70] = 30  # an object in front of the sky
    scene = linear_scene(photo, plain_settings(0), growth=0.02, headroom=0.6)
    row = scene[5, :, 1]
    assert np.diff(row).min() >= 0
    # the photo's own step plus the first step of the growth
    assert np.diff(row).max() == pytest.approx((1 - row[0]) + 0.02, abs=0.01)
    assert row[-1] == pytest.approx(1.6, abs=0.01)
    # no halo around the object
    np.testing.assert_allclose(scene[30, 70:, 1], row[70:])
    # a lamp in the dark has its full brightness
    photo = np.full((40, 40, 3), 20, np.uint8)
    photo[15:25, 15:25] = 255
    lamp = linear_scene(photo, plain_settings(0), growth=0.02, headroom=0.6)[15:25, 15:25]
    assert lamp.min() == pytest.approx(1.6)


MEANS_AND_DEVIATIONS = {  # of the scenes below: pairs to train with stay the same
    "leaves": (0.2000, 0.2057),
    "landscape": (0.6766, 0.6422),
    "night": (0.7391, 1.3456),
    "chart": (0.2984, 0.3465),
    "spheres": (0.3405, 0.2851),
    "bricks": (0.4327, 0.4426),
    "rosette": (0.1510, 0.1601),
    "paper": (0.4761, 0.5354),
}


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_scenes_are_linear_and_reproducible(scene):
    image = scene(48, 64, np.random.default_rng(0))
    assert image.shape == (48, 64, 3) and image.dtype == np.float32
    assert np.isfinite(image).all() and image.min() >= 0
    assert (image.mean(), image.std()) == pytest.approx(MEANS_AND_DEVIATIONS[scene.__name__], rel=5e-3)
    assert (image == scene(48, 64, np.random.default_rng(0))).all()
