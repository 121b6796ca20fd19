"""The losses of the OE and NOE networks."""

import pytest
import torch

from omf.raw.isp import encode_srgb
from omf.training.losses import BranchLoss, encode, ms_ssim_tensor, seam
from omf.training.settings import Loss


def random_pair(seed: int = 0, size: int = 120) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    truth = torch.nn.functional.interpolate(
        torch.rand(2, 3, size // 8, size // 8), size=size, mode="bilinear"
    )
    return truth, (torch.rand(2, 1, size, size) < 0.4).float()


@pytest.mark.parametrize(
    "weights", [Loss(), Loss(ms_ssim=0), Loss(l1=0, l2=1, ms_ssim=0), Loss(l1=0, ms_ssim=1)]
)
def test_a_loss_depends_on_its_own_pixels_only(weights):
    truth, own = random_pair()
    loss = BranchLoss(weights)
    assert loss(truth + 0.3 * (1 - own), truth, own) == pytest.approx(0, abs=1e-6)
    assert loss(truth + 0.3 * own, truth, own) > 0.01


def test_l1_and_l2_are_means_over_its_own_pixels():
    truth, own = random_pair()
    for weights, expected in ((Loss(ms_ssim=0), 5.0), (Loss(l1=0, l2=1, ms_ssim=0), 25.0)):
        loss = BranchLoss(weights)
        torch.testing.assert_close(loss(truth + 5 * own, truth, own), torch.tensor(expected))
        assert loss(truth + 5, truth, torch.zeros_like(own)) == 0  # not NaN


def test_colour_is_compared_after_white_balance_and_clipping():
    own = torch.ones(1, 1, 4, 4)
    neutral = (0.5, 1.0, 0.6)

    def image(*rgb):
        return torch.tensor(rgb).view(1, 3, 1, 1).expand(1, 3, 4, 4)

    loss = BranchLoss(Loss(l1=0, ms_ssim=0, colour=1), neutral)
    clipped = image(0.9, 1.0, 0.8)
    assert loss(image(0.7, 1.0, 1.0), clipped, own) == 0  # both are white
    # a darker grey has no cast
    assert loss(image(0.4, 0.8, 0.48), clipped, own) == pytest.approx(0, abs=1e-6)
    # pink: red and blue at white, green below
    assert loss(image(0.6, 0.9, 0.7), clipped, own) == pytest.approx(2 * 0.1**2 / 3)
    assert loss(image(0.6, 0.9, 0.7), clipped, 0 * own) == 0


def test_a_seam_is_a_step_absent_from_the_ground_truth():
    truth = torch.linspace(0, 1, 40).expand(1, 3, 24, 40).clone()
    mask = torch.zeros(1, 1, 24, 40)
    mask[..., 15:] = 1
    assert seam(truth, truth, mask) == 0
    # the same error on both sides is no step
    assert seam(truth + 0.2, truth, mask) == pytest.approx(0, abs=1e-9)
    assert seam(truth + 0.2 * mask, truth, mask) == pytest.approx(0.04)
    assert seam(truth.mT + 0.2 * mask.mT, truth.mT, mask.mT) == pytest.approx(0.04)
    assert seam(truth + 0.2, truth, torch.zeros_like(mask)) == 0  # not NaN


def test_encode_is_the_srgb_curve_with_positive_slope_everywhere():
    x = torch.linspace(-0.1, 1, 200, dtype=torch.float64, requires_grad=True)
    y = encode(x)
    torch.testing.assert_close(
        y[x >= 0].detach(), torch.from_numpy(encode_srgb(x[x >= 0].detach().numpy())), atol=1e-6, rtol=0
    )
    assert (torch.autograd.grad(y.sum(), x)[0] > 0).all()


@pytest.mark.parametrize("size", [24, 56, 104, 120, 180])
def test_ms_ssim_decreases_with_the_error_at_any_patch_size(size):
    truth, _ = random_pair(size=size)
    noise = torch.randn_like(truth)
    values = [ms_ssim_tensor(truth + amount * noise, truth).item() for amount in (0, 0.02, 0.1)]
    assert values[0] == pytest.approx(1, abs=1e-5)
    assert values[0] > values[1] > values[2]
