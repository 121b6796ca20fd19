"""All networks: any size, padding, receptive field, tiles, precision; the layouts of the U-Nets."""

import numpy as np
import pytest
import torch
from conftest import random_rgb, random_unet
from reference_checkpoint import published_layout
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from omf.inference.fusion import Fusion
from omf.networks.base import PaddedNetwork, network_input
from omf.networks.build import NETWORKS, build, name_of
from omf.networks.nafnet import LocalNAFNet
from omf.networks.unet import UNet
from omf.raw.overexposure import overexposure_mask
from omf.utils.errors import InputError


def random_network(name: str, widths: tuple[int, ...], seed: int) -> PaddedNetwork:
    """Return a network all of whose layers have an effect."""
    if name == "unet":
        return random_unet(widths, seed)
    torch.manual_seed(seed)
    network = build(name, widths).eval()
    if name == "packed_unet":
        network.unet = random_unet(widths, seed, 16, 12)
    for key, parameter in network.named_parameters():
        if key.endswith(("beta", "gamma")):  # 0 in a new LocalNAFNet
            nn.init.normal_(parameter, std=0.5)
    return network


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("widths", [(3,), (3, 5), (2, 7, 4), (2, 3, 5, 4, 3)])
def test_networks_are_built_by_name_and_take_any_size(name, widths):
    network = build(name, widths).eval()
    assert type(network) is NETWORKS[name]
    assert (network.widths, network.in_channels, network.out_channels) == (widths, 4, 3)
    assert name_of(network) == name
    for size in ((2, 2), (17, 30), (33, 8)):
        assert network(torch.rand(2, 4, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize(
    ("name", "widths", "line"),
    [
        ("resnet", (3, 4), r"network resnet: .*known networks: unet, packed_unet, nafnet"),
        *(("nafnet", widths, "give the channels of each level") for widths in ((), (0,), (4, -1), (4,) * 17)),
    ],
)
def test_networks_that_cannot_be_built(name, widths, line):
    with pytest.raises(InputError, match=line):
        build(name, widths)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("size", "padded"), [(2, 16), (8, 16), (9, 32), (503, 512), (504, 512), (505, 528)])
def test_photos_are_padded_by_at_least_4_with_the_constant_1(name, size, padded):
    levels = 4 if name == "packed_unet" else 5  # a grid of 16 pixels
    x = build(name, (2,) * levels).pad(torch.zeros(1, 4, size, size))
    inside = torch.zeros(padded, padded, dtype=torch.bool)
    inside[4 : 4 + size, 4 : 4 + size] = True
    assert (x == (~inside).float().expand(1, 4, -1, -1)).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_layer_keeps_its_precision_under_autocast(name):
    network = build(name, (3, 4))
    last = network.ending if name == "nafnet" else list(network.modules())[-1]
    assert isinstance(last, nn.Conv2d) and last.out_channels == (12 if name == "packed_unet" else 3)
    dtypes = []
    last.register_forward_hook(lambda layer, inputs, output: dtypes.extend((inputs[0].dtype, output.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.rand(1, 4, 16, 16)).dtype == torch.float32
    assert dtypes == [torch.float32, torch.float32]


LEVELS = [*((name, levels) for name in NETWORKS for levels in (1, 2, 3)), ("unet", 5), ("nafnet", 5)]


@pytest.mark.parametrize(("name", "levels"), LEVELS)
def test_the_receptive_radius_is_the_reach_of_gradients(name, levels):
    width = 4 if name == "nafnet" and levels < 5 else 2
    network = random_network(name, (width,) * levels, 0).double()
    if name != "nafnet":
        for module in network.modules():  # with positive weights nothing cancels or is rectified
            if isinstance(module, nn.Conv2d):
                module.weight.data.abs_()
    grid, radius, farthest = network.grid, network.receptive_radius, 0
    size = 2 * grid * (radius // grid + 2)
    for offset in range(grid):
        x = torch.rand(1, 4, size, size, dtype=torch.double, requires_grad=True)
        centre = size // 2 + offset
        network.body(x)[0, :, centre, centre].sum().backward()
        affecting = x.grad[0].abs().sum(0).nonzero()
        farthest = max(farthest, (affecting - centre).abs().max().item())
    # max pooling hides a few paths, so the observed radius may be smaller, but by less than a cell
    assert farthest == radius if name == "nafnet" else radius - grid < farthest <= radius
    assert radius == 122 or (name, levels) != ("unet", 5)  # the published depth


@pytest.mark.parametrize("precision", ["float32", "published"])
@pytest.mark.parametrize(("name", "widths"), [("packed_unet", (4, 6)), ("nafnet", (4, 6, 8))])
def test_fusion_in_tiles_equals_the_networks_on_the_whole_photo(name, widths, precision):
    """tests/inference/test_fusion.py tests U-Nets."""
    oe, noe = (random_network(name, widths, seed) for seed in (1, 2))
    rgb = random_rgb(150, 131)
    mask = overexposure_mask(rgb)
    fusion = Fusion(oe, noe, torch.device("cpu"), precision)
    fusion.memory = 0  # smallest tiles
    x = network_input(rgb, mask)
    with torch.inference_mode():
        predicted = [network(x)[0].clamp(0, 1).permute(1, 2, 0).numpy() for network in (oe, noe)]
    expected = np.where(mask[..., None], *predicted)
    np.testing.assert_allclose(fusion(rgb, mask), expected, atol=1e-5)
    assert expected.std() > 0.01


@pytest.mark.parametrize("widths", [(64, 128, 256, 512, 1024), (16, 32, 64, 128, 256)])
def test_parameters_of_the_unet_match_the_published_names_shapes_and_order(widths):
    state = UNet(widths).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == published_layout(widths)
    assert list(state) == list(published_layout(widths))


def test_the_cells_of_a_packed_unet_are_the_pixels_of_its_unet():
    network = random_network("packed_unet", (3, 5), 0)
    x = torch.rand(1, 4, 16, 24)
    phases = [(slice(row, None, 2), slice(column, None, 2)) for row in range(2) for column in range(2)]
    with torch.inference_mode():
        planes = [x[:, channel][(..., *phase)] for channel in range(4) for phase in phases]
        cells = network.unet.body(torch.stack(planes, 1))
        y = network.body(x)
    for number, phase in enumerate(phases):
        assert (y[(..., *phase)] == cells[:, number::4]).all()


def test_the_cost_of_a_nafnet_does_not_exceed_that_of_the_unet():
    widths, flops = (16, 32, 64, 128, 256), []
    with torch.device("meta"), torch.no_grad():
        for network in (LocalNAFNet(widths), UNet(widths)):
            with FlopCounterMode(display=False) as counter:
                network(torch.rand(1, 4, 56, 56))
            flops.append(counter.get_total_flops())
    assert 0 < flops[0] <= flops[1]
