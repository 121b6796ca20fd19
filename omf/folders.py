"""Where the files that come with the program are."""

from pathlib import Path

PACKAGE = Path(__file__).parent


def data_folder(name: str) -> Path:
    """The folder `trained_models` or `cameras`: of the checkout, or inside an installed package."""
    in_package = PACKAGE / name
    return in_package if in_package.is_dir() else PACKAGE.parent / name
