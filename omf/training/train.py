"""The stages of a training run. Each trains one network and saves its weights in the folder of the run."""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from omf.io.cameras import find_camera
from omf.models.checkpoints import load_base, load_demosaic_net, load_network, save_network
from omf.models.registry import check_files, find_model
from omf.networks.build import build
from omf.networks.demosaic_net import DemosaicNet
from omf.networks.global_net import BASE_CHANNELS, SEGMENTS, GlobalNet, refine
from omf.networks.spread_net import SpreadNet, spread_loss, true_errors
from omf.raw.camera import Camera
from omf.raw.simulator import linearise_photo, mean_settings
from omf.training.curves import draw_curves
from omf.training.loop import (
    LOG,
    Hyperparameters,
    Objective,
    fit,
    is_first,
    starts_with_header,
    wait_for_others,
)
from omf.training.losses import BranchLoss, encode, seam
from omf.training.patches import WANTED, MosaickedScenes, Patches, WholeImages
from omf.training.settings import STAGES, TrainingSettings
from omf.training.sources import simulated_pictures, training_source
from omf.utils.errors import InputError
from omf.utils.files import save_json
from omf.utils.written import check_replaceable

CURVES, FINISHED = "curves.png", "finished.json"  # FINISHED: the fingerprint of each finished stage
IMAGES_PER_PATCH = 4  # batch size of the base network, whose thumbnails are small, relative to that of others


def weights_file(run: Path, stage: str) -> Path:
    """Return the path of a stage's weights."""
    return run / f"{stage}.safetensors"


def train_stage(stage: str, settings: TrainingSettings, run: Path, device: torch.device) -> None:
    """Train the network of one of `STAGES` in the folder of a run, unless it is finished with these settings.

    Raises:
        InputError: missing weights of an earlier stage, too little training data, or the weights would
            overwrite a file.
    """
    fingerprint = stage_fingerprint(stage, settings)
    finished = read_finished(run)
    if finished.get(stage) == fingerprint and weights_file(run, stage).is_file():
        return
    check_replaceable(weights_file(run, stage))
    for earlier in STAGES[stage]:
        if earlier in settings.stages and not weights_file(run, earlier).is_file():
            raise InputError(
                f"{weights_file(run, earlier)}: not there; {stage} needs it: train the stage {earlier} first"
            )
    if settings.pairs:  # too few would be found out after hours of other stages
        for branch in settings.stages:
            if branch != "demosaic":
                training_source(settings, branch)
    torch.manual_seed(settings.seed)
    iterations = getattr(settings.iterations, stage)
    batch_size = settings.batch_size * (IMAGES_PER_PATCH if stage in ("base", "spread") else 1)
    plan = Hyperparameters(
        stage,
        iterations,
        batch_size,
        settings.learning_rate,
        settings.warmup_iterations,
        settings.ema_decay,
        fingerprint,
    )
    network, objective = initial_network(stage, settings, run), stage_objective(stage, settings, run, device)
    images = training_images(stage, settings, iterations * batch_size)
    network = fit(network, objective, images, plan, run, device)
    if stage == "base" and not settings.pairs:  # recorded pairs have the camera's own exposures
        network.hold_exposure(*mean_isp(find_camera(settings.camera)))
    if is_first():
        camera = None if stage in ("demosaic", "spread") else settings.camera
        save_network(network, weights_file(run, stage), camera)
        save_json(run / FINISHED, finished | {stage: fingerprint}, own=True)
        (run / f"{stage}.state.pt").unlink()
        draw_curves(run / LOG, run / CURVES)
    wait_for_others()  # the next stage reads these files


def training_images(stage: str, settings: TrainingSettings, length: int) -> Dataset:
    """Return the images to train a stage with; each stage has its own ones."""
    seed, size = len(STAGES) * settings.seed + list(STAGES).index(stage), settings.patch_size
    if stage == "demosaic":
        return MosaickedScenes(simulated_pictures(settings), size, length, seed)
    source = training_source(settings, stage)
    if stage in ("base", "spread"):
        return WholeImages(source, length, seed)
    return Patches(source, WANTED[stage], size, length, seed, with_summary=settings.iterations.base > 0)


