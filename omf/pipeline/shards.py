"""Which images are worked on together."""

import hashlib
from collections.abc import Iterable


def assign_shards(names: Iterable[str], size: int) -> dict[str, list[str]]:
    """Split names into shards of at most `size`.

    A name's place follows from its hash: all names start in the shard `s`; one that is too large is
    split by the next bit of the hash into `...0` and `...1`. So a new name changes its own shard only,
    whatever the others are.

    Returns:
        {shard: sorted names}, no shard empty.
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
    """256 bits that look random and are the same on every machine."""
    return f"{int(hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest(), 16):0256b}"
