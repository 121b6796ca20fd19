"""Assignment of images to shards, the batches of a workflow's jobs."""

import hashlib
from collections.abc import Iterable


def assign_shards(names: Iterable[str], size: int) -> dict[str, list[str]]:
    """Split names into shards of at most `size` names.

    The hash of a name determines its shard: all names start in the shard `s`, and a shard that is too
    large is split by the next bit of the hash into `...0` and `...1`. A new name therefore changes only
    its own shard, whatever the other names are.

    Args:
        names: unique names.
        size: maximum number of names in a shard, 1 or more.

    Returns:
        {shard: sorted names}, without empty shards.
    """
    shards: dict[str, list[str]] = {}

    def split(shard: str, members: list[str], depth: int) -> None:
        if len(members) <= size or depth == 256:
            if members:
                shards[shard] = sorted(members)
            return
        for bit in "01":
            split(shard + bit, [name for name in members if hash_bits(name)[depth] == bit], depth + 1)

    split("s", list(names), 0)
    return shards


def hash_bits(name: str) -> str:
    """Return the SHA-256 of a name as 256 characters 0 or 1, the same on every machine."""
    return f"{int(hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest(), 16):0256b}"
