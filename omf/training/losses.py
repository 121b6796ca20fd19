"""Losses over the pixels of one network."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from omf.evaluation.metrics import MS_SSIM_WEIGHTS
from omf.training.settings import Loss

SSIM_TAPS = 11
SEAM_SPAN = 4  # pixels; a step may be blurred over some


class BranchLoss(nn.Module):
    """The loss of OE or NOE.

    Args:
        weights: weights of the terms; terms of weight 0 are not computed.
        neutral: RAW of a neutral grey, green at 1, for the term `colour`.
    """

    def __init__(self, weights: Loss, neutral: Sequence[float] = (1, 1, 1)):
        super().__init__()
        self.weights = weights
        self.register_buffer("neutral", torch.tensor(neutral, dtype=torch.float32).view(3, 1, 1))

    def forward(self, predicted: Tensor, truth: Tensor, own: Tensor) -> Tensor:
        """Return the loss, a scalar.

        L1, L2 and colour are means over the network's own pixels. MS-SSIM compares neighbourhoods, so the
        prediction is replaced by the ground truth outside of them.

        Args:
            predicted: demosaiced RAW, (N, 3, H, W).
            truth: demosaiced ground truth, (N, 3, H, W).
            own: 1 at the network's own pixels, 0 elsewhere, (N, 1, H, W).
        """
        count = (predicted.shape[1] * own.sum()).clamp(min=1)
        error = (predicted - truth) * own
        loss = (self.weights.l1 * error.abs().sum() + self.weights.l2 * error.square().sum()) / count
        if self.weights.colour:
            error = (colours(predicted, self.neutral) - colours(truth, self.neutral)) * own
            loss = loss + self.weights.colour * error.square().sum() / count
        if self.weights.ms_ssim:
            loss = loss + self.weights.ms_ssim * (
                1 - ms_ssim_tensor(torch.where(own == 1, predicted, truth), truth)
            )
        return loss


def colours(raw: Tensor, neutral: Tensor) -> Tensor:
    """Return R - G, 0 and B - G of RAW that is white-balanced and clipped at white.

    Values that clip in all channels are white, whatever they were. The mean of likely highlights is not:
    where only green clips, red and blue exceed it, which looks pink.

    Args:
        raw: (N, 3, H, W), as the result.
        neutral: (3, 1, 1), RAW of a neutral grey.
    """
    balanced = (raw / neutral).clamp(max=1)
    return balanced - balanced[:, 1:2]


def seam(fused: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Return the mean squared step along the edge of the mask that the ground truth does not have.

    The mean is over all pairs of pixels on two sides of the edge, `SEAM_SPAN` apart in a row or column, of
    the squared difference between their errors; 0 if there is no edge.

    Args:
        fused: (N, 3, H, W), OE's prediction where the mask is 1, NOE's elsewhere.
        truth: (N, 3, H, W).
        mask: (N, 1, H, W), 0 or 1.
    """
    error, total, pairs = fused - truth, 0, 0
    for axis in (-2, -1):
        length = error.shape[axis] - SEAM_SPAN
        across = mask.narrow(axis, 0, length) != mask.narrow(axis, SEAM_SPAN, length)
        steps = error.narrow(axis, 0, length) - error.narrow(axis, SEAM_SPAN, length)
        total = total + (steps.square() * across).sum()
        pairs = pairs + error.shape[1] * across.sum()
    return total / pairs.clamp(min=1)


def encode(linear: Tensor) -> Tensor:
    """Apply the sRGB transfer function (IEC 61966-2-1).

    Its linear segment extends below 0, so that negative values have a gradient.
    """
    return torch.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    )


def ms_ssim_tensor(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the multi-scale SSIM of two batches (N, 3, H, W), over as many of the five scales as fit."""
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    side = min(predicted.shape[-2:])
    # torchmetrics requires this size
    scales = [w for level, w in enumerate(MS_SSIM_WEIGHTS) if side // max(level**2, 2**level) >= SSIM_TAPS]
    betas = tuple(weight / sum(scales) for weight in scales)
    return multiscale_structural_similarity_index_measure(
        predicted, truth, data_range=1.0, kernel_size=SSIM_TAPS, betas=betas
    )
