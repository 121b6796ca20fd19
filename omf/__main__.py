"""Entry point of the command `omf` and of `python -m omf`."""

import omf.utils.program  # noqa: F401 - before all that takes long


def start() -> None:
    from omf.cli import main

    main()


if __name__ == "__main__":
    start()
