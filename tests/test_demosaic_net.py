import numpy as np
import pytest
import torch
from conftest import random_rgb

from omf.bayer import demosaic, mosaic
from omf.demosaic_net import DemosaicNet


def random_net(width: int = 6, depth: int = 4, seed: int = 0) -> DemosaicNet:
    """A network whose corrections are not 0, as those of a new one are."""
    torch.manual_seed(seed)
    network = DemosaicNet(width, depth).eval()
    torch.nn.init.normal_(network.tail.weight, std=0.1)
    return network


def answer(network: DemosaicNet, bayer: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(bayer)[None, None])[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("size", [(4, 4), (6, 30), (32, 18)])
def test_a_new_network_is_the_linear_interpolation(size):
    bayer = np.random.default_rng(0).random(size, np.float32)
    np.testing.assert_allclose(answer(DemosaicNet(), bayer), demosaic(bayer), atol=1e-5)


@pytest.mark.parametrize("depth", [2, 4, 8])
def test_measured_samples_are_kept(depth):
    bayer = np.random.default_rng(1).random((24, 36), np.float32)
    rgb = answer(random_net(depth=depth), bayer)
    assert rgb.shape == (24, 36, 3)
    assert (mosaic(rgb) == bayer).all()
    assert abs(rgb - demosaic(bayer)).max() > 0.01


def test_shifts_by_a_cell_shift_the_answer():
    network, bayer = random_net(), np.random.default_rng(2).random((64, 64), np.float32)
    shifted = answer(network, np.ascontiguousarray(bayer[2:, 4:]))
    np.testing.assert_allclose(shifted[12:-12, 12:-12], answer(network, bayer)[2:, 4:][12:-12, 12:-12], atol=1e-5)


def test_black_and_slightly_negative_samples_leave_gradients_finite():
    network = random_net().train()
    bayer = torch.full((1, 1, 8, 8), -0.01).requires_grad_()
    network(bayer).sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in (bayer, *network.parameters()))


def test_a_few_steps_of_training_beat_the_linear_interpolation():
    torch.manual_seed(0)
    network = DemosaicNet(16, 4)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    pictures = np.stack([np.repeat(np.repeat(random_rgb(24, 24, seed), 2, 0), 2, 1) for seed in range(4)]) / np.float32(255)
    truth = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()).float() ** 2.2
    bayer = torch.from_numpy(np.stack([mosaic(picture.permute(1, 2, 0).numpy()) for picture in truth]))[:, None]
    losses = []
    for _ in range(40):
        loss = (network(bayer) - truth).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(("width", "depth"), [(0, 4), (4, 0), (4, 3)])
def test_sizes_that_make_no_network_are_refused(width, depth):
    with pytest.raises(ValueError, match="depth even"):
        DemosaicNet(width, depth)
