"""Third pipeline step: mosaic a shard and write it in the output formats. No torch here."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from omf.io.images import read_rgb
from omf.io.local_files import local_file
from omf.io.raw_formats import Writer
from omf.io.tar_shards import TarShard, sample_name, write_tar
from omf.pipeline.intermediate import read_picture
from omf.pipeline.manifest import wait_for_files, write_file_manifest, write_folder_manifest
from omf.pipeline.stream import IMAGE_ERRORS, as_input_error
from omf.raw.camera import Camera
from omf.raw.extra_curves import invert_curve
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
        demosaiced: this and the following as in `write_mosaics`, with one writer, whose folder is not used.

    Returns:
        {"problems": one line for each image that could not be written, "index": rows of
        `omf.pipeline.submission.INDEX_COLUMNS`}.
    """
    tar.parent.mkdir(parents=True, exist_ok=True)
    (writer,) = writers
    with write_tar(tar) as shard:
        add = partial(add_sample, shard, writer, facts, include_photos)
        problems = write_each(demosaiced, [add], photos, curves, cameras)
    write_file_manifest(tar)
    raws = [member for member in shard.members if member.file.endswith(writer.format.suffix)]
    return {"problems": problems, "index": [[sample_name(raw.file), tar.name, *raw] for raw in raws]}


def write_each(
    demosaiced: Path,
    writers: Sequence[Callable[..., None]],
    photos: Mapping[str, Path],
    curves: Mapping[str, int],
    cameras: Mapping[str, Camera],
) -> list[str]:
    """Pass the demosaiced RAW of each photo to the writers; see `write_mosaics`."""
    problems = []
    for path in progress(wait_for_files(demosaiced), "mosaic", unit="image"):
        name, raw = path.stem, read_picture(path)
        for write in writers:
            try:
                write(name, photos[name], raw, curve=curves.get(name), camera=cameras.get(name))
            except IMAGE_ERRORS as error:
                problems.append(str(as_input_error(name, error)))
    return problems


def add_sample(
    shard: TarShard,
    writer: Writer,
    facts: Mapping[str, dict],
    include_photos: bool,
    name: str,
    photo: Path,
    raw: np.ndarray,
    curve: int | None,
    camera: Camera | None,
) -> None:
    """Append NAME.npy or NAME.dng, NAME.json and, if it is asked for, the photo to a tar; see `Writer`."""
    from omf.raw.photo_profile import photo_colours  # SciPy's solver takes long to load

    suffix, camera = writer.format.suffix, camera or writer.camera
    with tempfile.TemporaryDirectory(prefix="omf-") as folder, local_file(photo) as file:
        rgb = read_rgb(file) if curve is None else invert_curve(read_rgb(file), curve)
        replace(writer, folder=Path(folder), scratch=True)(name, file, raw, rgb, camera=camera)
        files = {suffix: Path(folder, f"{name}{suffix}").read_bytes()}
        if include_photos:
            files[photo.suffix.lower()] = file.read_bytes()
    colours = photo_colours(raw, rgb, camera)
    sample = {
        "name": name,
        "photo": photo.name,
        "height": raw.shape[0],
        "width": raw.shape[1],
        "neutral": [round(float(value), 6) for value in colours.neutral],
        "baseline_exposure": round(colours.stops, 6),
    }
    shard.add_sample(name, files, sample | writer.metadata(camera) | facts.get(name, {}))
