"""Colours of cameras: their matrices in any light, and RAW of one camera carried to another.

The formulas are those of the DNG specification 1.4, chapter 6.
"""

from typing import NamedTuple

import numpy as np

from omf.raw.camera import LIGHT_SOURCES, Camera
from omf.utils.errors import InputError

# linear sRGB to XYZ under D65 (IEC 61966-2-1), and adapted to D50 (Bradford); from brucelindbloom.com
SRGB_TO_XYZ_D65 = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
SRGB_TO_XYZ_D50 = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
# XYZ to the responses of cones; from brucelindbloom.com
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

MAX_STEPS = 30  # of the search for the white of a neutral
MIN_NEUTRAL = 0.02  # lower limit of R/G and B/G of a carried neutral
MIN_DETERMINANT = 1e-6  # of a matrix that can be inverted

Chromaticity = tuple[float, float]  # CIE x and y


def calibrations(camera: Camera | None) -> list[tuple[str, np.ndarray]]:
    """Return one or two standard illuminants with ColorMatrix: XYZ to camera RGB, (3, 3), the warmest first.

    Without illuminants in the profile, its mean neutral counts as its grey under D65. The row scale that this
    gives affects the colour temperature that a developer displays, but hardly the image.

    Args:
        camera: camera of the RAW; None stands for sRGB primaries.
    """
    if camera is None:
        return [("D65", np.linalg.inv(SRGB_TO_XYZ_D65))]
    lights = sorted(camera.illuminants, key=lambda light: -LIGHT_SOURCES[light][1][0])
    if len(lights) == 1 and not camera.xyz_matrices:  # tells less than the mean neutral
        lights = []
    if not lights:
        from_srgb = np.diag(camera.mean_neutral) @ camera.mean_colour_matrix
        return [("D65", from_srgb @ np.linalg.inv(SRGB_TO_XYZ_D65))]
    return [(light, matrix_from_xyz(camera, light)) for light in dict.fromkeys((lights[0], lights[-1]))]


def matrix_from_xyz(camera: Camera, light: str) -> np.ndarray:
    """Return ColorMatrix of a camera under one of its illuminants: XYZ to camera RGB, (3, 3).

    If the profile does not contain it, it is diag(n) C inverse(Q): C is the mean of the profile's
    `colour_matrices`, n its neutral under the light, and Q converts linear sRGB to XYZ, adapted to the light
    by the Bradford transform.
    """
    if light in camera.xyz_matrices:
        return camera.xyz_matrices[light]
    to_xyz = adapt_white(LIGHT_SOURCES["D65"][1], LIGHT_SOURCES[light][1]) @ SRGB_TO_XYZ_D65
    return np.diag(camera.illuminants[light]) @ camera.mean_colour_matrix @ np.linalg.inv(to_xyz)


def colour_matrix_of(from_xyz: np.ndarray, light: str) -> np.ndarray:
    """Return the matrix from linear sRGB to white-balanced camera RGB, (3, 3).

    `from_xyz` leads from XYZ to camera RGB under a standard illuminant, (3, 3).
    """
    from_srgb = from_xyz @ adapt_white(LIGHT_SOURCES["D65"][1], LIGHT_SOURCES[light][1]) @ SRGB_TO_XYZ_D65
    return from_srgb / from_srgb.sum(axis=1, keepdims=True)


def adapt_white(before: Chromaticity, after: Chromaticity) -> np.ndarray:
    """Return the Bradford transform of XYZ between two whites, given by their chromaticities."""
    cones = [BRADFORD @ xyz_of(white) for white in (before, after)]
    return np.linalg.inv(BRADFORD) @ np.diag(cones[1] / cones[0]) @ BRADFORD


def xyz_of(white: Chromaticity) -> np.ndarray:
    """Return XYZ, (3,), of a white with Y at 1."""
    x, y = white
    return np.array([x / y, 1, (1 - x - y) / y])


def temperature(white: Chromaticity) -> float:
    """Return the correlated colour temperature of a white, K (McCamy 1992), from 1,500 to 25,000."""
    x, y = white
    n = (x - 0.3320) / (0.1858 - y) if abs(0.1858 - y) > 1e-9 else 0.0
    return float(np.clip(((449 * n + 3525) * n + 6823.3) * n + 5520.33, 1500, 25_000))


def interpolate(calibrated: list[tuple[str, np.ndarray]], white: Chromaticity) -> np.ndarray:
    """Return the matrix from XYZ to camera RGB in light of a white, (3, 3).

    Between two illuminants, see `calibrations`, it is interpolated by the inverse of the correlated colour
    temperature; beyond them it is that of the nearer one.
    """
    (light, warm), *cooler = calibrated
    if not cooler:
        return warm
    ((other, cool),) = cooler
    inverse, low, high = (
        1 / temperature(xy) for xy in (white, LIGHT_SOURCES[light][1], LIGHT_SOURCES[other][1])
    )
    share = np.clip((inverse - high) / (low - high), 0, 1)
    return share * warm + (1 - share) * cool


def white_of(camera: Camera, neutral: np.ndarray) -> Chromaticity:
    """Return the chromaticity of the light in which a camera's neutral grey is `neutral`, (3,).

    The matrix depends on the light, which is found by iteration from D50 on. The white of a neutral that no
    light has is that of D50.
    """
    calibrated, white = calibrations(camera), LIGHT_SOURCES["D50"][1]
    for _ in range(MAX_STEPS):
        xyz = np.linalg.solve(interpolate(calibrated, white), neutral)
        if not (xyz > 0).all():
            return LIGHT_SOURCES["D50"][1]
        x, y, _ = xyz / xyz.sum()
        settled = abs(x - white[0]) + abs(y - white[1]) < 1e-7
        white = (float(x), float(y))
        if settled:
            break
    return white


def neutral_under(camera: Camera, white: Chromaticity) -> np.ndarray:
    """Return the RAW of a neutral grey in light of a white, (3,), green at 1."""
    neutral = interpolate(calibrations(camera), white) @ xyz_of(white)
    return np.maximum(neutral / neutral[1], MIN_NEUTRAL)


class Carriage(NamedTuple):
    """Two cameras, from the RAW of the first to that of the second."""

    source: Camera
    target: Camera

    def neutral_of_source(self, neutral: np.ndarray) -> np.ndarray:
        """Return the source's neutral grey, (3,), in the light in which that of the target is `neutral`."""
        return neutral_under(self.source, white_of(self.target, neutral))

    def matrix(self, neutral: np.ndarray) -> np.ndarray:
        """Return the matrix from RAW of the source to that of the target, (3, 3), for light of a neutral.

        `neutral` is the RAW of a grey of the source, (3,), green at 1. The matrix keeps its green, since the
        sensitivities of sensors are not known.
        """
        white = white_of(self.source, neutral)
        source, target = (interpolate(calibrations(camera), white) for camera in self)
        if (source == target).all():
            return np.eye(3)
        matrix = target @ np.linalg.inv(source)
        carried = matrix @ neutral
        if carried[1] <= 0:  # no such light
            return np.eye(3)
        return matrix / carried[1]


def check_carries(source: Camera, target: Camera) -> None:
    """Raise InputError unless the matrices of both cameras can be inverted."""
    for camera in (source, target):
        for _, matrix in calibrations(camera):
            if abs(np.linalg.det(matrix)) < MIN_DETERMINANT:
                raise InputError(
                    f"camera {camera.name}: its colour matrix can't be inverted, so RAW can't be carried from"
                    f" {source.name} to {target.name}; correct its profile"
                )
