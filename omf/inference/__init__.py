"""From photo to demosaiced RAW: fusion of the networks, tiling, devices, classical methods."""
