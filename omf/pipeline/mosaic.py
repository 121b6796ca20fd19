"""Third pipeline step: mosaic a shard and write it in the output formats. No torch here."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from omf.io.raw_formats import Writer
from omf.io.tar_shards import sample_name, write_tar
from omf.pipeline.intermediate import read_picture
from omf.pipeline.manifest import wait_for_files, write_file_manifest, write_folder_manifest
from omf.pipeline.stream import IMAGE_ERRORS, as_input_error
from omf.pipeline.tar_writer import TarWriter
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
    for writer in writers:
        writer.folder.mkdir(parents=True, exist_ok=True)
    problems = write_each(demosaiced, writers, photos, curves, cameras)
    for writer in writers:
        write_folder_manifest(writer.folder)
    return problems


def write_tar_shard(
    tar: Path,
    facts: Mapping[str, dict],
    include_photos: bool,
    demosaiced: Path,
    writers: Sequence[Writer],
    photos: Mapping[str, Path],
    curves: Mapping[str, int],
    cameras: Mapping[str, Camera],
) -> dict:
    """Write a shard of demosaiced RAW to a tar of samples, and its manifest.

    Args:
        tar: file to write.
        facts: by name of the RAW, what else its .json contains.
        include_photos: True to add the photos.
        demosaiced: this and the following as in `write_mosaics`, with one writer.

    Returns:
        {"problems": one line for each image that could not be written, "index": rows of
        `omf.pipeline.submission.INDEX_COLUMNS`}.
    """
    tar.parent.mkdir(parents=True, exist_ok=True)
    with write_tar(tar) as shard:
        (writer,) = writers
        writers = [TarWriter(shard, writer, facts, include_photos)]
        problems = write_each(demosaiced, writers, photos, curves, cameras)
    write_file_manifest(tar)
    raws = [member for member in shard.members if member.file.endswith(writer.format.suffix)]
    return {"problems": problems, "index": [[sample_name(raw.file), tar.name, *raw] for raw in raws]}


def write_each(
    demosaiced: Path,
    writers: Sequence[Writer | TarWriter],
    photos: Mapping[str, Path],
    curves: Mapping[str, int],
    cameras: Mapping[str, Camera],
) -> list[str]:
    """Pass the demosaiced RAW of each photo to the writers; see `write_mosaics`."""
    problems = []
    for path in progress(wait_for_files(demosaiced), "mosaic", unit="image"):
        raw = read_picture(path)
        for write in writers:
            try:
                curve, camera = curves.get(path.stem), cameras.get(path.stem)
                write(path.stem, photos[path.stem], raw, curve=curve, camera=camera)
            except IMAGE_ERRORS as error:
                problems.append(str(as_input_error(path.stem, error)))
    return problems
