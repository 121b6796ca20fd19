"""The stages of a training run: Demosaic Net, NOE, OE. Each saves its weights in the folder of the run."""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from omf.models.checkpoints import load_demosaic_net, load_network, save_demosaic_net, save_network
from omf.models.registry import check_files, find_model
from omf.networks.demosaic_net import DemosaicNet
from omf.networks.registry import build
from omf.raw.camera import load_camera
from omf.training.curves import draw_curves
from omf.training.loop import Plan, fit, is_first
from omf.training.losses import BranchLoss, encode, seam
from omf.training.patches import WANTED, MosaickedScenes, Patches
from omf.training.settings import TrainingSettings
from omf.training.sources import simulated_pictures, training_source
from omf.utils.errors import InputError
from omf.utils.files import save_json

STAGES = ("demosaic", "noe", "oe")
FINISHED = "finished.json"  # the fingerprint of each finished stage


def weights_file(run: Path, stage: str) -> Path:
    """Return the path of a stage's weights."""
    return run / f"{stage}.safetensors"


def train_stage(stage: str, settings: TrainingSettings, run: Path, device: torch.device) -> None:
    """Train one network of a run, unless it is finished with the same settings.

    Args:
        stage: one of `STAGES`; `noe` requires the weights of `demosaic`, `oe` those of both.
        settings: settings of the run.
        run: folder of weights, checkpoints, log.csv and curves.png.
        device: device of this process.

    Raises:
        InputError: missing weights of an earlier stage, or too little training data.
    """
    fingerprint = stage_fingerprint(stage, settings)
    finished = json.loads((run / FINISHED).read_text()) if (run / FINISHED).is_file() else {}
    if finished.get(stage) == fingerprint and weights_file(run, stage).is_file():
        return
    for earlier in STAGES[: STAGES.index(stage)]:
        if not weights_file(run, earlier).is_file():
            raise InputError(
                f"{weights_file(run, earlier)}: not there; {stage} needs it: train the stage {earlier} first"
            )
    torch.manual_seed(settings.seed)
    iterations = getattr(settings.iterations, stage)
    plan = Plan(
        stage,
        iterations,
        settings.batch_size,
        settings.learning_rate,
        settings.warmup_iterations,
        settings.ema_decay,
        fingerprint,
    )
    data = {
        "size": settings.patch_size,
        "length": iterations * settings.batch_size,
        "seed": 3 * settings.seed + STAGES.index(stage),  # each stage has its own patches
    }
    if stage == "demosaic":
        save = save_demosaic_net
        patches = MosaickedScenes(simulated_pictures(settings), **data)
        network = fit(DemosaicNet(), demosaic_loss, patches, plan, run, device)
    else:
        save = partial(save_network, camera=settings.camera)
        objective = branch_objective(stage, settings, run, device)
        patches = Patches(training_source(settings, stage), WANTED[stage], **data)
        network = fit(initial_network(stage, settings, run), objective, patches, plan, run, device)
    if is_first():
        save(network, weights_file(run, stage))
        save_json(run / FINISHED, finished | {stage: fingerprint})
        (run / f"{stage}.state.pt").unlink()
        draw_curves(run / "log.csv", run / "curves.png")


def stage_fingerprint(stage: str, settings: TrainingSettings) -> str:
    """Return a hash of all settings that decide the weights of a stage."""
    values = settings.model_dump()
    if stage != "oe":
        del values["loss"]["seam"]
    later = STAGES[STAGES.index(stage) + 1 :]
    for section in ("iterations", "loss"):
        values[section] = {name: value for name, value in values[section].items() if name not in later}
    for name in ("name", "num_gpus") + (("network", "widths", "init_from") if stage == "demosaic" else ()):
        del values[name]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def initial_network(branch: str, settings: TrainingSettings, run: Path) -> nn.Module:
    """Return the initial network: of the model to fine-tune, or NOE for OE, or with random weights."""
    if settings.init_from:
        model = find_model(settings.init_from)
        check_files(model)
        return load_network(getattr(model, branch).path)
    if branch == "oe":
        return load_network(weights_file(run, "noe"))
    return build(settings.network, settings.widths)


def demosaic_loss(network: nn.Module, batch: list[Tensor]) -> Tensor:
    """Return the mean absolute error after the sRGB curve for mosaics (N, 1, H, W), RAW (N, 3, H, W)."""
    bayer, truth = batch
    return (encode(network(bayer).float()) - encode(truth)).abs().mean()


def branch_objective(
    branch: str, settings: TrainingSettings, run: Path, device: torch.device
) -> Callable[[nn.Module, list[Tensor]], Tensor]:
    """Return the objective of `oe` or `noe`: its output against the demosaiced RAW, over its own pixels.

    The Demosaic Net in the folder of the run demosaics the ground truth. OE's objective may contain the seam
    with NOE, whose weights are in the same folder.
    """
    demosaic = load_demosaic_net(weights_file(run, "demosaic")).to(device)
    neutral = load_camera(settings.camera).mean_neutral
    criterion = BranchLoss(getattr(settings.loss, branch), neutral).to(device)
    with_seam = settings.loss.seam > 0 and branch == "oe"
    noe = (
        load_network(weights_file(run, "noe")).eval().to(device, memory_format=torch.channels_last)
        if with_seam
        else None
    )

    def objective(network: nn.Module, batch: list[Tensor]) -> Tensor:
        x, bayer = batch
        x = x.contiguous(memory_format=torch.channels_last)
        predicted = network(x)
        if with_seam:
            with torch.no_grad():
                elsewhere = noe(x)
        with torch.autocast(device.type, enabled=False):
            with torch.no_grad():
                truth = demosaic(bayer).clamp(0, 1)
            mask = x[:, 3:]
            loss = criterion(predicted.float(), truth, mask if branch == "oe" else 1 - mask)
            if with_seam:
                fused = torch.where(mask == 1, predicted, elsewhere).float()
                loss = loss + settings.loss.seam * seam(fused, truth, mask)
            return loss

    return objective
