import numpy as np
import pytest
import torch
from conftest import farthest_reach, random_rgb, random_unet

from omf.inference.fusion import Fusion
from omf.networks.packed_unet import PackedUNet
from omf.raw.overexposure import overexposure_mask


def random_packed(widths: tuple[int, ...], seed: int) -> PackedUNet:
    network = PackedUNet(widths).eval()
    network.unet = random_unet(widths, seed, 16, 12)
    return network


@pytest.mark.parametrize("widths", [(2,), (2, 2), (2, 2, 2)])
def test_receptive_radius_bounds_the_reach_of_gradients(widths):
    network = random_packed(widths, 0).double()
    for module in network.modules():  # with positive weights nothing cancels or is rectified
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data.abs_()
    grid, receptive_radius = network.grid, network.receptive_radius
    farthest = farthest_reach(network)
    assert receptive_radius - grid < farthest <= receptive_radius


def test_the_cells_are_the_pixels_of_the_unet():
    network = random_packed((3, 5), 0)
    x = torch.rand(1, 4, 16, 24)
    phases = [(slice(row, None, 2), slice(column, None, 2)) for row in range(2) for column in range(2)]
    with torch.inference_mode():
        planes = [x[:, channel][(..., *phase)] for channel in range(4) for phase in phases]
        cells = network.unet.body(torch.stack(planes, 1))
        y = network.body(x)
    for number, phase in enumerate(phases):
        assert (y[(..., *phase)] == cells[:, number::4]).all()


@pytest.mark.parametrize("precision", ["float32", "published"])
def test_fusion_in_tiles_equals_the_whole_photo(precision):
    oe, noe = random_packed((4, 6), 1), random_packed((4, 6), 2)
    rgb = random_rgb(150, 131)
    mask = overexposure_mask(rgb)
    fusion = Fusion(oe, noe, torch.device("cpu"), precision)
    fusion.memory = 0  # smallest tiles
    x = np.concatenate((rgb / np.float32(255), mask[..., None]), axis=-1, dtype=np.float32)
    with torch.inference_mode():
        predicted = [
            network(torch.from_numpy(x).permute(2, 0, 1)[None])[0].clamp(0, 1).permute(1, 2, 0).numpy()
            for network in (oe, noe)
        ]
    np.testing.assert_allclose(fusion(rgb, mask), np.where(mask[..., None], *predicted), atol=2e-5)
