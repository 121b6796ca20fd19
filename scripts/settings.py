"""Write the settings of a training to a file, which changes only when they do."""

import argparse
import json
from pathlib import Path

from omf.models.registry import check_name
from omf.training.settings import as_dict, check_folders, settings_from
from omf.utils.errors import cli_entry_point
from omf.utils.files import save_json


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", help="JSON")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    settings = settings_from(json.loads(arguments.settings))
    check_name(settings.name)  # these now, and not after hours of training
    check_folders(settings)
    save_json(arguments.out, as_dict(settings))


if __name__ == "__main__":
    main()
