import copy
import gc
import weakref
from functools import partial

import numpy as np
import pytest
import torch
from conftest import ROOT, assert_as_close, random_rgb, random_unet
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from omf.inference.fusion import Fusion
from omf.io.images import read_rgb
from omf.models.checkpoints import load_networks
from omf.models.registry import find_model
from omf.networks.base import PaddedNetwork
from omf.networks.fused_unet import FusedUNet, SubPixelUpConv, fuse_conv_bn
from omf.networks.global_net import refine
from omf.networks.unet import UNet
from omf.networks.winograd import WinogradConv
from omf.raw.bayer import mosaic, to_challenge_counts
from omf.raw.overexposure import overexposure_mask


@pytest.mark.parametrize("winograd", [False, True])
@pytest.mark.parametrize("widths", [(3,), (4, 6), (8, 16, 32, 64, 128), (4, 256)])
def test_output_equals_that_of_the_unet(widths, winograd):
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


def test_fused_convolution_matches_the_formula_of_batch_norm():
    conv, norm, *_ = random_unet((64, 128), 0).Conv2.conv
    weight, bias = conv.weight.double(), conv.bias.double()
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.double() - norm.running_mean.double() * scale
    fused = fuse_conv_bn(conv, norm)
    assert fused.weight.dtype == fused.bias.dtype == torch.float64
    torch.testing.assert_close(fused.weight, weight * scale[:, None, None, None], rtol=1e-14, atol=0)
    torch.testing.assert_close(fused.bias, bias * scale + shift, rtol=0, atol=1e-14)
    assert conv.weight.dtype == norm.weight.dtype == torch.float32  # the originals are not modified


def test_sub_pixel_convolution_equals_the_up_convolution():
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
    # the four small convolutions run over one more row and column
    assert giga[1] == pytest.approx(437, abs=7)


@pytest.mark.parametrize("winograd", [False, True])
def test_trained_weights_are_not_kept_in_memory(winograd):
    network = random_unet((4, 256), 0)
    weights = [weakref.ref(parameter) for parameter in network.parameters()]
    fused = FusedUNet(network, winograd=winograd)
    del network
    gc.collect()
    assert not any(weight() is not None for weight in weights)
    assert fused(torch.rand(1, 4, 8, 8)).isfinite().all()


def test_convolutions_with_many_channels_use_winograd():
    names = {
        name
        for name, module in FusedUNet(UNet((64, 128, 256, 512)).eval(), winograd=True).named_modules()
        if isinstance(module, WinogradConv)
    }
    assert names == {"encoders.2.2", "encoders.3.0", "encoders.3.2", "decoders.0.0", "decoders.0.2"}


class EmulatedHalf(nn.Module):
    """A convolution in half precision as matrix units compute it: sums in float32, results rounded."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        self.dtype, self.conv = conv.weight.dtype, copy.deepcopy(conv).float()
        assert self.dtype.itemsize == 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.dtype == self.dtype
        return self.conv(x.float()).to(self.dtype)


def emulate_half(network: PaddedNetwork, dtype: torch.dtype) -> FusedUNet:
    """Return the fused network in half precision, emulated."""
    fused = FusedUNet(network, dtype)
    for parent in [*fused.encoders, *fused.decoders, *fused.ups]:
        for name, module in list(parent.named_children()):
            if isinstance(module, nn.Conv2d):
                setattr(parent, name, EmulatedHalf(module))
    return fused


def test_first_and_last_convolution_of_half_precision_stay_in_float32():
    network = random_unet((4, 6), 0)
    half, full = FusedUNet(network, torch.float16), FusedUNet(network)
    for name in ("first", "last"):
        layer = getattr(half, name)
        assert layer.weight.dtype == torch.float32
        assert (layer.weight == getattr(full, name).weight).all()  # and were never rounded


REAL = ROOT.parent / "shared" / "s7"
SATURATED = ("30_26", "48_12", "30_37", "48_17")  # the most overexposed crops


def drawn_picture() -> np.ndarray:
    """Draw a picture that is saturated in its middle."""
    rows, columns = np.ogrid[:192, :256]
    bright = 330 - np.abs(rows - 96)[..., None] - np.abs(columns - 128)[..., None] // 2
    return np.maximum(random_rgb(192, 256, seed=3), bright).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("scene", ["drawn", *SATURATED])
def test_error_of_half_precision_in_saturated_areas(scene):
    """With the weights of the default model and the base RAW: 0.1 counts on average, 3 at most."""
    if scene == "drawn":
        rgb = drawn_picture()
        assert overexposure_mask(rgb).mean() > 0.3
    elif not (REAL / f"{scene}.jpg").is_file():
        pytest.skip("real photos are not here")
    else:
        rgb = read_rgb(REAL / f"{scene}.jpg")[:256, :256]
    mask = np.ones(rgb.shape[:2], bool)  # OE everywhere
    oe, _, base, _ = load_networks(find_model("samsung_s7"))
    expected, half = (Fusion(oe, None, torch.device("cpu"), "published", base) for _ in range(2))
    half.branches[0].run = partial(refine, emulate_half(oe))
    counts = [to_challenge_counts(mosaic(fuse(rgb, mask))).astype(int) for fuse in (expected, half)]
    difference = np.abs(counts[1] - counts[0])
    assert difference.mean() <= 0.1
    assert difference.max() <= 3
