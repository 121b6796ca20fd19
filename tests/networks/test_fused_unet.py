import copy
import gc
import sys
import weakref
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REFERENCE, ROOT, assert_as_close, random_rgb, random_unet, run
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from omf.inference.fusion import Fusion
from omf.io.images import read_rgb
from omf.models.checkpoints import load_networks
from omf.models.registry import find_model
from omf.networks.base import PaddedNetwork
from omf.networks.fused_unet import FusedUNet, fuse_conv_bn
from omf.networks.global_net import refine
from omf.networks.onednn import WinogradConv
from omf.networks.packed_unet import PackedUNet
from omf.networks.unet import UNet
from omf.raw.bayer import WHITE_LEVEL, mosaic, to_challenge_counts
from omf.raw.overexposure import overexposure_mask


@pytest.mark.parametrize("onednn", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("widths", [(3,), (4, 6), (8, 16, 32, 64, 128), (4, 256)])
def test_output_equals_that_of_the_unet(widths, packed, onednn):
    network = random_unet(widths, 0)
    if packed:
        network = PackedUNet(widths, 7).eval()
        network.unet = random_unet(widths, 0, 28, 12)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    x = torch.rand(2, network.in_channels, 4 * network.grid, 6 * network.grid)
    with torch.inference_mode():
        exact = copy.deepcopy(network).double().body(x.double())
        assert_as_close(FusedUNet(network, onednn=onednn)(x), network.body(x), exact)
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


@pytest.mark.parametrize("onednn", [False, True])
def test_trained_weights_are_not_kept_in_memory(onednn):
    network = random_unet((4, 256), 0)
    weights = [weakref.ref(parameter) for parameter in network.parameters()]
    fused = FusedUNet(network, onednn=onednn)
    del network
    gc.collect()
    assert not any(weight() is not None for weight in weights)
    assert fused(torch.rand(1, 4, 8, 8)).isfinite().all()


def test_convolutions_with_many_channels_use_winograd():
    modules = FusedUNet(UNet((64, 128, 256, 512)).eval(), onednn=True).named_modules()
    names = {name for name, module in modules if isinstance(module, WinogradConv)}
    assert names == {"encoders.2.1.0", "encoders.3.0.0", "encoders.3.1.0", "decoders.0.0.0", "decoders.0.1.0"}


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
    for parent in list(nn.ModuleList([fused.encoders, fused.decoders, fused.ups]).modules()):
        for name, module in list(parent.named_children()):
            if isinstance(module, nn.Conv2d):
                setattr(parent, name, EmulatedHalf(module))
    return fused


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_first_and_last_convolution_of_half_precision_stay_in_float32(dtype):
    network = random_unet((4, 6), 0)
    half, full = FusedUNet(network, dtype), FusedUNet(network)
    for name in ("first", "last"):
        weights = [next(getattr(fused, name).parameters()) for fused in (half, full)]
        assert weights[0].dtype == torch.float32
        assert (weights[0] == weights[1]).all()  # and were never rounded


REAL = ROOT.parent / "shared" / "s7"
SATURATED = ("30_26", "48_12", "30_37", "48_17")  # the most overexposed crops


def read_scene(scene: str) -> np.ndarray:
    """Return a picture with large saturated areas."""
    if scene == "drawn":
        rows, columns = np.ogrid[:192, :256]
        bright = 330 - np.abs(rows - 96)[..., None] - np.abs(columns - 128)[..., None] // 2
        return np.maximum(random_rgb(192, 256, seed=3), bright).clip(0, 255).astype(np.uint8)
    if not (REAL / f"{scene}.jpg").is_file():
        pytest.skip("real photos are not here")
    return read_rgb(REAL / f"{scene}.jpg")[:256, :256]


def half_precision_errors(model: str, rgb: np.ndarray, mask: np.ndarray) -> dict[str, tuple[float, int]]:
    """Return the mean difference from exact RAW, before truncation, and the largest in counts, by precision.

    Those of matrix units are emulated; `device` is what this processor makes of bfloat16.
    """
    oe, noe, base, _ = load_networks(find_model(model))
    cpu = torch.device("cpu")
    fusions = {name: Fusion(oe, noe, cpu, "published", base) for name in ("exact", "float16", "bfloat16")}
    fusions["device"] = Fusion(oe, noe, cpu, "bfloat16", base)
    for name in ("float16", "bfloat16"):
        for branch, network in zip(fusions[name].branches, filter(None, (noe, oe))):
            branch.run = partial(refine, emulate_half(network, getattr(torch, name)))
    raw = {name: mosaic(fusion(rgb, mask)) for name, fusion in fusions.items()}
    exact, errors = raw.pop("exact"), {}
    counts = to_challenge_counts(exact).astype(int)
    for name, values in raw.items():
        mean = float(np.abs(values - exact).mean() * WHITE_LEVEL)
        errors[name] = mean, int(np.abs(to_challenge_counts(values) - counts).max())
    return errors


def check_errors(errors: dict[str, tuple[float, int]], mean: float) -> None:
    """Check those in float16, and in bfloat16, which has three bits less: eight times as much."""
    assert errors["float16"][0] <= mean and errors["float16"][1] <= 3
    assert errors["device"][0] <= 8 * mean and errors["device"][1] <= 24
    # bfloat16 alone rounds the weights, which are stored in float16: as much again, 8 sqrt(2) in all; and the
    # errors of flat areas are those of a few pixels
    assert 4 * errors["float16"][0] < errors["bfloat16"][0] < 16 * errors["float16"][0]
    assert errors["device"][0] == pytest.approx(errors["bfloat16"][0], rel=0.05)  # sums in float32 too


@pytest.mark.parametrize("model", ["samsung_s7", "huawei_p20", "generic_phone"])
@pytest.mark.parametrize("scene", ["drawn", *SATURATED])
def test_error_of_half_precision_in_saturated_areas(model, scene):
    """With OE in all pixels: in float16 0.1 counts on average, 3 at most; in bfloat16 eight times that."""
    rgb = read_scene(scene)
    assert overexposure_mask(rgb).mean() > 0.3 or scene != "drawn"
    check_errors(half_precision_errors(model, rgb, np.ones(rgb.shape[:2], bool)), mean=0.1)


@pytest.mark.slow
def test_error_of_half_precision_of_the_reference_checkpoints(published_model):
    """At the published widths, whose answers are all of the networks."""
    rgb = read_rgb(REFERENCE / "input_504.png")[:256, :256]
    check_errors(half_precision_errors(str(published_model), rgb, overexposure_mask(rgb)), mean=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("instructions", ["AVX2", "AVX512_CORE", "AVX512_CORE_BF16", "AVX512_CORE_AMX"])
def test_lesser_processors_and_matrix_units_err_alike(instructions):
    """oneDNN takes the least of these and of what the processor has, and emulates what is missing."""
    test = f"{Path(__file__)}::{test_error_of_half_precision_in_saturated_areas.__name__}[drawn-samsung_s7]"
    result = run(sys.executable, "-m", "pytest", "-q", "-n0", test, ONEDNN_MAX_CPU_ISA=instructions)
    assert result.returncode == 0, result.stdout
    assert "1 passed" in result.stdout
