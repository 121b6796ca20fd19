import numpy as np
import pytest

from omf.calibration.pair_fit import fit_noise


@pytest.mark.parametrize(("shot", "read"), [(1.3e-4, 5e-7), (2e-3, 1e-5)])
def test_the_noise_of_planes_without_a_photo(shot, read):
    """As on the mosaics of a camera: an even slope with an edge, green beside red and blue."""
    rng = np.random.default_rng(0)
    scene = np.linspace(0.01, 0.6, 400)[None, :] * np.ones((300, 1))
    scene[:, 200:] *= 0.5
    seen = [scene + rng.normal(size=scene.shape) * np.sqrt(shot * scene + read) for _ in range(4)]
    found = fit_noise(np.stack(seen[:2], -1).astype(np.float32), seen[2] + seen[3])
    assert found[0] == pytest.approx(shot, rel=0.05)
    assert found[1] == pytest.approx(read, rel=0.3)
