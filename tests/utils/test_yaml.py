"""Bounds of the YAML parser, and changes of a list."""

import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from omf.utils.yaml import MAX_NESTING, MAX_VALUES, check_tree, parse_names, parse_yaml, set_entry


def test_aliases_and_merged_mappings_are_read():
    tree = parse_yaml("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2.5}")
    assert tree == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2.5}}


BOMB = ", ".join(["&a0 [x]", *(f"&a{n} [{f'*a{n - 1}, ' * 10}]" for n in range(1, 10))])
MERGED = ", ".join(["&k0 {x: 1}", *(f"&k{n} {{<<: [*k{n - 1}, *k{n - 1}]}}" for n in range(1, 40))])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"[{BOMB}]", "more than"),
        (f"[{MERGED}]", "more than"),
        ("&r [*r]", "levels"),
        ("[" * (MAX_NESTING + 2) + "]" * (MAX_NESTING + 2), "levels"),
        ("[" * 100_000, "levels"),
        ("a: .nan", "the number nan"),
        ("a: 0x" + "f" * 5000, "63 bits"),
        ("a: 2001-99-99", "month"),
        ("a: !!bool x", "x"),
        ("a: !!timestamp x", "."),
        ("{[a]: b}", "constructing a mapping"),
        ('"\\U7fffffff"', "chr"),
        ("!!python/name:os.system", "could not determine a constructor"),
    ],
)
def test_invalid_or_unbounded_yaml_is_reported_on_one_line(text, message):
    started = time.perf_counter()
    with pytest.raises(ValueError, match=message) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)
    assert time.perf_counter() - started < 10


def test_long_lists_are_within_bounds():
    check_tree(list(range(MAX_VALUES - 1)))
    with pytest.raises(ValueError, match="values"):
        check_tree(list(range(MAX_VALUES)))


NAMES = st.sampled_from(["2024", "on", "null", "~", "1e3", "<<", "=", "- a"]) | st.text(min_size=1)
VALUES = st.dictionaries(st.sampled_from("ab"), st.text(max_size=9) | st.integers(0, 9) | st.none())


@given(st.dictionaries(NAMES, VALUES, max_size=4), NAMES, VALUES, st.booleans(), st.data())
def test_an_entry_is_set_and_the_others_stay(entries, name, value, in_braces, data):
    text = "# by hand\n" + yaml.safe_dump(entries, default_flow_style=in_braces, sort_keys=False)
    again = data.draw(st.sampled_from([name, *entries]))
    for key in (name, again):
        text = set_entry(text, key, value)
        entries = entries | {key: value}
        assert parse_names(text) == entries
    assert text == set_entry(text, again, value)
