"""Training: pairs, patches, losses, stages, calibration of cameras."""
