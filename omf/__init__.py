"""Overexposure Mask Fusion: reconstruct sensor RAW from sRGB photos."""

from omf.utils.version import VERSION

__version__ = VERSION
__all__ = ["Reconstructor"]


def __getattr__(name: str):
    if name == "Reconstructor":  # imported late to keep `import omf` fast
        from omf.reconstructor import Reconstructor

        return Reconstructor
    raise AttributeError(f"module omf has no attribute {name}")
