"""Entry point of `python -m omf`, equivalent to the command `omf`."""

from omf.cli import main

main()
