"""Camera and RAW: mosaic, overexposure mask, ISP, camera profiles, simulated scenes."""