def stage_objective(stage: str, settings: TrainingSettings, run: Path, device: torch.device) -> Objective:
    """Return the objective of a stage; see the functions below for the batches."""
    if stage == "base":
        return base_objective
    if stage == "demosaic":
        return demosaic_loss
    if stage == "spread":
        return spread_objective(load_base(weights_file(run, "base")).to(device))
    return branch_objective(stage, settings, run, device)


def mean_isp(camera: Camera) -> tuple[Tensor, Tensor]:
    """Return the inverse of a camera's mean ISP, but for its saturation: see `GlobalNet.hold_exposure`."""
    settings = mean_settings(camera)
    greys = np.linspace(0, np.iinfo(np.uint16).max, SEGMENTS + 1).round().astype(np.uint16)
    curve = linearise_photo(np.repeat(greys[None, :, None], 3, axis=2), settings)[0, :, 1]
    matrix = settings.neutral[:, None] / settings.gain * settings.colour_matrix
    return torch.from_numpy(curve), torch.from_numpy(matrix).float()


def read_finished(run: Path) -> dict[str, str]:
    """Return the fingerprints of the finished stages of a run."""
    return json.loads((run / FINISHED).read_text()) if (run / FINISHED).is_file() else {}


def check_run_folder(run: Path) -> None:
    """Check that a folder holds an earlier training or none, so that a training may write to it.

    Raises:
        InputError: a file that a training writes or removes is there, and no training wrote it.
    """
    is_run = starts_with_header(run / LOG)
    others = [weights_file(run, stage) for stage in STAGES if not (is_run and stage in read_finished(run))]
    for path in (*others, *(run / name for name in (LOG, CURVES, FINISHED) if not is_run)):
        check_replaceable(path)


def remove_other_weights(settings: TrainingSettings, run: Path) -> None:
    """Remove the weights of networks that the settings leave out, left by a training with other settings."""
    for stage in STAGES.keys() - set(settings.stages):
        weights_file(run, stage).unlink(missing_ok=True)


def stage_fingerprint(stage: str, settings: TrainingSettings) -> str:
    """Return a hash of all settings that decide the weights of a stage."""
    values = settings.model_dump()
    if stage != "oe":
        del values["loss"]["seam"]
    others = STAGES.keys() - {stage, *STAGES[stage]}
    for section in ("iterations", "loss"):
        values[section] = {name: value for name, value in values[section].items() if name not in others}
    unused = ["name", "num_gpus"]
    if stage not in ("oe", "noe"):
        unused += ["network", "widths"]
    if stage in ("demosaic", "spread"):
        unused += ["init_from"]
    for name in unused:
        del values[name]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def initial_network(stage: str, settings: TrainingSettings, run: Path) -> nn.Module:
    """Return the network to start from: random, or for `base`, `noe` and `oe` that of the model to fine-tune.

    Without one, OE starts from NOE.

    Raises:
        InputError: the model to fine-tune lacks the network.
    """
    if stage == "demosaic":
        return DemosaicNet()
    if stage == "spread":
        return SpreadNet()
    if settings.init_from:
        model = find_model(settings.init_from)
        check_files(model)
        file = getattr(model, stage)
        if file is None:
            raise InputError(
                f"training.init_from: {settings.init_from} has no network {stage};"
                f" set iterations.{stage} to 0, or give another model"
            )
        network = (load_base if stage == "base" else load_network)(file.path)
        if stage == "base":
            network.hold_exposure(None, None)
        return network
    if stage == "base":
        return GlobalNet()
    if stage == "oe" and settings.iterations.noe:
        return load_network(weights_file(run, "noe"))
    return build(settings.network, settings.widths, BASE_CHANNELS if settings.iterations.base else 4)


