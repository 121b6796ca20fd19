import pytest
import torch
from conftest import farthest_reach, random_unet
from reference_checkpoint import published_layout

from omf.networks.unet import UNet


@pytest.mark.parametrize("widths", [(64, 128, 256, 512, 1024), (16, 32, 64, 128, 256)])
def test_parameters_match_the_published_names_shapes_and_order(widths):
    state = UNet(widths).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == published_layout(widths)
    assert list(state) == list(published_layout(widths))


@pytest.mark.parametrize("widths", [(2,), (2, 2), (2, 2, 2), (2, 2, 2, 2, 2)])
def test_receptive_radius_bounds_the_reach_of_gradients(widths):
    network = random_unet(widths, 0).double()
    for module in network.modules():  # with positive weights nothing cancels or is rectified
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data.abs_()
    grid, receptive_radius = network.grid, network.receptive_radius
    farthest = farthest_reach(network)
    assert farthest <= receptive_radius
    # max pooling hides a few paths, so the observed radius may be smaller, but by less than a cell
    assert farthest > receptive_radius - grid
    assert len(widths) < 5 or receptive_radius == 122  # the published depth
