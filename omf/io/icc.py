"""From the colours of an embedded ICC profile to sRGB, by littleCMS."""

import imagecodecs
import numpy as np

SRGB = imagecodecs.cms_profile("srgb")
SPACES = {1: "gray", 3: "rgb", 4: "cmyk"}  # by the number of channels
SAME = (
    2 / 255
)  # profiles that call themselves sRGB differ by rounding; what changes colours by no more is sRGB


def to_srgb(colours: np.ndarray, profile: bytes | None) -> np.ndarray | None:
    """Convert by an ICC profile.

    Args:
        colours: uint8 or uint16 (H, W, C); C is 1 for grey, 3 for RGB, 4 for CMYK, where 0 is no ink.
        profile: as embedded in a file.

    Returns:
        sRGB of the same type, (H, W, 3). None where nothing is to be converted: there is no profile, it says sRGB,
        or it is broken or of another kind of colours, and says nothing then.
    """
    if not profile:
        return None
    space = SPACES[colours.shape[-1]]
    try:
        if space == "rgb" and says_srgb(profile):
            return None
        return convert_colours(colours, profile, space)
    except imagecodecs.CmsError:
        return None


def says_srgb(profile: bytes) -> bool:
    """Whether an RGB profile leaves colours from all over the cube where they are. Raises CmsError."""
    steps = np.linspace(0, 65535, 9).astype(np.uint16)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(9, 81, 3)
    moved = convert_colours(cube, profile, "rgb").astype(np.float64) - cube
    return bool(np.abs(moved).max() <= SAME * 65535)


def convert_colours(colours: np.ndarray, profile: bytes, space: str) -> np.ndarray:
    """(H, W, C) -> sRGB (H, W, 3) of the same type. Raises CmsError."""
    # littleCMS's tables for speed are off by several percent in dark greys and in dark colours of 16 bits
    exact = space == "gray" or colours.dtype == np.uint16
    flags = imagecodecs.CMS.FLAGS.NOOPTIMIZE if exact else None
    colours = np.ascontiguousarray(colours[..., 0] if space == "gray" else colours)
    return imagecodecs.cms_transform(
        colours, profile, SRGB, colorspace=space, outcolorspace="rgb", flags=flags
    )
