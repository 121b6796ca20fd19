"""Assignment of images to shards, the batches of a workflow's jobs."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence


def assign_shards(
    names: Iterable[str], size: int, scenes: Mapping[str, Sequence[str]] = {}
) -> dict[str, list[str]]:
    """Split names into shards of at most `size` names, or of one scene that has more.

    The hash of a name determines its shard: all names start in the shard `s`, and a shard that is too
    large is split by the next bit of the hash into `...0` and `...1`. A new name therefore changes only
    its own shard, whatever the other names are, unless it completes a scene.

    Args:
        names: unique names.
        size: maximum number of names in a shard, 1 or more.
        scenes: {scene: names that share a shard}; the hash of the scene determines it.

    Returns:
        {shard: sorted names}, without empty shards.
    """
    scene_of = {name: scene for scene, patches in scenes.items() for name in patches}
    return split_shard({name: scene_of.get(name, name) for name in sorted(names)}, size, "s")


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
