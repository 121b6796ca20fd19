"""Assignment of images to shards."""

from hypothesis import given
from hypothesis import strategies as st

from omf.pipeline.shards import assign_shards

NAMES = st.sets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), max_size=60)


@given(NAMES, st.integers(1, 10), st.text("abc", min_size=9, max_size=12))
def test_shards(names, size, new):
    """Each name is in one shard of limited size, in any order; a new name changes its own shard only."""
    shards = assign_shards(sorted(names), size)
    assert shards == assign_shards(sorted(names, reverse=True), size)
    assert sorted(name for members in shards.values() for name in members) == sorted(names)
    assert all(1 <= len(members) <= size for members in shards.values())
    after = assign_shards(names | {new}, size)
    assert len([shard for shard, members in shards.items() if after.get(shard) != members]) <= 1


def test_thousands_of_images_make_few_shards():
    shards = assign_shards((f"{scene}_{crop}" for scene in range(200) for crop in range(48)), 64)
    assert 9600 / 64 <= len(shards) <= 300


@given(NAMES, st.integers(1, 10), st.lists(st.text("abc", min_size=3, max_size=4), max_size=3, unique=True))
def test_a_scene_is_in_one_shard(names, size, scenes):
    patches = {scene: [f"{scene}_{number}" for number in range(12)] for scene in scenes}
    names |= {name for scene in patches.values() for name in scene}
    shards = assign_shards(names, size, patches)
    assert shards == assign_shards(sorted(names, reverse=True), size, patches)
    assert sorted(name for members in shards.values() for name in members) == sorted(names)
    for scene in patches.values():
        assert sum(not set(scene).isdisjoint(members) for members in shards.values()) == 1
    for members in shards.values():
        assert len(members) <= size or len({name.rpartition("_")[0] or name for name in members}) == 1
