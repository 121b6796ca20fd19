"""A simple camera model: from a linear scene to sensor RAW, and from RAW through an ISP to sRGB.

Values are linear with the sensor's white level at 1, unless a name says sRGB. Arrays are (H, W, 3).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from scipy.ndimage import gaussian_filter

from omf.bayer import to_challenge_format
from omf.errors import InputError
from omf.folders import data_folder


@dataclass(frozen=True)
class Camera:
    """What is known of one camera; see `cameras/*.yaml` for the fields' meaning and sources."""

    name: str
    neutrals: np.ndarray  # (N, 2): R/G and B/G of a neutral grey in RAW, one row for each kind of light
    weights: np.ndarray  # (N,), sum 1
    colour_matrices: np.ndarray  # (2, 3, 3): linear sRGB to white-balanced camera RGB

    @property
    def usual_neutral(self) -> np.ndarray:
        """(3,): RAW of a neutral grey in average light, green at 1."""
        red, blue = self.weights @ self.neutrals
        return np.array([red, 1.0, blue])


def load_camera(name: str) -> Camera:
    """Read `cameras/NAME.yaml`. Raises InputError where there is none."""
    path = data_folder("cameras") / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(Path(p).stem for p in path.parent.glob("*.yaml")))
        raise InputError(f"camera {name}: there is no {path.name} in {path.parent}; known cameras: {known}")
    profile = yaml.safe_load(path.read_text())
    weights = np.array([light["weight"] for light in profile["neutrals"]])
    return Camera(
        name=profile["name"],
        neutrals=np.array([[light["red"], light["blue"]] for light in profile["neutrals"]]),
        weights=weights / weights.sum(),
        colour_matrices=np.array(profile["colour_matrices"]),
    )


@dataclass(frozen=True)
class Shot:
    """The settings under which one picture is taken and processed."""

    neutral: np.ndarray  # (3,): RAW of a neutral grey, green at 1
    colour_matrix: np.ndarray  # (3, 3): linear sRGB to white-balanced camera RGB
    exposure: float  # RAW green of a scene value of 1
    gain: float  # the ISP's brightening; green above 1 / gain is lost in the sRGB
    midtones: float  # how much the tone curve lifts the mid-tones
    sharpening: float  # amount of the unsharp mask
    noise: float  # standard deviation left in the sRGB, in 8-bit counts


def random_shot(camera: Camera, rng: np.random.Generator) -> Shot:
    """Draw settings as they vary between a phone's pictures."""
    mix = rng.dirichlet(2 * camera.weights)  # often near one light, sometimes between several
    red, blue = mix @ camera.neutrals * np.exp(rng.normal(0, 0.04, 2))
    blend = rng.uniform(0, 1)
    gain = np.exp(rng.uniform(0, 0.55))
    return Shot(
        neutral=np.array([red, 1.0, blue]),
        colour_matrix=blend * camera.colour_matrices[0] + (1 - blend) * camera.colour_matrices[1],
        exposure=np.exp(rng.normal(0, 0.3)) / gain,
        gain=gain,
        midtones=rng.uniform(0, 0.7),
        sharpening=rng.uniform(0, 0.6),
        noise=rng.uniform(0, 1.5),
    )


def expose(scene: np.ndarray, shot: Shot) -> np.ndarray:
    """Demosaiced RAW of a scene.

    Args:
        scene: linear sRGB primaries, neutral light, 1 = white paper; lights and glints lie above 1.
        shot: the settings.

    Returns:
        Camera RGB in [0, 1]; what exceeds the white level is lost.
    """
    raw = scene @ (shot.colour_matrix.T * shot.neutral * shot.exposure).astype(scene.dtype)
    return np.clip(raw, 0, 1)


def develop(raw: np.ndarray, shot: Shot, rng: np.random.Generator) -> np.ndarray:
    """Render RAW as the camera's ISP would: demosaiced RAW -> sRGB, uint8.

    White balance and brightening push bright colours over 1, where they are clipped: this is where
    overexposed pixels lose what the RAW still holds.
    """
    balanced = np.clip(raw * (shot.gain / shot.neutral).astype(raw.dtype), 0, 1)
    linear = np.clip(balanced @ np.linalg.inv(shot.colour_matrix).T.astype(raw.dtype), 0, 1)
    srgb = encode_srgb(lift_midtones(linear, shot.midtones))
    srgb += shot.sharpening * (srgb - gaussian_filter(srgb, (1, 1, 0)))
    srgb += rng.normal(0, shot.noise / 255, srgb.shape)
    return (np.clip(srgb, 0, 1) * 255).round().astype(np.uint8)


def linear_scene(srgb: np.ndarray, midtones: float = 0.35, headroom: float = 1.5) -> np.ndarray:
    """A linear scene from an sRGB photo: the ISP's tone curve undone, clipped lights made bright again.

    Args:
        srgb: uint8 (H, W, 3).
        midtones: of the tone curve to undo.
        headroom: how much brighter than white the middle of a large clipped area becomes. What was
            there is unknown; this only keeps it from being flat.

    Returns:
        float32 (H, W, 3), linear sRGB primaries, 1 = white.
    """
    scene = lower_midtones(decode_srgb(srgb.astype(np.float32) / 255), midtones)
    clipped = (srgb.max(axis=-1) >= 250).astype(np.float32)
    glow = clipped * gaussian_filter(clipped, 8)
    return scene * (1 + headroom * glow[..., None])


def baseline(srgb: np.ndarray, camera: Camera) -> np.ndarray:
    """What one gets without a network: undo the sRGB curve, then the average white balance.

    Args:
        srgb: uint8 or uint16 (H, W, 3).

    Returns:
        Packed Bayer in the challenge's format, uint16 (H/2, W/2, 4).
    """
    linear = decode_srgb(srgb.astype(np.float32) / np.iinfo(srgb.dtype).max)
    return to_challenge_format(linear * camera.usual_neutral.astype(np.float32))


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """The sRGB transfer function (IEC 61966-2-1), [0, 1] -> [0, 1]."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-8) ** (1 / 2.4) - 0.055)


def decode_srgb(srgb: np.ndarray) -> np.ndarray:
    """Undo `encode_srgb`."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def lift_midtones(linear: np.ndarray, amount: float) -> np.ndarray:
    """x (1 + a (1 - x)): black and white stay, what lies between gets brighter; 0 <= a <= 1."""
    return linear * (1 + amount * (1 - linear))


def lower_midtones(lifted: np.ndarray, amount: float) -> np.ndarray:
    """Undo `lift_midtones`: the smaller root of a x^2 - (1 + a) x + y = 0."""
    return 2 * lifted / (1 + amount + np.sqrt((1 + amount) ** 2 - 4 * amount * lifted))
