import numpy as np
import pytest

from omf.calibration.noise import fit_noise


@pytest.mark.parametrize(("shot", "read"), [(1.3e-4, 5e-7), (2e-3, 1e-5)])
def test_the_noise_of_planes_without_a_photo(shot, read):
    """Dark mosaics, as the P20's: green where red and blue are even."""
    scene = np.linspace(0, 0.1, 224) * np.ones((224, 1))
    found = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        seen = [scene + rng.normal(size=scene.shape) * np.sqrt(shot * scene + read) for _ in range(4)]
        found.append(fit_noise(np.stack(seen[:2], -1).astype(np.float32), seen[2] + seen[3]))
    assert np.median(found, axis=0) == pytest.approx([shot, read], rel=0.25)
    assert np.median(found, axis=0)[0] == pytest.approx(shot, rel=0.15)
