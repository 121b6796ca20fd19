import pytest
import torch
from conftest import random_rgb
from torch.utils.flop_counter import FlopCounterMode

from omf.inference.fusion import Fusion
from omf.networks.nafnet import LocalNAFNet
from omf.networks.unet import UNet
from omf.raw.overexposure import overexposure_mask


def random_nafnet(widths: tuple[int, ...], seed: int) -> LocalNAFNet:
    """Create a network whose blocks have an effect: in a new one, beta and gamma are 0."""
    torch.manual_seed(seed)
    network = LocalNAFNet(widths).eval()
    for name, parameter in network.named_parameters():
        if name.endswith(("beta", "gamma")):
            torch.nn.init.normal_(parameter, std=0.5)
    return network


@pytest.mark.parametrize("widths", [(4,), (4, 4), (4, 4, 4), (2, 2, 2, 2, 2)])
def test_receptive_radius_equals_the_reach_of_gradients(widths):
    network = random_nafnet(widths, 0).double()
    grid, receptive_radius = network.grid, network.receptive_radius
    size = 2 * grid * (receptive_radius // grid + 2)
    farthest = 0
    for offset in range(grid):
        x = torch.rand(1, 4, size, size, dtype=torch.double, requires_grad=True)
        centre = size // 2 + offset
        network.body(x)[0, :, centre, centre].sum().backward()
        affecting = x.grad[0].abs().sum(0).nonzero()
        farthest = max(farthest, (affecting - centre).abs().max().item())
    assert farthest == receptive_radius


def test_cost_does_not_exceed_that_of_the_unet():
    widths = (16, 32, 64, 128, 256)
    flops = []
    with torch.device("meta"), torch.no_grad():
        for network in (LocalNAFNet(widths), UNet(widths)):
            with FlopCounterMode(display=False) as counter:
                network(torch.rand(1, 4, 56, 56))
            flops.append(counter.get_total_flops())
    assert 0 < flops[0] <= flops[1]


def test_tiled_output_equals_that_of_the_full_image():
    fuse = Fusion(random_nafnet((4, 6, 8), 0), random_nafnet((4, 6, 8), 1), torch.device("cpu"))
    rgb = random_rgb(140, 101)
    mask = overexposure_mask(rgb)
    full = fuse(rgb, mask)
    fuse.memory = 0
    assert abs(fuse(rgb, mask) - full).max() < 1e-5
    assert full.std() > 0.01
