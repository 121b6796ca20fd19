"""The third step: mosaic a shard and write it in its formats. No torch here."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from omf.io.raw_formats import Writer
from omf.pipeline.manifest import wait_for_files, write_folder_manifest
from omf.pipeline.stream import OF_A_PICTURE, as_input_error
from omf.utils.console import progress


def write_mosaics(demosaiced: Path, writers: Sequence[Writer]) -> list[str]:
    """Write a shard, NAME.npy float32 (H, W, 3), in one or more formats.

    Returns:
        A line for each picture that could not be written in a format.
    """
    problems = []
    for writer in writers:
        writer.folder.mkdir(parents=True, exist_ok=True)
    for path in progress(wait_for_files(demosaiced), "mosaic", unit="image"):
        raw = np.load(path)
        for write in writers:
            try:
                write(path.stem, raw)
            except OF_A_PICTURE as error:
                problems.append(str(as_input_error(path.stem, error)))
    for writer in writers:
        write_folder_manifest(writer.folder)
    return problems
