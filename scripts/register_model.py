"""Register a finished training as a model of the user's: weights, model card, entry in the list."""

import argparse
from pathlib import Path

import omf.utils.program  # noqa: F401 - before all that takes long
from omf.training.register import register_trained_model
from omf.training.settings import read_settings
from omf.utils.errors import cli_entry_point
from omf.utils.written import RUN_COMMAND, begin_command


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="in the folder of a finished training")
    arguments = parser.parse_args()
    begin_command(RUN_COMMAND)
    settings = read_settings(arguments.settings)
    register_trained_model(arguments.settings.parent, settings)
    print(f"model {settings.name} is ready: ./test --config model={settings.name}")


if __name__ == "__main__":
    main()
