import pytest
import torch
from torch import nn

from omf.networks.build import NETWORKS, build, name_of
from omf.utils.errors import InputError


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_built_by_name(name):
    network = build(name, (3, 4))
    assert type(network) is NETWORKS[name]
    assert (network.widths, network.in_channels, network.out_channels) == ((3, 4), 4, 3)
    assert name_of(network) == name


def test_unknown_name_raises_input_error():
    with pytest.raises(InputError, match=r"network resnet: .*known networks: unet, nafnet"):
        build("resnet", (3, 4))


@pytest.mark.parametrize("widths", [(), (0,), (4, -1), (4,) * 17])
def test_invalid_widths_raise_input_error(widths):
    with pytest.raises(InputError, match="give the channels of each level"):
        build("nafnet", widths)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_layer_keeps_its_precision_under_autocast(name):
    network = build(name, (3, 4))
    last = list(network.modules())[-1] if name == "unet" else network.ending
    assert isinstance(last, nn.Conv2d) and last.out_channels == 3
    dtypes = []
    last.register_forward_hook(lambda layer, inputs, output: dtypes.extend((inputs[0].dtype, output.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.rand(1, 4, 16, 16)).dtype == torch.float32
    assert dtypes == [torch.float32, torch.float32]
