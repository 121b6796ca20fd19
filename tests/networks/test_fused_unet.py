import copy
import gc
import weakref

import pytest
import torch
from conftest import assert_as_close, random_unet
from torch.utils.flop_counter import FlopCounterMode

from omf.networks.fused_unet import FusedUNet, SubPixelUpConv
from omf.networks.unet import UNet
from omf.networks.winograd import WinogradConv


@pytest.mark.parametrize("winograd", [False, True])
@pytest.mark.parametrize("widths", [(3,), (4, 6), (8, 16, 32, 64, 128), (4, 256)])
def test_the_same_function(widths, winograd):
    network = random_unet(widths, 0)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    x = torch.rand(2, 4, 4 * network.grid, 6 * network.grid)
    with torch.inference_mode():
        assert_as_close(
            FusedUNet(network, winograd=winograd)(x),
            network.body(x),
            copy.deepcopy(network).double().body(x.double()),
        )
    assert all((value == before[key]).all() for key, value in network.state_dict().items())


def test_phases_do_what_the_up_convolution_does():
    up = random_unet((5, 7), 0).Up2
    x, skip = torch.rand(2, 7, 6, 9), torch.rand(2, 5, 12, 18)
    with torch.inference_mode():
        merged = SubPixelUpConv(up)(x, skip)
        assert (merged[:, :5] == skip).all()
        assert_as_close(merged[:, 5:], up(x), copy.deepcopy(up).double()(x.double()))


def test_operations_at_the_published_widths():
    giga = []
    with torch.device("meta"):
        network = UNet().eval()
        x = torch.rand(1, 4, 512, 512)
        for run in (network.body, FusedUNet(network)):
            with torch.inference_mode(), FlopCounterMode(display=False) as counter:
                run(x)
            giga.append(counter.get_total_flops() / 1e9)
    assert giga[0] == pytest.approx(523, abs=1)
    assert giga[1] == pytest.approx(
        437, abs=7
    )  # the four small convolutions run over one more row and column


@pytest.mark.parametrize("winograd", [False, True])
def test_the_trained_weights_are_not_held(winograd):
    network = random_unet((4, 256), 0)
    weights = [weakref.ref(parameter) for parameter in network.parameters()]
    folded = FusedUNet(network, winograd=winograd)
    del network
    gc.collect()
    assert not any(weight() is not None for weight in weights)
    assert folded(torch.rand(1, 4, 8, 8)).isfinite().all()


def test_convolutions_of_many_channels_are_winograds():
    found = {
        name
        for name, module in FusedUNet(UNet((64, 128, 256, 512)).eval(), winograd=True).named_modules()
        if isinstance(module, WinogradConv)
    }
    assert found == {"encoders.2.2", "encoders.3.0", "encoders.3.2", "decoders.0.0", "decoders.0.2"}
