"""Assignment of images to shards."""

from hypothesis import given
from hypothesis import strategies as st

from omf.pipeline.shards import assign_shards

NAMES = st.sets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), max_size=60)


@given(NAMES, st.integers(1, 10))
def test_every_name_is_in_exactly_one_shard_of_limited_size(names, size):
    shards = assign_shards(names, size)
    assert sorted(name for members in shards.values() for name in members) == sorted(names)
    assert all(1 <= len(members) <= size for members in shards.values())


@given(NAMES, st.integers(1, 10), st.text("abc", min_size=9, max_size=12))
def test_a_new_name_changes_its_own_shard_only(names, size, new):
    before, after = assign_shards(names, size), assign_shards(names | {new}, size)
    changed = [members for shard, members in before.items() if after.get(shard) != members]
    assert len(changed) <= 1


@given(NAMES)
def test_the_order_does_not_matter(names):
    assert assign_shards(sorted(names), 4) == assign_shards(sorted(names, reverse=True), 4)


def test_thousands_of_images_make_few_shards():
    shards = assign_shards((f"{scene}_{crop}" for scene in range(200) for crop in range(48)), 64)
    assert 9600 / 64 <= len(shards) <= 300
