"""Check the settings of a training and write them to a file that changes only when they do."""

import argparse
from pathlib import Path

import omf.utils.program  # noqa: F401 - before all that takes long
from omf.models.registry import check_free_name
from omf.training.settings import check_folders, read_settings
from omf.utils.errors import cli_entry_point
from omf.utils.files import save_json


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=Path, help="YAML or JSON")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    settings = read_settings(arguments.settings)
    check_free_name(settings.name)  # now, and not after hours of training
    check_folders(settings)
    save_json(arguments.out, settings.model_dump())


if __name__ == "__main__":
    main()
