"""Write the RAW of a shard to a tar of samples. No torch here."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from omf.io.images import read_rgb
from omf.io.local_files import local_file
from omf.io.raw_formats import Writer
from omf.io.tar_shards import TarShard
from omf.raw.camera import Camera
from omf.raw.extra_curves import invert_curve


@dataclass(frozen=True)
class TarWriter:
    """Writer of samples: NAME.npy or NAME.dng, NAME.json, and the photo if it is asked for."""

    shard: TarShard
    writer: Writer  # of the RAW; its folder is not used
    facts: Mapping[str, dict]  # by name of the RAW: what else the .json contains
    include_photos: bool = False

    def __call__(
        self,
        name: str,
        photo: Path,
        raw: np.ndarray,
        curve: int | None = None,
        camera: Camera | None = None,
    ) -> None:
        """Append the RAW of a photo; arguments and errors are those of `Writer`."""
        from omf.raw.photo_profile import photo_colours  # SciPy's solver takes long to load

        raw_format = self.writer.format
        with tempfile.TemporaryDirectory(prefix="omf-") as folder, local_file(photo) as file:
            rgb = read_rgb(file) if curve is None else invert_curve(read_rgb(file), curve)
            writer = replace(self.writer, folder=Path(folder), scratch=True)
            writer(name, file, raw, rgb, camera=camera)
            files = {raw_format.suffix: Path(folder, f"{name}{raw_format.suffix}").read_bytes()}
            if self.include_photos:
                files[photo.suffix.lower()] = file.read_bytes()
        colours = photo_colours(raw, rgb, camera or self.writer.camera)
        facts = {
            "name": name,
            "photo": photo.name,
            "height": raw.shape[0],
            "width": raw.shape[1],
            "neutral": [round(float(value), 6) for value in colours.neutral],
            "baseline_exposure": round(colours.stops, 6),
        }
        levels = self.writer.metadata(camera or self.writer.camera)
        self.shard.add_sample(name, files, facts | levels | self.facts.get(name, {}))
