"""Second pipeline step: reconstruct the demosaiced RAW of a shard.

No torch here; the method may import it.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from omf.inference.base import Method, Picture
from omf.pipeline.intermediate import read_picture, save_picture
from omf.pipeline.manifest import wait_for_files, write_folder_manifest
from omf.pipeline.samples import name_samples, read_once
from omf.pipeline.scene_reader import SceneReader
from omf.pipeline.stream import stream
from omf.raw.camera_colours import Carriage
from omf.raw.challenge_scenes import PatchedScene
from omf.raw.overexposure import overexposure_mask
from omf.utils.console import progress


def infer(
    decoded: Path,
    out: Path,
    method: Method,
    scenes: Mapping[str, dict] = {},
    samples: int = 0,
    carriages: Mapping[str, Carriage] = {},
    neutrals: Mapping[str, Sequence[float] | None] = {},
) -> dict:
    """Reconstruct a shard: `decoded`/NAME.tif -> `out`/NAME.tif, demosaiced RAW, float32 (H, W, 3) in [0, 1].

    Args:
        scenes: records of the scenes, from `preprocess`.
        samples: as in config.yaml.
        carriages: by name, to other cameras than the model's.
        neutrals: by name, R/G and B/G of a grey in the RAW of photos that tell it.

    Returns:
        {"images": number of images written, "seconds": time without start-up and loading of weights,
        "megapixels": total size, "expected": {name: see `Expected`}, without samples, for methods that can
        tell, "problems": one line for each image that could not be reconstructed}.

    Raises:
        InputError: files of `decoded`, which `preprocess` wrote, are missing or incomplete.
    """
    out.mkdir(parents=True, exist_ok=True)
    names = [path.stem for path in wait_for_files(decoded)]
    # a patch is missing if its file was removed while `preprocess` read the scene
    patches = {
        scene: record["patches"] for scene, record in scenes.items() if {*record["patches"]} <= {*names}
    }
    reader = SceneReader(
        names,
        patches,
        lambda name: read_picture(decoded / f"{name}.tif"),
        lambda scene, pictures: PatchedScene(pictures, scenes[scene]["curves"], scenes[scene]["photos"]),
    )
    photo_of = name_samples({name: name for name in reader.names}, samples)
    read_photo = read_once(reader) if samples else reader
    done: list[int] = []  # pixels of each image
    expected: dict[str, dict] = {}
    problems = []

    def read(name: str) -> Picture:
        rgb, whole = read_photo(photo_of[name])
        neutral, carriage = (known.get(photo_of[name]) for known in (neutrals, carriages))
        return Picture(
            rgb,
            overexposure_mask(rgb),
            name,
            neutral=neutral and tuple(neutral),
            whole=whole,
            is_sample=samples > 0,
            carriage=carriage,
        )

    def write(picture: Picture, raw: np.ndarray) -> None:
        save_picture(out / f"{picture.name}.tif", raw)
        done.append(picture.mask.size)
        if not samples and (told := method.expected(picture)):
            expected[picture.name] = told._asdict()

    start = time.perf_counter()
    steps = stream(photo_of, read, method.demosaiced, write, method.pixels_per_batch)
    for _, problem in progress(steps, "reconstructing", total=len(photo_of), unit="image"):
        if problem:
            problems.append(str(problem))
    seconds = round(time.perf_counter() - start, 4)
    write_folder_manifest(out)
    return {
        "images": len(done),
        "seconds": seconds,
        "megapixels": round(sum(done) / 1e6, 4),
        "expected": expected,
        "problems": problems,
    }
