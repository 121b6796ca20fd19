"""Overexposure Mask Fusion: sRGB photos in, sensor RAW out."""

from omf.utils.version import VERSION

__version__ = VERSION
__all__ = ["Reconstructor"]


def __getattr__(name: str):
    if name == "Reconstructor":  # only when asked for, so that `import omf` stays quick
        from omf.reconstructor import Reconstructor

        return Reconstructor
    raise AttributeError(f"module omf has no attribute {name}")
