"""`python -m omf`, the same as the command `omf`."""

from omf.cli import main

main()
