"""Training of one network for all pixels, which the benchmarks compare with the fusion of two."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from omf.models.checkpoints import load_base, load_demosaic_net
from omf.networks.global_net import refine
from omf.raw.camera import load_camera
from omf.training.losses import BranchLoss
from omf.training.settings import TrainingSettings
from omf.training.train import append_base, weights_file


def any_patch(luma: np.ndarray) -> bool:
    """Select every patch."""
    return True


def whole_image_objective(
    settings: TrainingSettings, run: Path, device: torch.device
) -> Callable[[nn.Module, list[Tensor]], Tensor]:
    """Return the objective of NOE, over all pixels; a network with base refines it."""
    demosaic = load_demosaic_net(weights_file(run, "demosaic")).to(device)
    base = load_base(weights_file(run, "base")).to(device) if settings.iterations.base else None
    criterion = BranchLoss(settings.loss.noe, load_camera(settings.camera).mean_neutral).to(device)

    def objective(network: nn.Module, batch: list[Tensor]) -> Tensor:
        x, bayer, *summary = batch
        if base:
            x = append_base(x, base, *summary)
        predicted = refine(network, x.contiguous(memory_format=torch.channels_last))
        with torch.autocast(device.type, enabled=False):
            with torch.no_grad():
                truth = demosaic(bayer).clamp(0, 1)
            return criterion(predicted.float(), truth, torch.ones_like(x[:, 3:4]))

    return objective
