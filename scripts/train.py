"""Train one network of a model; resumes an interrupted run. Under torchrun, on several GPUs."""

import argparse
from pathlib import Path

import omf.utils.program  # noqa: F401 - before all that takes long
from omf.inference.devices import pick_device
from omf.training.loop import process_group
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
    settings, device = read_settings(arguments.settings), pick_device(arguments.device, own_process=True)
    with process_group(device):
        train_stage(arguments.stage, settings, arguments.settings.parent, device)


if __name__ == "__main__":
    main()