def base_objective(network: nn.Module, batch: list[Tensor]) -> Tensor:
    """Return the mean over the images of the RMS error of the base's RAW; see `WholeImages` for the batch.

    It is the mean of the errors of linear values and of those after the sRGB curve. The first alone leaves
    shadows to the mean of all likely values, a few of which are far above the others.
    """
    thumbnail, quantiles, raw = batch
    transform = network(thumbnail, quantiles)
    with torch.autocast(thumbnail.device.type, enabled=False):
        predicted = type(transform)(*(part.float() for part in transform)).apply(thumbnail[:, :3])
        errors = torch.stack((predicted - raw, encode(predicted) - encode(raw)))
        return errors.square().mean((2, 3, 4)).sqrt().mean()


def spread_objective(base: GlobalNet) -> Objective:
    """Return the objective of the spread network of a base network; see `WholeImages` for the batch."""

    def objective(network: nn.Module, batch: list[Tensor]) -> Tensor:
        thumbnail, quantiles, raw = batch
        with torch.autocast(thumbnail.device.type, enabled=False):
            with torch.no_grad():
                features = base.features_of(thumbnail, quantiles)
                predicted = base.transform_of(features, thumbnail).apply(thumbnail[:, :3]).clamp(0, 1)
                errors = true_errors(predicted, raw)
            return spread_loss(network(features), *errors)

    return objective


@torch.no_grad()
def append_base(x: Tensor, base: GlobalNet, *summary: Tensor) -> Tensor:
    """Append the base RAW to network input: (N, 4, H, W) -> (N, BASE_CHANNELS, H, W)."""
    with torch.autocast(x.device.type, enabled=False):
        return torch.cat((x, base(*summary).apply(x[:, :3])), 1)


def demosaic_loss(network: nn.Module, batch: list[Tensor]) -> Tensor:
    """Return the mean absolute error after the sRGB curve for mosaics (N, 1, H, W), RAW (N, 3, H, W)."""
    bayer, truth = batch
    return (encode(network(bayer).float()) - encode(truth)).abs().mean()


def branch_objective(branch: str, settings: TrainingSettings, run: Path, device: torch.device) -> Objective:
    """Return the objective of `oe` or `noe`: its output against the demosaiced RAW, over its own pixels.

    The Demosaic Net of the run demosaics the ground truth. Its base network, if the settings have one,
    extends the input. OE's objective may contain the seam with NOE, or with the base.
    """
    demosaic = load_demosaic_net(weights_file(run, "demosaic")).to(device)
    neutral = find_camera(settings.camera).mean_neutral
    criterion = BranchLoss(getattr(settings.loss, branch), neutral).to(device)
    with_seam = settings.loss.seam > 0 and branch == "oe"
    noe, base = None, None
    if with_seam and settings.iterations.noe:
        noe = load_network(weights_file(run, "noe")).eval().to(device, memory_format=torch.channels_last)
    if settings.iterations.base:
        base = load_base(weights_file(run, "base")).to(device)

    def objective(network: nn.Module, batch: list[Tensor]) -> Tensor:
        x, bayer, *summary = batch
        if base:
            x = append_base(x, base, *summary)
        x = x.contiguous(memory_format=torch.channels_last)
        predicted = refine(network, x)
        if with_seam:
            with torch.no_grad():
                elsewhere = refine(noe, x)
        with torch.autocast(device.type, enabled=False):
            with torch.no_grad():
                truth = demosaic(bayer).clamp(0, 1)
            mask = x[:, 3:4]
            loss = criterion(predicted.float(), truth, mask if branch == "oe" else 1 - mask)
            if with_seam:
                fused = torch.where(mask == 1, predicted, elsewhere).float()
                loss = loss + settings.loss.seam * seam(fused, truth, mask)
            return loss

    return objective
