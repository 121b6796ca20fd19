"""Train a single network for all pixels, for comparison with a model.

    python benchmarks/plain.py trained_models/samsung_s7/training.yaml \\
        --demosaic trained_models/samsung_s7/demosaic.safetensors --run RUN

Settings, data and initial weights are those of the model, and its iterations the sum of NOE's and OE's. The
result, RUN/all.safetensors, is for `benchmarks/heldout.py --plain`. An interrupted run resumes.
"""

import argparse
import shutil
from pathlib import Path

import torch
from single_network import any_patch, whole_image_objective

from omf.inference.devices import pick_device
from omf.models.checkpoints import save_network
from omf.training.loop import Plan, fit
from omf.training.patches import Patches
from omf.training.settings import read_settings
from omf.training.sources import training_source
from omf.training.train import initial_network, stage_fingerprint
from omf.utils.errors import cli_entry_point


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", type=Path)
    parser.add_argument("--demosaic", type=Path, required=True, help="weights of the Demosaic Net")
    parser.add_argument("--run", type=Path, required=True)
    arguments = parser.parse_args()
    settings, run, device = read_settings(arguments.settings), arguments.run, pick_device("auto")
    run.mkdir(parents=True, exist_ok=True)
    shutil.copy(arguments.demosaic, run / "demosaic.safetensors")
    torch.manual_seed(settings.seed)
    iterations = settings.iterations.noe + settings.iterations.oe
    plan = Plan(
        "all",
        iterations,
        settings.batch_size,
        settings.learning_rate,
        settings.warmup_iterations,
        settings.ema_decay,
        stage_fingerprint("oe", settings),
    )
    patches = Patches(
        training_source(settings, "all"),
        any_patch,
        settings.patch_size,
        iterations * settings.batch_size,
        settings.seed,
    )
    network = fit(
        initial_network("noe", settings, run),
        whole_image_objective(settings, run, device),
        patches,
        plan,
        run,
        device,
    )
    save_network(network, run / "all.safetensors")


if __name__ == "__main__":
    main()
