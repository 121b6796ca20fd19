"""Overexposure Mask Fusion: sRGB photos in, sensor RAW out."""

__version__ = "0.1.0"
