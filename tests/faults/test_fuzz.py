"""Damaged files: every reader returns a valid value or a one-line error, in bounded time and memory."""

import tempfile
from pathlib import Path
from typing import get_args

import fuzzing
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from odd import BOMB, MERGED_MAPS, TREE_OF_MAPS, VALUES
from readers import READERS, check_message, check_settings
from seeds import write_seeds

from omf.pipeline.config import Config, check_config
from omf.training.settings import read_settings
from omf.utils.errors import InputError
from omf.utils.sections import Section, section_of
from omf.utils.yaml import parse_yaml


def test_readers_handle_damaged_files(thorough):
    cases = fuzzing.split_cases(110_000 if thorough else 1200, fuzzing.usable())
    results = fuzzing.fuzz(cases, seed=0, processes=2)
    assert {reader: len(outcomes) for reader, outcomes in results.items()} == cases
    every = [(reader, *result) for reader, outcomes in results.items() for result in outcomes]
    assert not [result for result in every if result[2] not in fuzzing.VALID]
    assert all(seconds < fuzzing.SECONDS and grown < fuzzing.MEMORY for *_, seconds, grown in every)
    for reader in cases.keys() - {"exif", "icc"}:  # these ignore damage
        assert "refused" in {result[1] for result in results[reader]}, reader


@pytest.mark.parametrize("reader", fuzzing.usable())
def test_undamaged_files_are_accepted(tmp_path, reader):
    """Check the seeds themselves, so that the fuzzing starts from valid files."""
    write_seeds(tmp_path, [reader])
    for seed in sorted((tmp_path / reader).iterdir()):
        path = seed.rename(tmp_path / f"undamaged{READERS[reader].suffix}")
        content = path.read_bytes()
        refused = reader == "packed" and (b">u2" in content or content[:2] == b"PK")  # big-endian, archive
        assert fuzzing.outcome(reader, path) == ("refused" if refused else "accepted"), seed.name


def test_violations_are_detected(monkeypatch):
    """Detect every kind of violation, and replace the process."""
    monkeypatch.setattr(fuzzing, "SECONDS", 2)
    faults = {
        "raises": "KeyError: 'case.txt'",
        "two_lines": "AssertionError: not one printable line",
        "dies": "died (exit code -6)",
        "hangs": "hung for 2 s",
        "fills": "MemoryError",
    }
    results = fuzzing.fuzz(dict.fromkeys(faults, 2), seed=0, processes=2)
    for reader, words in faults.items():
        assert sorted(case for case, *_ in results[reader]) == [0, 1]
        assert all(words in result[1] for result in results[reader]), (reader, results[reader])


def test_cases_are_reproducible(tmp_path):
    write_seeds(tmp_path, ["png"])
    seeds = fuzzing.load_seeds(tmp_path, "png")
    first, again, other = (
        fuzzing.write_case(seeds, "png", seed, 7, tmp_path).read_bytes() for seed in (1, 1, 2)
    )
    assert first == again != other


def names(section: type[Section]) -> st.SearchStrategy[str]:
    return st.sampled_from([*section.model_fields]) | st.text(max_size=8)


def values(section: type[Section]) -> st.SearchStrategy:
    """Return values for the settings of a section: defaults and choices of all of them, and any type."""
    fields = section.model_fields.values()
    defaults = [field.default for field in fields if not isinstance(field.default, Section)]
    choices = [choice for field in fields for choice in get_args(field.annotation) if isinstance(choice, str)]
    known = st.sampled_from([*VALUES, *defaults, *choices])
    return known | st.integers() | st.floats() | st.text(max_size=20)


def sections(section: type[Section]) -> st.SearchStrategy[dict]:
    inner = [sections(part) for name in section.model_fields if (part := section_of(section, name))]
    return st.dictionaries(names(section), st.one_of(values(section), *inner), max_size=6)


@settings(max_examples=50)
@given(sections(Config))
def test_any_settings(config):
    """Accepted settings are usable, and refused ones give one line."""
    try:
        check_settings(check_config(config))
    except InputError as error:
        check_message(error, "config")


SIGNS = [*"[]{}:,-&*!|>'\"#%@`\n\t ?<~", "a", "0", ".", "e", "- ", ": ", "<<", "!!", "\n  "]


@settings(max_examples=300)
@given(st.text() | st.lists(st.sampled_from(SIGNS), max_size=40).map("".join))
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
