"""Train one plain network for all pixels, for comparison: same settings, data and start as a model, NOE's and OE's steps together.

    python benchmarks/plain.py trained_models/samsung_s7/training.yaml --demosaic trained_models/samsung_s7/demosaic.safetensors --run RUN

leaves RUN/all.safetensors, for `benchmarks/heldout.py --plain`. A run that was cut off goes on.
"""

import argparse
import shutil
from pathlib import Path

import torch

from omf.inference.devices import pick_device
from omf.models.checkpoints import save_network
from omf.training.loop import Plan, fit
from omf.training.patches import Patches
from omf.training.settings import read_settings
from omf.training.sources import training_source
from omf.training.train import branch_objective, fingerprint_of, first_weights
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
    steps = settings.steps.noe + settings.steps.oe
    fingerprint = fingerprint_of("oe", settings)
    plan = Plan(
        "all", steps, settings.batch, settings.learning_rate, settings.warm_up, settings.ema, fingerprint
    )
    patches = Patches(
        training_source(settings, "all"),
        "all",
        settings.patch,
        steps * settings.batch,
        settings.seed,
        settings.even_brightness,
    )
    network = fit(
        first_weights("noe", settings, run),
        branch_objective("all", settings, run, device),
        patches,
        plan,
        run,
        device,
    )
    save_network(network, run / "all.safetensors")


if __name__ == "__main__":
    main()
