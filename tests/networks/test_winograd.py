import pytest
import torch
from conftest import assert_as_close
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from omf.networks.winograd import WinogradConv


def example(batch, channels, outputs, height, width, seed=0):
    torch.manual_seed(seed)
    x = torch.rand(batch, channels, height, width)
    weight = torch.randn(outputs, channels, 3, 3) / (3 * channels) ** 0.5
    return x, weight, torch.randn(outputs)


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
