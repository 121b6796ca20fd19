"""Losses over a branch's own pixels."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from omf.training.settings import Loss
from omf.utils.errors import InputError
from omf.utils.files import sha256

# Weights of the scales of MS-SSIM, the finest first (Wang, Simoncelli and Bovik 2003)
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SSIM_TAPS = 11
SEAM_SPAN = 4  # pixels; a step may be blurred over some
VGG_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"  # torchvision's IMAGENET1K_V1
VGG_HASH = "397923af"  # how its sha256 begins
VGG_WIDTHS = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256))  # channels of the convolutions up to relu3_3
VGG_MEAN, VGG_DEVIATION = (
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
)  # of the pictures that VGG was trained on


class BranchLoss(nn.Module):
    """What a network's output is judged by.

    Args:
        weights: of the parts; parts of weight 0 are not computed. With `gamma`, errors count after the sRGB
            curve, in the manner of ReRAW (Berdan et al. 2025); not those of colour.
        neutral: RAW of a neutral grey, green at 1; for the part `colour`.

    Raises:
        InputError: the VGG weights are asked for and not there.
    """

    def __init__(self, weights: Loss, neutral: Sequence[float] = (1, 1, 1)):
        super().__init__()
        self.weights = weights
        self.register_buffer("neutral", torch.tensor(neutral, dtype=torch.float32).view(3, 1, 1))
        self.vgg = VGGLoss() if weights.vgg else None

    def forward(self, predicted: Tensor, truth: Tensor, own: Tensor) -> Tensor:
        """(N, 3, H, W) demosaiced RAW twice, (N, 1, H, W) 1 at the branch's own pixels -> ().

        L1, L2 and colour are means over the own pixels. MS-SSIM and VGG look at neighbourhoods, so that elsewhere the
        truth takes the prediction's place.
        """
        count = (predicted.shape[1] * own.sum()).clamp(min=1)
        loss = predicted.new_zeros(())
        if self.weights.colour:
            error = (colours(predicted, self.neutral) - colours(truth, self.neutral)) * own
            loss = self.weights.colour * error.square().sum() / count
        if self.weights.gamma:
            predicted, truth = encode(predicted), encode(truth)
        error = (predicted - truth) * own
        loss = loss + (self.weights.l1 * error.abs().sum() + self.weights.l2 * error.square().sum()) / count
        if self.weights.ms_ssim or self.vgg:
            merged = torch.where(own == 1, predicted, truth)
            if self.weights.ms_ssim:
                loss = loss + self.weights.ms_ssim * (1 - ms_ssim_tensor(merged, truth))
            if self.vgg:
                loss = loss + self.weights.vgg * self.vgg(merged, truth)
        return loss


def colours(raw: Tensor, neutral: Tensor) -> Tensor:
    """How far red and blue are from green once RAW is white-balanced and clipped at white: (N, 3, H, W), (3, 1, 1) -> (N, 3, H, W).

    What clips in all channels is white, whatever lies above. The mean of likely highlights is not: green has its full
    share of those that clip, and red and blue stand above it, which shows as pink.
    """
    balanced = (raw / neutral).clamp(max=1)
    return balanced - balanced[:, 1:2]


def seam(fused: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Steps along the mask's edge that the truth does not have.

    The mean square, over all pairs of pixels on two sides of the edge, of the difference between their errors.

    Args:
        fused: (N, 3, H, W), OE's answer where the mask is 1, NOE's elsewhere.
        truth: (N, 3, H, W).
        mask: (N, 1, H, W), 0 or 1.

    Returns:
        (), 0 where there is no edge.
    """
    error, total, pairs = fused - truth, 0, 0
    for axis in (-2, -1):
        apart = error.shape[axis] - SEAM_SPAN
        across = mask.narrow(axis, 0, apart) != mask.narrow(axis, SEAM_SPAN, apart)
        steps = error.narrow(axis, 0, apart) - error.narrow(axis, SEAM_SPAN, apart)
        total = total + (steps.square() * across).sum()
        pairs = pairs + error.shape[1] * across.sum()
    return total / pairs.clamp(min=1)


def encode(linear: Tensor) -> Tensor:
    """The sRGB transfer function; its straight piece goes on below 0, so that gradients reach negative values."""
    return torch.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    )


def ms_ssim_tensor(predicted: Tensor, truth: Tensor) -> Tensor:
    """Multi-scale SSIM, with as many of the five scales as the pictures' size allows."""
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    side = min(predicted.shape[-2:])
    scales = [
        weight for level, weight in enumerate(MS_SSIM_WEIGHTS) if side // max(level**2, 2**level) >= SSIM_TAPS
    ]  # torchmetrics asks for this
    betas = tuple(weight / sum(scales) for weight in scales)
    return multiscale_structural_similarity_index_measure(
        predicted, truth, data_range=1.0, kernel_size=SSIM_TAPS, betas=betas
    )


class VGGLoss(nn.Module):
    """Mean absolute difference of VGG16's features at relu3_3 (Johnson et al. 2016), of pictures as they come: linear without `gamma`.

    The weights are taken from the cache that torchvision uses too, `torch.hub.get_dir()`.

    Raises:
        InputError: they are not there, or damaged.
    """

    def __init__(self):
        super().__init__()
        path = Path(torch.hub.get_dir()) / "checkpoints" / Path(VGG_URL).name
        if not path.is_file():
            fetch = f"python -c \"import torch; torch.hub.load_state_dict_from_url('{VGG_URL}')\""
            raise InputError(
                f"{path}: not there; the VGG loss needs it. Set training.loss.vgg to 0, or fetch it (528 MB): {fetch}"
            )
        if not sha256(path).startswith(VGG_HASH):
            raise InputError(
                f"{path}: its sha256 does not begin with {VGG_HASH}; delete it and fetch it again"
            )
        self.features = vgg_features()
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.load_state_dict({key: value for key, value in state.items() if key in self.state_dict()})
        self.eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(VGG_MEAN).view(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(VGG_DEVIATION).view(3, 1, 1))

    def forward(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """(N, 3, H, W) twice -> ()."""
        features = [self.features((picture - self.mean) / self.deviation) for picture in (predicted, truth)]
        return (features[0] - features[1]).abs().mean()


def vgg_features() -> nn.Sequential:
    """VGG16 up to relu3_3, its layers numbered as torchvision does."""
    layers: list[nn.Module] = []
    for block in VGG_WIDTHS:
        if layers:
            layers.append(nn.MaxPool2d(2))
        for before, width in itertools.pairwise(block):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)
