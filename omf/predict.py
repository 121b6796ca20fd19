"""The whole way of an image in one process, for people who don't want a workflow."""

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from omf.files import save_npy
from omf.stages import by_name, decode
from omf.stream import Method, stream


def predict(photos: Iterable[Path], out: Path, method: Method) -> list[str]:
    """The whole way in one process: photos -> `out`/NAME.npy. Returns a line for each that can't be used."""
    named, problems = by_name(photos)
    steps = stream(
        named,
        lambda name: decode(named[name]),
        method.packed,
        lambda name, raw: save_npy(out / f"{name}.npy", raw),
        method.capacity,
    )
    for _, problem in tqdm(steps, total=len(named), unit="image", disable=None):
        if problem:
            problems.append(str(problem))
    return problems
