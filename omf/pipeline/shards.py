"""Assignment of images to shards, the batches of a workflow's jobs."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from omf.utils.errors import printable

SHARD = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"  # names of shards, as a regular expression


def assign_shards(
    names: Iterable[str], size: int, scenes: Mapping[str, Sequence[str]] = {}
) -> dict[str, list[str]]:
    """Split names into shards of at most `size` names, or of one scene that has more.

    The hash of a name determines its shard: all names start in the shard `s`, and a shard that is too
    large is split by the next bit of the hash into `...0` and `...1`. A new name therefore changes only
    its own shard, whatever the other names are, unless it completes a scene.

    Args:
        scenes: {scene: names that share a shard}; the hash of the scene determines it.

    Returns:
        {shard: sorted names}, without empty shards.
    """
    scene_of = {name: scene for scene, patches in scenes.items() for name in patches}
    return split_shard({name: scene_of.get(name, name) for name in sorted(names)}, size, "s")


def name_tars(tars: Iterable[Path]) -> tuple[dict[str, Path], list[str]]:
    """Make each tar a shard of its name; a line for each whose name can't be one."""
    shards: dict[str, Path] = {}
    problems = []
    for tar in tars:
        if not re.fullmatch(SHARD, tar.stem) or re.fullmatch("s[01]*", tar.stem):
            problems.append(printable(f"{tar}: no name of a shard; rename it to such as photos-00000.tar"))
        elif (first := shards.setdefault(tar.stem, tar)) != tar:
            problems.append(f"{tar}: would become the shard {tar.stem}, as {first} does; rename one")
    return shards, problems


def split_shard(hashed: Mapping[str, str], size: int, shard: str) -> dict[str, list[str]]:
    """Split a shard, {name: text that is hashed}, by the bit that the length of its own name tells."""
    if len(hashed) <= size or len({*hashed.values()}) == 1:
        return {shard: list(hashed)} if hashed else {}
    halves: dict[str, dict[str, str]] = {"0": {}, "1": {}}
    for name, text in hashed.items():
        halves[hash_bits(text)[len(shard) - 1]][name] = text
    return split_shard(halves["0"], size, f"{shard}0") | split_shard(halves["1"], size, f"{shard}1")


def hash_bits(name: str) -> str:
    """Return the SHA-256 of a name as 256 characters 0 or 1, the same on every machine."""
    return f"{int(hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest(), 16):0256b}"
