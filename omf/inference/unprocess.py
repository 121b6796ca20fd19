"""Classical method, no network: "Unprocessing Images for Learned Raw Denoising" (Brooks et al. 2019)."""

import numpy as np

from omf.inference.base import ClassicalMethod, Picture, refuse_known_values
from omf.raw import isp
from omf.raw.camera import Camera, name_seed

GAMMA = 2.2
INFLECTION = 0.9  # grey level above which the inverted gains fade out


class Unprocess(ClassicalMethod):
    """Invert an average ISP with random gains, as published; an alternative to `Fusion`.

    Each photo has its own gains. Their seed is derived from its name rather than its pixels, since decoders
    may differ in the last bit.

    Args:
        camera: camera profile with the colour matrices; the published ones are for other cameras.
    """

    def __init__(self, camera: Camera):
        self.camera = camera

    def __call__(self, rgb: np.ndarray, name: str) -> np.ndarray:
        """Reconstruct demosaiced RAW.

        Args:
            rgb: (H, W, 3) sRGB, uint8 or uint16.
            name: name of the photo, which determines the gains.

        Returns:
            float32 (H, W, 3) in [0, 1], camera RGB, linear.
        """
        rng = np.random.default_rng(name_seed(name))
        shares = rng.dirichlet(np.ones(len(self.camera.colour_matrices)))
        matrix = np.tensordot(shares, self.camera.colour_matrices, 1)
        gains = np.array([rng.uniform(1.9, 2.4), 1.0, rng.uniform(1.5, 1.9)]) / rng.normal(0.8, 0.1)
        srgb = rgb.astype(np.float32) / np.iinfo(rgb.dtype).max
        linear = np.maximum(isp.inverse_smoothstep(srgb), 1e-8) ** np.float32(GAMMA)
        return isp.clip(invert_gains(isp.srgb_to_camera(linear, matrix), gains))

    def reconstruct(self, picture: Picture) -> np.ndarray:
        """Reconstruct demosaiced RAW. Raises InputError if a neutral or an exposure is given."""
        refuse_known_values([picture])
        method = Unprocess(picture.carriage.target) if picture.carriage else self
        return method(picture.rgb, picture.name)


def invert_gains(balanced: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Divide (H, W, 3) by gains (3,), except near white, so that highlights stay white."""
    inverse = (1 / gains).astype(np.float32)
    grey = balanced.mean(axis=-1, keepdims=True)
    fade = (np.maximum(grey - INFLECTION, 0) / (1 - INFLECTION)) ** 2
    return balanced * np.maximum(fade + (1 - fade) * inverse, inverse)
