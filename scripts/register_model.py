"""Register a finished training in trained_models: weights, model card, entry in models.yaml."""

import argparse
from pathlib import Path

from omf.training.register import register_trained_model
from omf.training.settings import read_settings
from omf.utils.errors import cli_entry_point


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="in the folder of a finished training")
    parser.add_argument("--out", type=Path, required=True, help="folder that holds models.yaml")
    arguments = parser.parse_args()
    settings = read_settings(arguments.settings)
    register_trained_model(arguments.settings.parent, settings, arguments.out)
    print(f"model {settings.name} is ready: ./test --config model={settings.name}")


if __name__ == "__main__":
    main()
