import pytest
import torch
from conftest import random_unet
from reference_checkpoint import published_layout

from omf.networks.unet import UNet


@pytest.mark.parametrize("widths", [(64, 128, 256, 512, 1024), (16, 32, 64, 128, 256)])
def test_parameters_match_the_published_names_shapes_and_order(widths):
    state = UNet(widths).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == published_layout(widths)
    assert list(state) == list(published_layout(widths))


@pytest.mark.parametrize("widths", [(3,), (3, 5), (2, 7, 4), (2, 3, 5, 4, 3)])
@pytest.mark.parametrize("size", [(2, 2), (17, 30), (33, 8)])
def test_any_widths_and_sizes(widths, size):
    assert random_unet(widths, 0)(torch.rand(2, 4, *size)).shape == (2, 3, *size)


def test_504_is_padded_by_4_with_the_constant_1():
    padded = UNet((2, 2, 2, 2, 2)).pad(torch.zeros(1, 4, 504, 504))
    assert padded.shape == (1, 4, 512, 512)
    inside = torch.zeros(512, 512, dtype=torch.bool)
    inside[4:508, 4:508] = True
    assert (padded[0] == (~inside).float()).all()


@pytest.mark.parametrize(("size", "padded"), [(2, 16), (8, 16), (9, 32), (503, 512), (505, 528)])
def test_other_sizes_are_padded_by_at_least_4_to_a_multiple_of_16(size, padded):
    assert UNet((2, 2, 2, 2, 2)).pad(torch.zeros(1, 4, size, size)).shape[-1] == padded


@pytest.mark.parametrize("widths", [(2,), (2, 2), (2, 2, 2), (2, 2, 2, 2, 2)])
def test_receptive_radius_bounds_the_reach_of_gradients(widths):
    network = random_unet(widths, 0).double()
    for module in network.modules():  # with positive weights nothing cancels or is rectified
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data.abs_()
    grid, receptive_radius = network.grid, network.receptive_radius
    size = 2 * grid * (receptive_radius // grid + 2)
    farthest = 0
    for offset in range(grid):
        x = torch.rand(1, 4, size, size, dtype=torch.double, requires_grad=True)
        centre = size // 2 + offset
        network.body(x)[0, :, centre, centre].sum().backward()
        affecting = x.grad[0].abs().sum(0)[centre].nonzero()
        farthest = max(farthest, centre - affecting.min().item(), affecting.max().item() - centre)
    assert farthest <= receptive_radius
    # max pooling hides a few paths, so the observed radius may be smaller, but by less than a cell
    assert farthest > receptive_radius - grid


def test_receptive_radius_of_the_published_depth():
    assert UNet((2, 2, 2, 2, 2)).receptive_radius == 122
