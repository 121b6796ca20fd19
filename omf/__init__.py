"""Overexposure Mask Fusion: reconstruct sensor RAW from sRGB photos."""

from omf.utils.version import VERSION

__version__ = VERSION
__all__ = ["Reconstructor", "write_dng"]


def __getattr__(name: str):
    if name == "Reconstructor":  # imported late to keep `import omf` fast
        from omf.reconstructor import Reconstructor

        return Reconstructor
    if name == "write_dng":
        from omf.io.export import write_dng

        return write_dng
    raise AttributeError(f"module omf has no attribute {name}")
