"""Classical method, no network: the inverse of a camera's mean ISP. No torch here."""

import numpy as np

from omf.inference.base import ClassicalMethod, Picture
from omf.raw import isp
from omf.raw.camera import Camera
from omf.raw.simulator import apply_srgb_curves, encode_uniform, mean_settings

# Values at which tone curves are tabulated; linear ones are denser in the dark, where the sRGB curve is steep
SRGB_LEVELS = np.linspace(0, 1, 4097)
LINEAR_LEVELS = SRGB_LEVELS**2


class Inverse(ClassicalMethod):
    """Invert the mean ISP of a camera: its curves, saturation, matrix, gain and white balance, in this order.

    The means are those of `mean_settings`. Local contrast is inverted as in uniform areas. Sharpening, noise
    and JPEG artefacts remain, and clipped pixels become the RAW at which the photo reaches white.

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
        balanced = isp.srgb_to_camera(self.linearised(rgb), settings.colour_matrix)
        return isp.clip(isp.invert_white_balance(balanced, white * exposure, settings.gain))

    def linearised(self, rgb: np.ndarray) -> np.ndarray:
        """Convert a photo, uint8 or uint16 (H, W, 3), to linear sRGB, float32 (H, W, 3) in [0, 1]."""
        most = np.iinfo(rgb.dtype).max
        codes = np.arange(most + 1) / most
        srgb = np.interp(codes, apply_srgb_curves(SRGB_LEVELS, self.settings), SRGB_LEVELS)
        if self.settings.saturation == 1:  # the channels are independent, so that a table suffices
            return self.decoded(srgb)[rgb]
        less = isp.saturate(srgb.astype(np.float32)[rgb], 1 / self.settings.saturation)
        return self.decoded(isp.clip(less))

    def decoded(self, srgb: np.ndarray) -> np.ndarray:
        """Invert `encode_uniform`: any shape -> float32."""
        encoded = encode_uniform(LINEAR_LEVELS, self.settings)
        return np.interp(srgb, encoded, LINEAR_LEVELS).astype(np.float32)

    def reconstruct(self, picture: Picture) -> np.ndarray:
        """Reconstruct demosaiced RAW, with what is known of it."""
        return self(picture.rgb, neutral=picture.neutral, exposure=picture.exposure)
