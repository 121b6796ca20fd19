"""First pipeline step: decode a shard of photos. No torch here."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from omf.io.images import read_rgb
from omf.io.local_files import local_file
from omf.io.photos import map_by_name
from omf.pipeline.intermediate import save_picture
from omf.pipeline.manifest import write_folder_manifest
from omf.pipeline.scene_reader import SceneReader
from omf.utils.console import progress
from omf.utils.errors import InputError
from omf.utils.files import sha256


def preprocess(
    photos: Iterable[Path],
    out: Path,
    scenes: Mapping[str, Sequence[str]] = {},
    asked_camera: Callable[[Path], str] = lambda photo: "",
    noted_neutral: Callable[[Path, str], tuple[float, float] | None] = lambda photo, asked: None,
) -> dict:
    """Decode the photo files of a shard to `out`/NAME.tif, sRGB, without extra curves.

    Args:
        scenes: see `SceneReader`.
        asked_camera: see `omf.io.cameras.asked_camera`.
        noted_neutral: white balance that a photo tells, in the RAW of the camera asked for.

    Returns:
        {"sha256": {file name: hash of the photo file}, "scenes": records of the scenes, see `SceneReader`,
        "cameras" and "neutrals": {name: what `asked_camera` and `noted_neutral` return}, "problems": one line
        for each photo that is skipped}.
    """
    named, problems = map_by_name(photos)
    local: dict[str, Path] = {}  # the photo at hand, or its copy: it is fetched once
    reader = SceneReader(named, scenes, lambda name: read_rgb(local.get(name, named[name])))
    hashes, cameras, neutrals = {}, {}, {}
    out.mkdir(parents=True, exist_ok=True)
    for name in progress(reader.names, "decoding", unit="image"):
        photo = named[name]
        try:
            with local_file(photo) as local[name]:
                rgb, _ = reader(name)
                hashes[photo.name] = hash_photo(local[name])
                cameras[name] = asked_camera(local[name])
                neutrals[name] = noted_neutral(local[name], cameras[name])
        except InputError as error:
            problems.append(str(error))
            continue
        finally:
            local.clear()
        save_picture(out / f"{name}.tif", rgb)
    write_folder_manifest(out)
    known = {"cameras": cameras, "neutrals": neutrals}
    return {"sha256": hashes, "scenes": reader.records, **known, "problems": problems}


def hash_photo(photo: Path) -> str:
    """Return the SHA-256 of a photo file. Raises InputError if it can no longer be read."""
    try:
        return sha256(photo)
    except OSError as error:
        raise InputError(
            f"{photo}: removed while it was being processed ({error.strerror}); put it back, and run again"
        ) from error
