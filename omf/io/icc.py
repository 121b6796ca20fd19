"""Convert colours with an embedded ICC profile to sRGB, using littleCMS."""

import imagecodecs
import numpy as np

SRGB = imagecodecs.cms_profile("srgb")
SPACES = {1: "gray", 3: "rgb", 4: "cmyk"}  # by the number of channels
SRGB_TOLERANCE = 2 / 255  # largest deviation of an sRGB profile: such profiles differ by rounding


def to_srgb(colours: np.ndarray, profile: bytes | None) -> np.ndarray | None:
    """Convert colours with an embedded ICC profile to sRGB of the same dtype, (H, W, 3).

    Colours are uint8 or uint16 (H, W, C); C is 1 for grey, 3 for RGB, 4 for CMYK, where 0 is no ink. Returns
    None if no conversion applies: the profile is absent, sRGB, broken, or for another colour space.
    """
    if not profile:
        return None
    if colours.shape[-1] == 1 and profile[16:20] == b"RGB ":  # the colour space of the profile
        colours = np.repeat(colours, 3, axis=-1)
    space = SPACES[colours.shape[-1]]
    try:
        if space == "rgb" and is_srgb(profile):
            return None
        return convert_colours(colours, profile, space)
    except imagecodecs.CmsError:
        return None


def is_srgb(profile: bytes) -> bool:
    """Return True if an RGB profile changes no colour of a grid by more than 2 of 255. Raises CmsError."""
    steps = np.linspace(0, 65535, 9).astype(np.uint16)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(9, 81, 3)
    deviation = convert_colours(cube, profile, "rgb").astype(np.float64) - cube
    return bool(np.abs(deviation).max() <= SRGB_TOLERANCE * 65535)


def convert_colours(colours: np.ndarray, profile: bytes, space: str) -> np.ndarray:
    """Convert (H, W, C) to sRGB (H, W, 3) of the same dtype. Raises CmsError."""
    # the lookup tables of littleCMS are off by several percent in dark greys and in dark 16-bit colours
    exact = space == "gray" or colours.dtype == np.uint16
    flags = imagecodecs.CMS.FLAGS.NOOPTIMIZE if exact else None
    colours = np.ascontiguousarray(colours[..., 0] if space == "gray" else colours)
    return imagecodecs.cms_transform(
        colours, profile, SRGB, colorspace=space, outcolorspace="rgb", flags=flags
    )
