import pytest
import torch
from torch import nn

from omf.networks.build import NETWORKS, build, name_of
from omf.utils.errors import InputError


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
