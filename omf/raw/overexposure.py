"""The overexposure mask: which pixels the OE network answers for."""

import numpy as np

# Luma weights (ITU-R BT.601) and threshold of the published method, in thousandths, so that the
# comparison is exact integer arithmetic and the same on every machine.
LUMA_RGB = (299, 587, 114)
THRESHOLD = 978


def overexposure_mask(rgb: np.ndarray) -> np.ndarray:
    """Mark the overexposed pixels of an sRGB image.

    A pixel is overexposed where 0.299 R + 0.587 G + 0.114 B >= 0.978 (Kim et al. 2022), with R, G
    and B scaled to [0, 1] by the largest value of the image's type.

    Args:
        rgb: (H, W, 3), uint8 or uint16.

    Returns:
        bool (H, W), True where overexposed.
    """
    red, green, blue = (rgb[..., i].astype(np.int32) * LUMA_RGB[i] for i in range(3))
    return red + green + blue >= THRESHOLD * np.iinfo(rgb.dtype).max
