"""Classical method, no network: the inverse of a camera's mean ISP. No torch here."""

import numpy as np

from omf.inference.base import ClassicalMethod, Picture
from omf.raw import isp
from omf.raw.camera import Camera
from omf.raw.simulator import linearise_photo, mean_settings


class Inverse(ClassicalMethod):
    """Invert the mean ISP of a camera: its curves, saturation, matrix, gain and white balance, in this order.

    The means are those of `mean_settings`; see `linearise_photo` for what remains of the ISP.

    Args:
        camera: camera profile, for example one that `omf calibrate` measured.
    """

    def __init__(self, camera: Camera):
        self.settings = mean_settings(camera)

    def __call__(
        self, rgb: np.ndarray, *, neutral: tuple[float, float] | None = None, exposure: float = 1.0
    ) -> np.ndarray:
        """Reconstruct demosaiced RAW.

        Args:
            rgb: (H, W, 3) sRGB, uint8 or uint16.
            neutral: R/G and B/G of a neutral grey in RAW, if known; the profile's mean by default.
            exposure: factor on the RAW.

        Returns:
            float32 (H, W, 3) in [0, 1], camera RGB, linear.
        """
        settings = self.settings
        white = settings.neutral if neutral is None else np.array([neutral[0], 1.0, neutral[1]])
        balanced = isp.srgb_to_camera(linearise_photo(rgb, settings), settings.colour_matrix)
        return isp.clip(isp.invert_white_balance(balanced, white * exposure, settings.gain))

    def reconstruct(self, picture: Picture) -> np.ndarray:
        """Reconstruct demosaiced RAW, with what is known of it."""
        method = Inverse(picture.carriage.target) if picture.carriage else self
        return method(picture.rgb, neutral=picture.neutral, exposure=picture.exposure)
