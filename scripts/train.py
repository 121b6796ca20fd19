"""Train one network of a model; resumes an interrupted run. Under torchrun, on several GPUs."""

import argparse
from pathlib import Path

from omf.inference.devices import pick_device
from omf.training.loop import start_processes
from omf.training.settings import STAGES, read_settings
from omf.training.train import train_stage
from omf.utils.errors import cli_entry_point


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument(
        "--settings", type=Path, required=True, help="in the folder that gets weights, log and checkpoints"
    )
    parser.add_argument("--device", required=True)
    arguments = parser.parse_args()
    start_processes()
    train_stage(
        arguments.stage,
        read_settings(arguments.settings),
        arguments.settings.parent,
        pick_device(arguments.device),
    )


if __name__ == "__main__":
    main()
