import pytest
import torch
from conftest import assert_as_close
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from omf.networks.winograd import WinogradConv


def example(batch, channels, outputs, height, width, seed=0):
    torch.manual_seed(seed)
    x, weight = (
        torch.rand(batch, channels, height, width),
        torch.randn(outputs, channels, 3, 3) / (3 * channels) ** 0.5,
    )
    return x, weight, torch.randn(outputs)


@given(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9), st.integers(1, 70), st.integers(1, 70))
@torch.inference_mode()
def test_it_is_a_convolution(batch, channels, outputs, height, width):
    x, weight, bias = example(batch, channels, outputs, height, width)
    answer = WinogradConv(weight, bias)(x.contiguous(memory_format=torch.channels_last))
    plain = functional.conv2d(x, weight, bias, padding=1)
    assert_as_close(answer, plain, functional.conv2d(x.double(), weight.double(), bias.double(), padding=1))


@pytest.mark.parametrize("size", [(32, 32), (33, 50)])
@torch.inference_mode()
def test_its_error_is_much_as_that_of_direct_convolution(size):
    x, weight, bias = example(1, 512, 256, *size)
    exact = functional.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    ways = WinogradConv(weight, bias), lambda x: functional.conv2d(x, weight, bias, padding=1)
    by_winograd, directly = (float((way(x) - exact).abs().mean()) for way in ways)
    assert by_winograd < 2 * directly
