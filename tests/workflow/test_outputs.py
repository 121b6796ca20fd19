"""docs/outputs.md names every file and field that a run leaves, and none that is not there."""

import csv
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, snakemake

from omf.evaluation.scores import FULL_REFERENCE_METRICS, NO_REFERENCE_METRICS

PAGE = (ROOT / "docs" / "outputs.md").read_text()
WILDCARDS = {  # in the page's names of files
    "NAME": "[^/.]+",
    "SHARD": "s[01]*",
    "STEP": "(preprocess|infer|mosaic|evaluate)",
    "GROUP": "(worst|median|best)",
    "RANK": "[123]",
    "WHAT": "[a-z_]+",
}
RECORDS = [
    *("submission/scores.json", "submission/summary.json", "submission/provenance.json"),
    *(
        "results/photos/SHARD.json",
        "results/timing/SHARD.json",
        "results/written/SHARD.json",
        "results/scores/SHARD.json",
    ),
]


def section(heading: str) -> str:
    """The page's text below a heading."""
    return re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]


def named(text: str, column: str) -> list[str]:
    """What stands in backquotes in the first column of the tables with this heading."""
    tables = re.findall(rf"^\| {column} \|[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)", text, re.MULTILINE)
    return [
        name
        for table in tables
        for row in table.splitlines()
        for name in re.findall("`([^`]+)`", row.split(" | ")[0])
    ]


SCORE = named(section("`submission/scores.json`"), "score")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run with two photos, one of them without overexposed pixels, by the method that needs no time."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "photos").mkdir()
    for name in ("hills.jpg", "leaves_odd.jpg"):
        shutil.copy(ROOT / "test_rgb" / name, folder / "photos")
    result = snakemake(
        folder, images="photos", ground_truth=ROOT / "test_raw", model="unprocess", device="cpu"
    )
    assert result.returncode == 0, result.stderr
    return folder


def test_the_files_of_a_run(run):
    patterns = named(section("Of a run: `submission/`") + section("Of a run: `results/`"), "file")
    between = [
        pattern for pattern in patterns if pattern.startswith(("results/decoded/", "results/demosaiced/"))
    ]
    there = [
        str(path.relative_to(run))
        for folder in ("submission", "results")
        for path in (run / folder).rglob("*")
        if path.is_file()
    ]
    expressions = {pattern: as_expression(pattern) for pattern in patterns if pattern not in between}
    for file in there:
        assert any(expression.fullmatch(file) for expression in expressions.values()), (
            f"{file} is not on the page"
        )
    for pattern, expression in expressions.items():
        assert any(expression.fullmatch(file) for file in there), f"{pattern} is on the page and was not left"
    assert len(between) == 2


def as_expression(pattern: str) -> re.Pattern:
    parts = re.split(f"({'|'.join(WILDCARDS)})", pattern)
    return re.compile("".join(WILDCARDS.get(part, re.escape(part)) for part in parts))


def fields(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of each value that is no object; those of a list of objects have `[]` in theirs."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from fields(inner, (*path, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inner in value:
            yield from fields(inner, (*path[:-1], f"{path[-1]}[]"))
    else:
        yield path


@pytest.mark.parametrize("record", RECORDS)
def test_the_fields_of_a_record(run, record):
    (file,) = (run / record).parent.glob(Path(record).name.replace("SHARD", "s*"))
    there = set(fields(json.loads(file.read_text())))
    patterns = named(section(f"`{record}`"), "field")
    known = [
        tuple(full.split("."))
        for name in patterns
        for full in ([name] if "SCORE" not in name else spelt_out(name))
    ]
    unknown = [path for path in there if not any(matches(path, pattern) for pattern in known)]
    assert not unknown, f"{unknown} of {record} are not on the page"
    absent = [pattern for pattern in known if not any(matches(path, pattern) for path in there)]
    # of a method without weights there are no hashes
    assert [pattern for pattern in absent if pattern != ("weights", "NAME")] == [], (
        f"on the page, but not in {record}"
    )


def spelt_out(name: str) -> list[str]:
    return [name.replace("SCORE", score) for score in SCORE]


def matches(path: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    return len(path) == len(pattern) and all(wanted in ("NAME", part) for part, wanted in zip(path, pattern))


def test_the_scores_and_their_order(run):
    with (run / "submission" / "scores.csv").open(newline="") as file:
        header = next(csv.reader(file))
    assert header == ["name", *FULL_REFERENCE_METRICS, *NO_REFERENCE_METRICS, "warnings"]
    assert header[1:-1] == SCORE
    explained = named((ROOT / "docs" / "scores.md").read_text(), "column")
    assert sorted(explained) == sorted(header[1:])
