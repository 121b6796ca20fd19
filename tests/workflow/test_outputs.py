"""docs/outputs.md lists exactly the files and fields that a run writes."""

import csv
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from container.clones import copy_photos
from workflow_runs import finish, raw_files, read_json, svg_text

from omf.evaluation.scores import EXPECTATIONS, FULL_REFERENCE_METRICS, NO_REFERENCE_METRICS
from omf.utils.written import LIST

PAGE = (ROOT / "docs" / "outputs.md").read_text()
WILDCARDS = {  # placeholders in the page's file names
    "NAME": "[^/.]+",
    "SHARD": "s[01]*",
    "STEP": "(preprocess|infer|mosaic|evaluate)",
    "GROUP": "(worst|median|best)",
    "RANK": "[123]",
    "PLOT": "[a-z_]+",
    "HASH": "[0-9a-f]{16}",
}
NAMES = ("coffee", "leaves_odd")
RECORDS = [
    *(f"submission/{name}.json" for name in ("scores", "summary", "provenance")),
    *(f"results/{name}/SHARD.json" for name in ("photos", "timing", "written", "scores")),
]


def section(heading: str) -> str:
    """Return the page's text below a heading."""
    return re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]


def named(text: str, column: str) -> list[str]:
    """Return the names in backquotes in the first column of all tables with this column heading."""
    tables = re.findall(rf"^\| {column} \|[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)", text, re.MULTILINE)
    return [
        name
        for table in tables
        for row in table.splitlines()
        for name in re.findall("`([^`]+)`", row.split(" | ")[0])
    ]


SCORE = named(section("`submission/scores.json`"), "score")


@pytest.fixture(scope="module")
def settings(tiny_base_model) -> dict:
    truth = ROOT / "test_raw"
    return {"images": "photos", "ground_truth": truth, "model": tiny_base_model, "device": "cpu"}


@pytest.fixture(scope="module")
def run(tmp_path_factory, settings) -> Path:
    """Return a finished run of two photos, one without overexposed pixels."""
    folder = tmp_path_factory.mktemp("run")
    copy_photos(folder / "photos", [f"{name}.jpg" for name in NAMES])
    finish(folder, **settings)
    return folder


def test_the_files_of_a_run(run):
    patterns = named(section("`submission/`") + section("`results/`"), "file")
    deleted = ("results/decoded/", "results/demosaiced/")
    kept = [pattern for pattern in patterns if not pattern.startswith(deleted)]
    assert len(patterns) - len(kept) == 2
    files = [
        str(path.relative_to(run))
        for folder in ("submission", "results")
        for path in (run / folder).rglob("*")
        if path.is_file() and path.name != LIST
    ]
    expressions = {pattern: as_expression(pattern) for pattern in kept}
    unknown = [file for file in files if not any(kind.fullmatch(file) for kind in expressions.values())]
    absent = [name for name, kind in expressions.items() if not any(map(kind.fullmatch, files))]
    assert (unknown, absent) == ([], []), "not on the page; on the page, but not written"


def as_expression(pattern: str) -> re.Pattern:
    parts = re.split(f"({'|'.join(WILDCARDS)})", pattern)
    return re.compile("".join(WILDCARDS.get(part, re.escape(part)) for part in parts))


def fields(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of each value that is not an object; lists of objects are marked with `[]`."""
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
    present = set(fields(json.loads(file.read_text())))
    patterns = named(section(f"`{record}`"), "field")
    documented = {tuple(name.replace("SCORE", score).split(".")) for name in patterns for score in SCORE} - {
        *(("scenes", "NAME", field) for field in ("patches", "curves", "photos")),  # the photos are no scene
    }
    if record == "results/scores/SHARD.json":  # which comes before the expectations
        documented -= {("images", "NAME", name) for name in EXPECTATIONS}
    unknown = [path for path in present if not any(matches(path, pattern) for pattern in documented)]
    absent = [pattern for pattern in documented if not any(matches(path, pattern) for path in present)]
    assert (unknown, absent) == ([], []), "not on the page; on the page, but not in the file"


def matches(path: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    return len(path) == len(pattern) and all(wanted in ("NAME", part) for part, wanted in zip(path, pattern))


def test_the_scores_and_their_order(run):
    with (run / "submission" / "scores.csv").open(newline="") as file:
        header = next(csv.reader(file))
    assert header == ["name", *FULL_REFERENCE_METRICS, *NO_REFERENCE_METRICS, *EXPECTATIONS, "warnings"]
    assert header[1:-1] == SCORE
    explained = named((ROOT / "docs" / "scores.md").read_text(), "column")
    assert sorted(explained) == sorted(header[1:])


@pytest.mark.slow
def test_samples_take_the_place_of_the_expected_raw(run, settings, tmp_path, call_omf):
    assert set(raw_files(run / "submission")) == {f"{name}.npy" for name in NAMES}
    images = read_json(run, "scores")["images"].values()
    assert all(image["exposure_low"] < 1 < image["exposure_high"] for image in images)
    assert "as expected" in svg_text(run)
    assert " times" in (run / "submission" / "report.html").read_text()

    copy = shutil.copytree(run, tmp_path / "run")
    finish(copy, **settings, samples=2)
    samples = raw_files(copy / "submission")
    assert set(samples) == {f"{name}_{number}.npy" for name in NAMES for number in (1, 2)}
    scores = read_json(copy, "scores")
    assert scores["scored"] == len(samples) and scores["mean"]["expected_psnr"] is None
    out, options = tmp_path / "direct", ("--model", settings["model"], "--device", "cpu", "--samples", 2)
    assert call_omf("predict", copy / "photos", "-o", out, *options).returncode == 0
    assert raw_files(out) == samples
