"""Damaged files: every reader gives a proper value or one line that names the file, in bounded time and memory."""

import tempfile
from pathlib import Path

import fuzzing
import pytest
import yaml
from conftest import ROOT
from hypothesis import example, given, settings
from hypothesis import strategies as st
from odd import BOMB, MERGED_MAPS, TREE_OF_MAPS, VALUES
from readers import READERS, check_message, check_settings
from seeds import write_seeds

from omf.io.raw_formats import CHALLENGES, FORMAT_SUFFIXES
from omf.pipeline.config import check_config
from omf.training.settings import read_settings, settings_from
from omf.utils.errors import InputError
from omf.utils.yaml import parse_yaml

SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"


def test_readers_keep_their_promise(thorough):
    cases = fuzzing.shared_out(110_000 if thorough else 1200, fuzzing.usable())
    results = fuzzing.fuzz(cases, seed=0, processes=2)
    assert {reader: len(found) for reader, found in results.items()} == cases
    assert not [
        (reader, result)
        for reader, found in results.items()
        for result in found
        if result[1] not in ("accepted", "refused")
    ]
    assert all(
        seconds < fuzzing.SECONDS and grown < fuzzing.MEMORY
        for found in results.values()
        for _, _, seconds, grown in found
    )
    for reader in cases.keys() - {"exif", "icc"}:  # which say nothing of damage
        assert "refused" in {result[1] for result in results[reader]}, reader


@pytest.mark.parametrize("reader", fuzzing.usable())
def test_the_whole_files_are_accepted(tmp_path, reader):
    """Else the damage to them would show nothing."""
    write_seeds(tmp_path, [reader])
    for whole in sorted((tmp_path / reader).iterdir()):
        path = whole.rename(tmp_path / f"whole{READERS[reader].suffix}")
        other = reader == "packed" and (
            b">u2" in path.read_bytes() or path.read_bytes()[:2] == b"PK"
        )  # big-endian, an archive
        assert fuzzing.outcome(reader, path) == ("refused" if other else "accepted"), whole.name


def test_broken_promises_are_noticed(monkeypatch):
    """And the process that breaks one is replaced."""
    monkeypatch.setenv("OMF_FUZZ_SECONDS", "2")
    monkeypatch.setattr(fuzzing, "SECONDS", 2)
    results = fuzzing.fuzz(
        dict.fromkeys(("raises", "tells", "dies", "hangs", "fills"), 2), seed=0, processes=2
    )
    assert {reader: [case for case, *_ in sorted(found)] for reader, found in results.items()} == {
        reader: [0, 1] for reader in results
    }
    for reader, words in {
        "raises": "KeyError: 'case.txt'",
        "tells": "AssertionError: not one printable line",
        "dies": "died (exit code -6)",
        "hangs": "hung for 2 s",
        "fills": "MemoryError",
    }.items():
        assert all(words in result[1] for result in results[reader]), (reader, results[reader])


def test_a_case_can_be_made_again(tmp_path):
    write_seeds(tmp_path, ["png"])
    seeds = fuzzing.seeds_of(tmp_path, "png")
    first, again, other = (
        fuzzing.write_case(seeds, "png", seed, 7, tmp_path).read_bytes() for seed in (1, 1, 2)
    )
    assert first == again != other


def names(section: dict) -> st.SearchStrategy[str]:
    return st.sampled_from([*section["properties"]]) | st.text(max_size=8)


def values(section: dict) -> st.SearchStrategy:
    """Of a setting: proper ones, its neighbours', and of any type."""
    proper = [setting["default"] for setting in section["properties"].values() if "default" in setting]
    choices = [choice for setting in section["properties"].values() for choice in setting.get("enum", [])]
    return st.sampled_from([*VALUES, *proper, *choices]) | st.integers() | st.floats() | st.text(max_size=20)


def sections(section: dict) -> st.SearchStrategy[dict]:
    inner = [sections(setting) for setting in section["properties"].values() if "properties" in setting]
    return st.dictionaries(names(section), st.one_of(values(section), *inner), max_size=6)


@given(sections(yaml.safe_load(SCHEMA.read_text())))
def test_any_settings(config):
    """What is accepted can be used, what is refused is told in one line."""
    try:
        checked = check_config(config, SCHEMA)
        check_settings(settings_from(checked["training"]))
    except InputError as error:
        check_message(error, "config")
        return
    assert checked["output_format"] in FORMAT_SUFFIXES and checked["challenge"] in CHALLENGES
    assert type(checked["shard_size"]) is int and 1 <= checked["shard_size"] <= 500


@settings(max_examples=300)
@given(
    st.text()
    | st.lists(
        st.sampled_from([*"[]{}:,-&*!|>'\"#%@`\n\t ?<~", "a", "0", ".", "e", "- ", ": ", "<<", "!!", "\n  "]),
        max_size=40,
    ).map("".join)
)
@example(BOMB)
@example(TREE_OF_MAPS)
@example(MERGED_MAPS)
@example("[" * 100_000)
def test_any_text_as_yaml(text):
    try:
        tree = parse_yaml(text)
    except ValueError as error:
        assert "\n" not in str(error) and str(error)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "settings.yaml"
        path.write_text(text)
        if not isinstance(tree, dict):
            with pytest.raises(InputError):
                read_settings(path)
