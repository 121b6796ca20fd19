"""Removal of large folders that no test waits for."""

import subprocess
from pathlib import Path


def remove_in_background(folder: Path) -> None:
    """Remove a folder in a process that outlives this one: files of an image can take a disk minutes."""
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    subprocess.Popen(["rm", "-rf", "--one-file-system", folder], start_new_session=True, **streams)
