"""The whole way of an image in one process, for people who don't want a workflow."""

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from omf.bayer import to_challenge_format
from omf.errors import InputError
from omf.files import save_npy
from omf.stages import Fuse, by_name, decode


def predict(photos: Iterable[Path], out: Path, fuse: Fuse) -> list[str]:
    """The whole way in one process: photos -> `out`/NAME.npy. Returns a line for each that can't be used."""
    named, problems = by_name(photos)
    with tqdm(named.items(), unit="image", disable=None) as progress:
        for name, photo in progress:
            try:
                rgb, mask = decode(photo)
            except InputError as error:
                problems.append(str(error))
                continue
            save_npy(out / f"{name}.npy", to_challenge_format(fuse(rgb, mask)))
    return problems
