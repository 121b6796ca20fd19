from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omf.raw.camera import LIGHT_SOURCES, load_camera
from omf.raw.camera_colours import (
    SRGB_TO_XYZ_D65,
    Carriage,
    adapt_white,
    calibrations,
    check_carries,
    colour_matrix_of,
    interpolate,
    matrix_from_xyz,
    neutral_under,
    temperature,
    white_of,
)
from omf.utils.errors import InputError

S7, P20, GENERIC = map(load_camera, ("samsung_s7", "huawei_p20", "generic_phone"))
# between A and D65, on and off the curve of daylight
WHITES = [chromaticity for _, chromaticity in LIGHT_SOURCES.values()] + [(0.40, 0.39), (0.33, 0.36)]


def test_matrices_map_grey_to_grey():
    ((light, from_xyz),) = calibrations(replace(S7, illuminants={}))
    grey = from_xyz @ np.array([0.9505, 1.0, 1.089])  # white under D65
    assert light == "D65" and grey / grey[1] == pytest.approx(S7.mean_neutral, rel=5e-3)
    for light, matrix in calibrations(S7):
        x, y = LIGHT_SOURCES[light][1]
        assert matrix @ [x / y, 1, (1 - x - y) / y] == pytest.approx(S7.illuminants[light], rel=1e-3)


def test_temperatures_of_standard_illuminants():
    # CIE 15: correlated colour temperatures
    for light, kelvin in {"A": 2856, "D50": 5003, "D55": 5503, "D65": 6504, "D75": 7504}.items():
        assert temperature(LIGHT_SOURCES[light][1]) == pytest.approx(kelvin, rel=0.003)


def test_interpolation_is_linear_in_the_inverse_temperature():
    (_, warm), (_, cool) = calibrated = calibrations(S7)
    np.testing.assert_array_equal(interpolate(calibrated, LIGHT_SOURCES["A"][1]), warm)
    np.testing.assert_array_equal(interpolate(calibrated, LIGHT_SOURCES["D75"][1]), cool)
    low, middle, high = (1 / temperature(LIGHT_SOURCES[light][1]) for light in ("A", "D50", "D65"))
    share = (middle - high) / (low - high)
    expected = share * warm + (1 - share) * cool
    assert interpolate(calibrated, LIGHT_SOURCES["D50"][1]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("white", WHITES)
def test_a_scene_seen_by_one_camera_is_carried_to_what_the_other_sees(white):
    for camera in (S7, P20, GENERIC):
        assert white_of(camera, neutral_under(camera, white)) == pytest.approx(white, abs=2e-4), camera.name
    xyz = np.random.default_rng(0).uniform(0.02, 0.6, (1000, 3))
    seen = [xyz @ interpolate(calibrations(camera), white).T for camera in (S7, P20)]
    neutrals = [neutral_under(camera, white) for camera in (S7, P20)]
    carried = seen[0] @ Carriage(S7, P20).matrix(neutrals[0]).T
    scale = (interpolate(calibrations(P20), white) @ neutrals[0])[1]  # of sensitivity, which is not known
    assert scale > 0
    ratio = carried.sum() / seen[1].sum()
    assert np.abs(carried / ratio - seen[1]).max() < 0.01 * seen[1].mean()


@given(st.floats(0.25, 1.2), st.floats(0.25, 1.2))
def test_grey_stays_grey_and_keeps_its_green(red, blue):
    neutral = np.array([red, 1.0, blue])
    carriage = Carriage(S7, P20)
    carried = carriage.matrix(neutral) @ neutral
    assert carried[1] == pytest.approx(1)
    white = white_of(S7, neutral)
    if white != LIGHT_SOURCES["D50"][1]:  # light that exists
        assert carried == pytest.approx(neutral_under(P20, white), rel=1e-3)
        assert carriage.neutral_of_source(neutral_under(P20, white)) == pytest.approx(neutral, rel=0.02)


def test_the_matrix_of_a_colour_matrix():
    for light in S7.illuminants:
        from_srgb = colour_matrix_of(matrix_from_xyz(S7, light), light)
        assert from_srgb == pytest.approx(S7.mean_colour_matrix, abs=1e-4)  # rounded in the profile
    light, chromaticity = "A", LIGHT_SOURCES["A"][1]
    given_matrix = np.array([[0.9, 0.1, 0.0], [0.2, 1.0, 0.1], [0.0, 0.2, 0.7]])
    camera = replace(S7, illuminants={light: S7.illuminants[light]}, xyz_matrices={light: given_matrix})
    assert (matrix_from_xyz(camera, light) == given_matrix).all()
    to_xyz = adapt_white(LIGHT_SOURCES["D65"][1], chromaticity) @ SRGB_TO_XYZ_D65
    white = given_matrix @ to_xyz @ np.ones(3)
    assert neutral_under(camera, chromaticity) == pytest.approx(white / white[1], rel=1e-3)


def test_a_matrix_without_inverse_is_refused_and_the_same_camera_changes_nothing():
    flat = replace(S7, name="flat", illuminants={}, colour_matrices=np.full((1, 3, 3), 1 / 3))
    for pair in ((S7, flat), (flat, S7)):
        with pytest.raises(InputError, match="camera flat: its colour matrix can't be inverted"):
            check_carries(*pair)
    check_carries(S7, P20)
    assert (Carriage(S7, replace(S7, name="other")).matrix(S7.mean_neutral) == np.eye(3)).all()
