"""Reconstruction of photos in one process, without a workflow."""

from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path

import numpy as np

from omf.inference.base import Method, Picture
from omf.io.cameras import cameras_line, carriage_to, neutrals_line
from omf.io.images import read_rgb
from omf.io.photos import map_by_name
from omf.io.raw_formats import RawFormat, Writer
from omf.pipeline.samples import name_samples, read_once
from omf.pipeline.scene_reader import SceneReader
from omf.pipeline.stream import stream
from omf.raw.camera import Camera
from omf.raw.camera_colours import Carriage
from omf.raw.challenge_scenes import complete_scenes, scene_line, summarise_scene
from omf.raw.overexposure import overexposure_mask
from omf.utils.console import log, progress


def predict(
    photos: Iterable[Path],
    method: Method,
    writer: Writer,
    neutral: tuple[float, float] | None = None,
    exposure: float = 1.0,
    scenes: str = "auto",
    others: Iterable[Path] = (),
    samples: int = 0,
    asked_camera: Callable[[Path], str] | None = None,
    noted_neutral: Callable[[Path, Camera], tuple[float, float] | None] | None = None,
) -> list[str]:
    """Reconstruct photos in one process.

    Args:
        writer: writer of the RAW files; its camera is the model's own.
        neutral: R/G and B/G of a grey in the RAW of all photos, if they are known.
        exposure: factor on the RAW that the method would predict.
        scenes: as in config.yaml.
        others: photos that are not reconstructed, but may be patches of the same scenes.
        samples: as in config.yaml.
        asked_camera: see `omf.io.cameras.asked_camera`; None: the RAW of all is the model's own.
        noted_neutral: see `omf.io.cameras.noted_neutral`; None: not asked for.

    Returns:
        One line for each photo that could not be used.
    """
    named, problems = map_by_name(photos)
    files = map_by_name(others)[0] | named
    patches = complete_scenes(files) if scenes == "auto" else {}
    reader = SceneReader(named, patches, lambda name: read_rgb(files[name]))
    photo_of = name_samples({name: name for name in reader.names}, samples)
    read_photo = read_once(reader) if samples else reader
    cameras: dict[str, str] = {}  # by photo
    neutrals: dict[str, tuple[float, float] | None] = {}  # by photo, noted ones
    carriage_of = cache(partial(carriage_to, writer.camera))

    @cache  # once for all samples of a photo
    def facts(photo: str) -> tuple[Carriage | None, tuple[float, float] | None]:
        """Return the carriage of a photo's RAW, and its neutral if it is known."""
        cameras[photo] = asked_camera(named[photo]) if asked_camera else ""
        carriage = carriage_of(cameras[photo])
        if noted_neutral is None:
            return carriage, neutral
        neutrals[photo] = noted_neutral(named[photo], carriage.target if carriage else writer.camera)
        return carriage, neutrals[photo]

    # the method itself converts to the plain format, on its device
    submit = method.packed if writer.format == RawFormat() else method.demosaiced

    def read(name: str) -> Picture:
        rgb, whole = read_photo(photo_of[name])
        carriage, known = facts(photo_of[name])
        mask = overexposure_mask(rgb)
        return Picture(rgb, mask, name, known, exposure, whole, samples > 0, carriage)

    def write(picture: Picture, raw: np.ndarray) -> None:
        camera = picture.carriage.target if picture.carriage else None
        writer(picture.name, named[photo_of[picture.name]], raw, picture.rgb, camera=camera)

    steps = stream(photo_of, read, submit, write, method.pixels_per_batch)
    failed: dict[str, str] = {}  # the first problem of each photo, since its samples have the same
    for name, problem in progress(steps, total=len(photo_of), unit="image"):
        log.debug(f"{named[photo_of[name]]}: {'not used' if problem else 'done'}")
        if problem:
            failed.setdefault(photo_of[name], str(problem))
    for scene, record in sorted(reader.records.items()):
        log.info(scene_line(scene, summarise_scene(record)))
    if asked_camera:
        log.info(cameras_line(cameras, writer.camera.name))
    if noted_neutral:
        log.info(neutrals_line(neutrals))
    return problems + list(failed.values())
