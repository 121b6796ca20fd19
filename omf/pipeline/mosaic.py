"""Third pipeline step: mosaic a shard and write it in the output formats. No torch here."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from omf.io.raw_formats import Writer
from omf.pipeline.intermediate import read_picture
from omf.pipeline.manifest import wait_for_files, write_folder_manifest
from omf.pipeline.stream import IMAGE_ERRORS, as_input_error
from omf.raw.camera import Camera
from omf.utils.console import progress


def write_mosaics(
    demosaiced: Path,
    writers: Sequence[Writer],
    photos: Mapping[str, Path],
    curves: Mapping[str, int] = {},
    cameras: Mapping[str, Camera] = {},
) -> list[str]:
    """Write a shard of demosaiced RAW, NAME.tif, float32 (H, W, 3), in the format of each writer.

    Args:
        demosaiced: folder that `infer` wrote.
        writers: one writer for each output format.
        photos: photo files by name of the RAW.
        curves: extra curves by name of the RAW, see `curves_of_patches`.
        cameras: by name of the RAW, cameras other than the model's.

    Returns:
        One line for each image and format that could not be written.

    Raises:
        InputError: files of `demosaiced` are missing or incomplete.
    """
    problems = []
    for writer in writers:
        writer.folder.mkdir(parents=True, exist_ok=True)
    for path in progress(wait_for_files(demosaiced), "mosaic", unit="image"):
        raw = read_picture(path)
        for write in writers:
            try:
                curve, camera = curves.get(path.stem), cameras.get(path.stem)
                write(path.stem, photos[path.stem], raw, curve=curve, camera=camera)
            except IMAGE_ERRORS as error:
                problems.append(str(as_input_error(path.stem, error)))
    for writer in writers:
        write_folder_manifest(writer.folder)
    return problems
