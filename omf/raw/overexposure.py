"""The overexposure mask, which selects the pixels that the OE network predicts."""

import numpy as np

# Luma weights (ITU-R BT.601) and threshold of the published method, in thousandths: the comparison is
# exact integer arithmetic and gives the same result on every machine.
LUMA_THOUSANDTHS = (299, 587, 114)
THRESHOLD = 978


def overexposure_mask(rgb: np.ndarray) -> np.ndarray:
    """Mark the overexposed pixels of an sRGB photo.

    A pixel is overexposed if 0.299 R + 0.587 G + 0.114 B >= 0.978 (Kim et al. 2022), with R, G
    and B scaled to [0, 1] by the maximum of the dtype.

    Args:
        rgb: photo, (H, W, 3), uint8 or uint16.

    Returns:
        bool (H, W), True where overexposed.
    """
    red, green, blue = (rgb[..., i].astype(np.int32) * LUMA_THOUSANDTHS[i] for i in range(3))
    return red + green + blue >= THRESHOLD * np.iinfo(rgb.dtype).max
