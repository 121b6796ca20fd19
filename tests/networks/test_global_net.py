import numpy as np
import pytest
import torch
from conftest import random_base, random_rgb
from hypothesis import given
from hypothesis import strategies as st

from omf.networks.global_net import (
    QUANTILES,
    SEGMENTS,
    THUMBNAIL_SIZE,
    TYPICAL_MATRIX,
    GlobalNet,
    GlobalTransform,
    summarise_photo,
)
from omf.raw.isp import decode_srgb


def summaries(count: int = 2) -> list[torch.Tensor]:
    """Return the summaries of random photos, as batches."""
    images = [random_rgb(90, 120, seed) for seed in range(count)]
    parts = zip(*(summarise_photo(torch.from_numpy(rgb)) for rgb in images))
    return [torch.stack(part).float() for part in parts]


def test_the_initial_transform_is_the_srgb_curve_and_a_typical_camera():
    net = GlobalNet()
    torch.nn.init.zeros_(net.head[-1].weight)
    transform = net(*summaries())
    srgb = torch.linspace(0, 1, SEGMENTS + 1)  # at the knots, where the curve is exact
    raw = transform.apply(srgb.view(1, 1, 1, -1).expand(2, 3, 1, -1)).detach()
    expected = torch.tensor(TYPICAL_MATRIX).sum(1)[:, None] * torch.from_numpy(decode_srgb(srgb.numpy()))
    torch.testing.assert_close(raw[0, :, 0], expected.float(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("seed", range(10))
def test_each_image_has_its_own_transform_with_a_rising_curve(seed):
    net, both = random_base(seed), summaries()
    together = net(*both)
    for index in range(2):
        alone = net(*(part[index : index + 1] for part in both))
        for part, own in zip(together, alone):
            torch.testing.assert_close(part[index], own[0])
    assert not torch.allclose(together.curve[0], together.curve[1])
    assert (together.curve[:, 0] == 0).all()
    assert (torch.diff(together.curve) > 0).all()


MEAN_ISP = torch.linspace(0, 1, SEGMENTS + 1) ** 2, torch.tensor(TYPICAL_MATRIX)


@pytest.mark.parametrize("predicted", [-1.0, -0.5, 0.0])
def test_answers_have_the_exposure_of_the_mean_isp_whatever_the_network_predicts(predicted):
    net, both = random_base(0), summaries()
    with torch.no_grad():
        net.head[-1].bias[SEGMENTS] += predicted  # of the logarithm of the curve's scale
        net.head[-1].bias[-3:] = 0
        net.head[-1].weight[-3:] = 0
    free = net(*both)
    net.hold_exposure(*MEAN_ISP)
    held, rgb = net(*both), both[0][:, :3]
    assert (held.curve == free.curve).all()
    factors = held.matrix / free.matrix
    torch.testing.assert_close(factors, factors[:, :1, :1].expand(-1, 3, 3))
    raw = held.apply(rgb)
    mean = GlobalTransform(*(part.expand(2, *part.shape) for part in (*MEAN_ISP, torch.zeros(3)))).apply(rgb)
    assert raw.min() >= 0 and free.apply(rgb).max() <= 1  # nothing is clipped, so that the factor is exact
    nearest = (raw * mean).sum((1, 2, 3)) / raw.square().sum((1, 2, 3))
    torch.testing.assert_close(nearest, torch.ones(2), atol=1e-5, rtol=0)
    net.hold_exposure(None, None)
    assert all((part == other).all() for part, other in zip(net(*both), free))


@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white_photos_have_a_finite_exposure(value):
    net = random_base(0)
    net.hold_exposure(*MEAN_ISP)
    photo = torch.full((70, 80, 3), value, dtype=torch.uint8)
    transform = net(*(part[None] for part in summarise_photo(photo)))
    assert all(torch.isfinite(part).all() for part in transform)
    assert transform.matrix.abs().sum() > 0


def test_a_transform_is_that_of_each_pixel():
    rng = np.random.default_rng(0)
    curve = torch.from_numpy(np.cumsum([0, *rng.uniform(0.1, 1, SEGMENTS)]) / SEGMENTS)[None]
    matrix, offset = torch.from_numpy(rng.normal(size=(1, 3, 3))), torch.from_numpy(rng.normal(size=(1, 3)))
    rgb = torch.from_numpy(rng.uniform(0, 1, (1, 3, 5, 7)))
    raw = GlobalTransform(curve, matrix, offset).apply(rgb)
    knots = np.linspace(0, 1, SEGMENTS + 1)
    linear = np.interp(rgb[0].numpy(), knots, curve[0].numpy())
    expected = np.einsum("ij,jhw->ihw", matrix[0].numpy(), linear) + offset[0].numpy()[:, None, None]
    np.testing.assert_allclose(raw[0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(64, 64), (128, 192), (75, 301), (20, 30)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_thumbnails_are_area_averages(shape, dtype):
    rgb = random_rgb(*shape)
    rgb = rgb if dtype == np.uint8 else rgb.astype(np.uint16) * 257
    thumbnail, _ = summarise_photo(torch.from_numpy(rgb))
    assert thumbnail.shape == (4, THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    values = rgb / np.iinfo(dtype).max
    if shape[0] % 64 == shape[1] % 64 == 0:
        np.testing.assert_allclose(thumbnail[:3].mean((1, 2)), values.mean((0, 1)), atol=1e-5)
    assert thumbnail[:3].min() >= values.min() - 1e-6 and thumbnail[:3].max() <= values.max() + 1e-6
    luma = np.tensordot([0.299, 0.587, 0.114], thumbnail[:3].numpy(), 1)
    clear = np.abs(luma - 0.978) > 1e-4
    assert ((luma >= 0.978) == (thumbnail[3].numpy() == 1))[clear].all()


@given(st.integers(0, 1000), st.sampled_from([np.uint8, np.uint16]))
def test_quantiles_are_values_of_the_photo_below_which_their_share_lies(seed, dtype):
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, np.iinfo(dtype).max, (*rng.integers(2, 40, 2), 3), dtype, endpoint=True)
    _, quantiles = summarise_photo(torch.from_numpy(rgb))
    expected = np.quantile(rgb.reshape(-1, 3), QUANTILES, axis=0, method="inverted_cdf").T
    np.testing.assert_allclose(quantiles.numpy(), expected / np.iinfo(dtype).max, atol=1e-6)


def test_scaling_a_transform_scales_its_raw():
    transform = random_base(0)(*summaries())
    factors = torch.tensor([[0.5, 1, 2], [1, 1.5, 1]])
    rgb = torch.rand(2, 3, 5, 6)
    expected = transform.apply(rgb) * factors[:, :, None, None]
    torch.testing.assert_close(transform.scaled(factors).apply(rgb), expected)
    white = torch.ones(2, 3, 1, 1)
    torch.testing.assert_close(transform.white(), transform.apply(white)[:, :, 0, 0])


def test_all_weights_have_gradients():
    net = random_base(1)
    net(*summaries()).apply(torch.rand(2, 3, 8, 8)).square().mean().backward()
    assert all(
        parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in net.parameters()
    )
