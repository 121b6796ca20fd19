"""Assignment of images to shards, the batches of a workflow's jobs."""

import hashlib
from collections.abc import Iterable


def assign_shards(names: Iterable[str], size: int, shard: str = "s") -> dict[str, list[str]]:
    """Split names into shards of at most `size` names.

    The hash of a name determines its shard: all names start in the shard `s`, and a shard that is too
    large is split by the next bit of the hash into `...0` and `...1`. A new name therefore changes only
    its own shard, whatever the other names are.

    Args:
        names: unique names.
        size: maximum number of names in a shard, 1 or more.
        shard: name of the shard to split; its length tells the bit.

    Returns:
        {shard: sorted names}, without empty shards.
    """
    members = sorted(names)
    if len(members) <= size:
        return {shard: members} if members else {}
    halves: dict[str, list[str]] = {"0": [], "1": []}
    for name in members:
        halves[hash_bits(name)[len(shard) - 1]].append(name)
    return assign_shards(halves["0"], size, f"{shard}0") | assign_shards(halves["1"], size, f"{shard}1")


def hash_bits(name: str) -> str:
    """Return the SHA-256 of a name as 256 characters 0 or 1, the same on every machine."""
    return f"{int(hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest(), 16):0256b}"
