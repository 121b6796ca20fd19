from dataclasses import replace

import pytest
import torch

from omf.raw.isp import encode_srgb
from omf.training import losses
from omf.training.losses import BranchLoss, encode, ms_ssim_tensor, seam
from omf.training.settings import Loss
from omf.utils.errors import InputError
from omf.utils.files import sha256


def pictures(seed: int = 0, size: int = 120) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    truth = torch.nn.functional.interpolate(
        torch.rand(2, 3, size // 8, size // 8), size=size, mode="bilinear"
    )
    return truth, (torch.rand(2, 1, size, size) < 0.4).float()


@pytest.mark.parametrize("gamma", [False, True])
@pytest.mark.parametrize("weights", [Loss(), Loss(l1=0, l2=1), Loss(l1=0, ms_ssim=1), Loss(ms_ssim=0.5)])
def test_a_loss_sees_its_own_pixels_only(weights, gamma):
    truth, own = pictures()
    loss = BranchLoss(replace(weights, gamma=gamma))
    assert loss(truth + 0.3 * (1 - own), truth, own) == pytest.approx(0, abs=1e-6)
    assert loss(truth + 0.3 * own, truth, own) > 0.01


def test_l1_and_l2_are_means_over_the_own_pixels():
    truth, own = pictures()
    torch.testing.assert_close(BranchLoss(Loss())(truth + 5 * own, truth, own), torch.tensor(5.0))
    torch.testing.assert_close(BranchLoss(Loss(l1=0, l2=1))(truth + 5 * own, truth, own), torch.tensor(25.0))
    none = torch.zeros_like(own)
    assert BranchLoss(Loss())(truth + 5, truth, none) == 0  # and not NaN


def test_colour_is_judged_as_a_raw_developer_shows_it():
    own = torch.ones(1, 1, 4, 4)
    neutral = (0.5, 1.0, 0.6)

    def picture(*rgb):
        return torch.tensor(rgb).view(1, 3, 1, 1).expand(1, 3, 4, 4)

    loss = BranchLoss(Loss(l1=0, colour=1), neutral)
    clipped = picture(0.9, 1.0, 0.8)
    assert loss(picture(0.7, 1.0, 1.0), clipped, own) == 0  # white is white
    assert loss(picture(0.4, 0.8, 0.48), clipped, own) == pytest.approx(
        0, abs=1e-6
    )  # and a dimmer grey is no cast
    assert loss(picture(0.6, 0.9, 0.7), clipped, own) == pytest.approx(
        2 * 0.1**2 / 3
    )  # pink: red and blue at white, green below
    assert loss(picture(0.6, 0.9, 0.7), clipped, 0 * own) == 0


def test_a_seam_is_a_step_that_the_truth_does_not_have():
    truth = torch.linspace(0, 1, 40).expand(1, 3, 24, 40).clone()
    mask = torch.zeros(1, 1, 24, 40)
    mask[..., 15:] = 1
    assert seam(truth, truth, mask) == 0
    assert seam(truth + 0.2, truth, mask) == pytest.approx(0, abs=1e-9)  # an error of both is no step
    assert seam(truth + 0.2 * mask, truth, mask) == pytest.approx(0.04)
    assert seam(truth.mT + 0.2 * mask.mT, truth.mT, mask.mT) == pytest.approx(0.04)
    assert seam(truth + 0.2, truth, torch.zeros_like(mask)) == 0  # and not NaN


def test_in_gamma_space_dark_errors_weigh_more():
    dark, bright = torch.full((1, 3, 8, 8), 0.01), torch.full((1, 3, 8, 8), 0.7)
    own = torch.ones(1, 1, 8, 8)
    linear, gamma = (BranchLoss(Loss(gamma=flag)) for flag in (False, True))
    torch.testing.assert_close(linear(dark + 0.01, dark, own), linear(bright + 0.01, bright, own))
    assert gamma(dark + 0.01, dark, own) > 5 * gamma(bright + 0.01, bright, own)


def test_encode_is_the_srgb_curve_with_a_slope_everywhere():
    x = torch.linspace(-0.1, 1, 200, dtype=torch.float64, requires_grad=True)
    y = encode(x)
    torch.testing.assert_close(
        y[x >= 0].detach(), torch.from_numpy(encode_srgb(x[x >= 0].detach().numpy())), atol=1e-6, rtol=0
    )
    assert (torch.autograd.grad(y.sum(), x)[0] > 0).all()


@pytest.mark.parametrize("size", [24, 56, 104, 120, 180])
def test_ms_ssim_of_any_patch_falls_with_the_error(size):
    truth, _ = pictures(size=size)
    noise = torch.randn_like(truth)
    values = [ms_ssim_tensor(truth + amount * noise, truth).item() for amount in (0, 0.02, 0.1)]
    assert values[0] == pytest.approx(1, abs=1e-5)
    assert values[0] > values[1] > values[2]


@pytest.fixture
def vgg_file(tmp_path, monkeypatch):
    """Where the VGG weights belong, in a cache of the test's own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"
    path.parent.mkdir(parents=True)
    return path


def test_the_vgg_loss_says_where_its_weights_belong(vgg_file):
    with pytest.raises(InputError, match=r"vgg16-397923af\.pth: not there; .*Set training\.loss\.vgg to 0"):
        BranchLoss(Loss(vgg=1))
    vgg_file.write_bytes(b"damaged")
    with pytest.raises(InputError, match="its sha256 does not begin with 397923af"):
        BranchLoss(Loss(vgg=1))


def test_the_vgg_loss_with_weights_in_the_cache(vgg_file, monkeypatch):
    torch.manual_seed(0)
    # keys and shapes of torchvision's file, those of the layers beyond relu3_3 too; random values
    state = {f"features.{key}": value for key, value in losses.vgg_features().state_dict().items()}
    torch.save(
        state | {"features.17.weight": torch.rand(512, 256, 3, 3), "classifier.6.bias": torch.rand(1000)},
        vgg_file,
    )
    monkeypatch.setattr(losses, "VGG_HASH", sha256(vgg_file)[:8])
    assert list(state)[-2:] == ["features.14.weight", "features.14.bias"]
    truth, own = pictures(size=32)
    loss = BranchLoss(Loss(l1=0, vgg=1))
    assert (loss.vgg.features[14].weight == state["features.14.weight"]).all()
    assert loss(truth + 0.3 * (1 - own), truth, own) == 0
    predicted = (truth + 0.1 * own).requires_grad_()
    value = loss(predicted, truth, own)
    assert value > 0
    value.backward()
    assert predicted.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in loss.parameters())
