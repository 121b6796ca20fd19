"""Check that a GPU gives the CPU's answers, before it works for hours."""

import numpy as np
import torch

from omf.inference.base import Picture
from omf.inference.fusion import Fusion
from omf.models.checkpoints import load_networks
from omf.models.registry import Model
from omf.raw.bayer import WHITE_LEVEL
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import DeviceError

# Largest difference from the CPU, in counts of the challenge; TF32 is off by 2, and bfloat16 has three bits
# less than float16
MAX_DEVIATION = {"float32": 1.0, "published": 1.0, "float16": 4.0, "bfloat16": 32.0}
QUICK_SIZE = 64  # pixels


def sample_picture(height: int, width: int, dtype: type = np.uint8, seed: int = 0) -> Picture:
    """Return a picture of gradients, noise and an overexposed disc."""
    rows, columns = np.mgrid[:height, :width]
    ramp = np.stack((columns / width, rows / height, 1 - columns / width), axis=-1)
    noise = np.random.default_rng(seed).normal(0, 0.04, (height, width, 3))
    distance = np.hypot(rows / height - 0.4, columns / width - 0.6)[..., None]
    rgb = np.clip(0.1 + 0.7 * ramp + noise + 4 * np.maximum(0.25 - distance, 0), 0, 1)
    rgb = (rgb * np.iinfo(dtype).max).astype(dtype)
    return Picture(rgb, overexposure_mask(rgb))


def check_against_cpu(fusion: Fusion, model: Model) -> float:
    """Reconstruct a small picture on the device of `fusion` and on the CPU.

    Args:
        fusion: the networks of `model` on a device.
        model: model of networks.

    Returns:
        Largest difference in counts.

    Raises:
        DeviceError: the difference is larger than any order of operations explains.
    """
    picture = sample_picture(QUICK_SIZE, QUICK_SIZE)
    oe, noe, base, _ = load_networks(model)
    expected = Fusion(oe, noe, torch.device("cpu"), "published", base)(picture.rgb, picture.mask)
    difference = float(np.abs(fusion(picture.rgb, picture.mask) - expected).max() * WHITE_LEVEL)
    if not difference <= MAX_DEVIATION[fusion.precision]:
        raise DeviceError(
            f"the GPU's RAW of a test picture is {difference:.3g} counts off that of the CPU, more than"
            f" {MAX_DEVIATION[fusion.precision]:g}; run omf selftest"
        )
    return difference
