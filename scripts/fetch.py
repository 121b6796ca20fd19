"""Download the weights of one network of a listed model."""

import argparse

import omf.utils.program  # noqa: F401 - before all that takes long
from omf.models.download import fetch
from omf.models.registry import find_model
from omf.utils.errors import cli_entry_point


@cli_entry_point
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("branch", choices=["oe", "noe", "base"])
    arguments = parser.parse_args()
    model = find_model(arguments.model)
    fetch(getattr(model, arguments.branch), model.name)


if __name__ == "__main__":
    main()
