"""The stages of a training run: Demosaic Net, NOE, OE. Each leaves its weights in the run's folder."""

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
from omf.training.patches import MosaickedScenes, Patches
from omf.training.settings import Settings, as_dict
from omf.training.sources import simulated_pictures, training_source
from omf.utils.errors import InputError
from omf.utils.files import save_json

STAGES = ("demosaic", "noe", "oe")
FINISHED = "finished.json"  # the fingerprint of each finished stage


def weights_file(run: Path, stage: str) -> Path:
    """Where a stage leaves its weights."""
    return run / f"{stage}.safetensors"


def train_stage(stage: str, settings: Settings, run: Path, device: torch.device) -> None:
    """Train one network of the run, unless it is finished already with the same settings.

    Args:
        stage: one of `STAGES`; `noe` needs the weights of `demosaic` in the run's folder, `oe` those of both.
        settings: of the run.
        run: folder of weights, checkpoints, log.csv and curves.png.
        device: of this process.

    Raises:
        InputError: an earlier stage's weights, or something to train on, is missing.
    """
    fingerprint = fingerprint_of(stage, settings)
    finished = json.loads((run / FINISHED).read_text()) if (run / FINISHED).is_file() else {}
    if finished.get(stage) == fingerprint and weights_file(run, stage).is_file():
        return
    for earlier in STAGES[: STAGES.index(stage)]:
        if not weights_file(run, earlier).is_file():
            raise InputError(
                f"{weights_file(run, earlier)}: not there, and {stage} needs it; train the stage {earlier} first"
            )
    torch.manual_seed(settings.seed)
    steps = getattr(settings.steps, stage)
    plan = Plan(
        stage, steps, settings.batch, settings.learning_rate, settings.warm_up, settings.ema, fingerprint
    )
    # each stage has its own patches
    data = {
        "size": settings.patch,
        "length": steps * settings.batch,
        "seed": 3 * settings.seed + STAGES.index(stage),
    }
    if stage == "demosaic":
        save = save_demosaic_net
        network = fit(
            DemosaicNet(),
            demosaic_loss,
            MosaickedScenes(simulated_pictures(settings), **data),
            plan,
            run,
            device,
        )
    else:
        save = partial(save_network, camera=settings.camera)
        objective = branch_objective(stage, settings, run, device)
        patches = Patches(
            training_source(settings, stage), stage, even_brightness=settings.even_brightness, **data
        )
        network = fit(first_weights(stage, settings, run), objective, patches, plan, run, device)
    if is_first():
        save(network, weights_file(run, stage))
        save_json(run / FINISHED, finished | {stage: fingerprint})
        (run / f"{stage}.state.pt").unlink()
        draw_curves(run / "log.csv", run / "curves.png")


def fingerprint_of(stage: str, settings: Settings) -> str:
    """Changes with every setting that decides the weights of a stage."""
    deciding = as_dict(settings)
    if stage != "oe":
        del deciding["loss"]["seam"]
    for part in ("steps", "loss"):
        deciding[part] = {
            name: value
            for name, value in deciding[part].items()
            if name not in STAGES[STAGES.index(stage) + 1 :]
        }
    for name in ("name", "gpus") + (
        ("network", "widths", "start", "even_brightness") if stage == "demosaic" else ()
    ):
        del deciding[name]
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def first_weights(branch: str, settings: Settings, run: Path) -> nn.Module:
    """What a branch starts from: the model to go on from, NOE's weights for OE, else random ones."""
    if settings.start:
        model = find_model(settings.start)
        check_files(model)
        return load_network(getattr(model, branch).path)
    if branch == "oe":
        return load_network(weights_file(run, "noe"))
    return build(settings.network, settings.widths)


def demosaic_loss(network: nn.Module, batch: list[Tensor]) -> Tensor:
    """Mean absolute error after the sRGB curve: mosaic (N, 1, H, W), truth (N, 3, H, W) -> ()."""
    bayer, truth = batch
    return (encode(network(bayer).float()) - encode(truth)).abs().mean()


def branch_objective(
    branch: str, settings: Settings, run: Path, device: torch.device
) -> Callable[[nn.Module, list[Tensor]], Tensor]:
    """A branch's loss: its output against the RAW, demosaiced by the Demosaic Net, over its own pixels (`all`: every pixel).

    OE's may also count how it meets NOE, whose weights are then taken from the run's folder.
    """
    demosaic = load_demosaic_net(weights_file(run, "demosaic")).to(device)
    neutral = load_camera(settings.camera).mean_neutral
    criterion = BranchLoss(settings.loss.oe if branch == "oe" else settings.loss.noe, neutral).to(device)
    meets = settings.loss.seam > 0 and branch == "oe"
    noe = (
        load_network(weights_file(run, "noe")).eval().to(device, memory_format=torch.channels_last)
        if meets
        else None
    )

    def objective(network: nn.Module, batch: list[Tensor]) -> Tensor:
        x, bayer = batch
        x = x.contiguous(memory_format=torch.channels_last)
        predicted = network(x)
        if meets:
            with torch.no_grad():
                elsewhere = noe(x)
        with torch.autocast(device.type, enabled=False):
            with torch.no_grad():
                truth = demosaic(bayer).clamp(0, 1)
            mask = x[:, 3:]
            own = {"oe": mask, "noe": 1 - mask, "all": torch.ones_like(mask)}[branch]
            loss = criterion(predicted.float(), truth, own)
            if meets:
                loss = loss + settings.loss.seam * seam(
                    torch.where(mask == 1, predicted, elsewhere).float(), truth, mask
                )
            return loss

    return objective
