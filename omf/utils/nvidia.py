"""Queries to NVIDIA's driver. No torch here."""

import os
import subprocess


def query_gpus(*columns: str) -> list[list[str]]:
    """Ask nvidia-smi about the GPUs of this machine, visible to this process or not.

    Args:
        columns: properties, see `nvidia-smi --help-query-gpu`; memory in MiB.

    Returns:
        The values of each GPU; empty without GPU, driver or nvidia-smi.
    """
    command = ("nvidia-smi", f"--query-gpu={','.join(columns)}", "--format=csv,noheader,nounits")
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [[value.strip() for value in line.split(",")] for line in listed.splitlines() if line.strip()]


def count_gpus() -> int:
    """Return the number of GPUs that CUDA_VISIBLE_DEVICES leaves visible, of those of this machine."""
    count = len(query_gpus("uuid"))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return count
    return min(count, sum(bool(name.strip()) for name in visible.split(",")))
