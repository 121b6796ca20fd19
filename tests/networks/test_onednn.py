from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import assert_as_close, random_rgb, random_unet
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from omf.inference.fusion import Fusion
from omf.networks.onednn import WinogradConv, has_operators


def example(batch, channels, outputs, height, width, seed=0):
    torch.manual_seed(seed)
    x = torch.rand(batch, channels, height, width)
    weight = torch.randn(outputs, channels, 3, 3) / (3 * channels) ** 0.5
    return x, weight, torch.randn(outputs)


@settings(max_examples=40)
@given(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9), st.integers(1, 70), st.integers(1, 70))
@torch.inference_mode()
def test_output_equals_direct_convolution(batch, channels, outputs, height, width):
    x, weight, bias = example(batch, channels, outputs, height, width)
    output = WinogradConv(weight, bias)(x.contiguous(memory_format=torch.channels_last))
    direct = functional.conv2d(x, weight, bias, padding=1)
    exact = functional.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    assert_as_close(output, direct, exact)


@pytest.mark.parametrize("size", [(32, 32), (33, 50)])
@torch.inference_mode()
def test_error_is_similar_to_that_of_direct_convolution(size):
    x, weight, bias = example(1, 512, 256, *size)
    exact = functional.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    outputs = WinogradConv(weight, bias)(x), functional.conv2d(x, weight, bias, padding=1)
    winograd_error, direct_error = (float((output - exact).abs().mean()) for output in outputs)
    assert winograd_error < 2 * direct_error


@pytest.fixture
def afresh():
    has_operators.cache_clear()
    yield
    has_operators.cache_clear()


def changed(*_):
    raise RuntimeError("mkldnn::_linear_pointwise() expected at most 5 argument(s)")


@pytest.mark.parametrize(
    "operators",
    [
        SimpleNamespace(),
        SimpleNamespace(_reorder_linear_weight=lambda kernel, _: kernel, _linear_pointwise=changed),
    ],
    ids=["missing", "changed"],
)
def test_without_the_operators_plain_convolutions_do_the_work(operators, monkeypatch, caplog, afresh):
    networks = random_unet((4, 256), 0), random_unet((4, 256), 1)
    rgb, mask = random_rgb(20, 30), np.zeros((20, 30), bool)
    expected = Fusion(*networks, torch.device("cpu"))(rgb, mask)
    has_operators.cache_clear()
    monkeypatch.setattr(torch.ops, "mkldnn", operators)
    plain = [Fusion(*networks, torch.device("cpu"))(rgb, mask) for _ in range(2)]
    np.testing.assert_allclose(plain, [expected] * 2, atol=1e-5)
    (record,) = caplog.records  # once
    assert record.getMessage().startswith("networks on the CPU are slower: PyTorch")
