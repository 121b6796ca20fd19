"""Each bad input gives one line with the file and the remedy, and the other inputs are processed.

The tables are in `bad_photos.py`. One folder contains all their photos; `omf predict` and the workflow
process it once.
"""

import csv
import json
import re
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import tifffile
from bad_photos import BAD, GROUND_TRUTH, IGNORED, NAMES, NOT_UTF_8, ODD, Case, saved
from conftest import omf, snakemake
from markupsafe import escape

from omf.inference.unprocess import Unprocess
from omf.io.images import read_rgb
from omf.io.packed import read_packed
from omf.raw.bayer import to_challenge_format
from omf.raw.camera import load_camera
from omf.utils.errors import printable

GOOD = ODD + NAMES
REFUSED_BY_THE_WORKFLOW = [case for case in NAMES if case.name == NOT_UTF_8]


def each(table: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", table, ids=lambda case: case.kind)


@dataclass(frozen=True)
class Run:
    """The messages and outputs of a program."""

    result: subprocess.CompletedProcess
    raw: Path  # folder of NAME.npy
    photos: Path  # folder as named in messages
    problems: list[str]

    def line_of(self, case: Case) -> str:
        """Return the only line about a file, which must begin with its name and end with the remedy."""
        (line,) = [
            line for line in self.problems if line.startswith(f"{printable(self.photos / case.name)}: ")
        ]
        fault, _, remedy = line.rpartition("; ")
        assert printable(line) == line and fault and remedy
        return line


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "truths").mkdir()
    for case in BAD + GOOD + IGNORED:
        case.make(folder)
    for case in GROUND_TRUTH:
        case.make(folder / "truths")
    return folder


@pytest.fixture(scope="module")
def predict(folder, tmp_path_factory) -> Callable[..., Run]:
    def predict(*options: str) -> Run:
        out = tmp_path_factory.mktemp("predicted")
        result = omf("predict", folder, "-o", out, "--model", "unprocess", *options)
        return Run(result, out, folder, re.findall("^problem: (.*)$", result.stderr, re.MULTILINE))

    return predict


@pytest.fixture(scope="module")
def predicted(predict) -> Run:
    return predict()


@pytest.fixture(scope="module")
def workflow(folder) -> Run:
    """Run the workflow inside the folder, so that names that begin with a dash have no path before them."""
    settings = {"images": ".", "ground_truth": "truths", "model": "unprocess", "device": "cpu"}
    result = snakemake(folder, shard_size=100, **settings)
    summary = json.loads((folder / "submission" / "summary.json").read_text())
    return Run(result, folder / "submission", Path(), summary["problems"])


@pytest.fixture(scope="module", params=["predicted", "workflow"])
def done(request) -> Run:
    return request.getfixturevalue(request.param)


@each(BAD)
def test_a_bad_photo_is_reported_on_one_line(case, done):
    assert case.words in done.line_of(case)
    assert not (done.raw / f"{case.stem}.npy").exists()


def test_no_other_problems_are_reported(predicted, workflow):
    refused = BAD + REFUSED_BY_THE_WORKFLOW + [case for case in GROUND_TRUTH if case.words]
    assert (len(predicted.problems), len(workflow.problems)) == (len(BAD), len(refused))


def test_exit_code_1_and_no_traceback(done):
    assert done.result.returncode == 1
    assert "Traceback" not in done.result.stdout + done.result.stderr
    assert "\x1b" not in done.result.stderr and "\x07" not in done.result.stderr


@each(GOOD)
def test_an_odd_photo_is_reconstructed(case, folder, predicted, workflow):
    files = [run.raw / f"{case.stem}.npy" for run in (predicted, workflow)]
    outputs = [read_packed(file) for file in files if file.exists()]
    assert len(outputs) == 1 + (case not in REFUSED_BY_THE_WORKFLOW)
    rgb = read_rgb(folder / (case.like or case.name))
    expected = to_challenge_format(Unprocess(load_camera("samsung_s7"))(rgb, case.stem))
    assert all((output == expected).all() for output in outputs)


def test_the_reconstruction_is_not_uniform(predicted):
    assert read_packed(predicted.raw / "plain.npy").std() > 50


def test_only_good_photos_are_written(predicted, workflow):
    names = {f"{case.stem}.npy" for case in GOOD}
    assert {path.name for path in predicted.raw.glob("[!.]*")} == names
    names -= {f"{case.stem}.npy" for case in REFUSED_BY_THE_WORKFLOW}
    assert {path.name for path in workflow.raw.glob("*.npy")} == names
    with zipfile.ZipFile(workflow.raw / "submission.zip") as archive:
        assert set(archive.namelist()) == names | {"readme.txt"}
        assert archive.testzip() is None
    assert not (workflow.raw.parent / "injected").exists()


def test_all_photos_convert_to_dng(predict, predicted):
    """To DNG, which also reads the photos' EXIF."""
    as_dng = predict("--format", "dng")
    assert as_dng.result.returncode == 1
    assert as_dng.problems == predicted.problems
    assert {path.name for path in as_dng.raw.glob("[!.]*")} == {f"{case.stem}.dng" for case in GOOD}
    for case in GOOD:
        with tifffile.TiffFile(as_dng.raw / f"{case.stem}.dng") as file:
            height, width = file.pages.first.pages[0].shape
        assert (height // 2, width // 2, 4) == read_packed(predicted.raw / f"{case.stem}.npy").shape


@each(REFUSED_BY_THE_WORKFLOW)
def test_a_name_that_is_not_utf_8_is_reported(case, workflow):
    assert "its name is not UTF-8, which a submission requires; rename it" in workflow.line_of(case)


@each(GROUND_TRUTH)
def test_bad_ground_truth_is_reported_on_one_line(case, workflow):
    images = json.loads((workflow.raw / "scores.json").read_text())["images"]
    lines = [line for line in workflow.problems if f"/{case.name}: " in line]
    assert ("psnr" in images[case.stem]) == (case.words is None)
    assert "consistency_psnr" in images[case.stem]
    assert len(lines) == (case.words is not None)
    assert all(case.words in line for line in lines)


def test_the_log_and_the_page_contain_each_line(workflow):
    page = (workflow.raw / "report.html").read_text()
    logs = "".join(path.read_text() for path in (workflow.raw.parent / "results" / "logs").rglob("*.log"))
    summary = (workflow.raw / "summary.txt").read_text()
    for line in workflow.problems:
        assert f"<li>{escape(line)}</li>" in page
        assert f"problem: {line}\n" in logs
        assert f"problem: {line}\n" in summary
        assert line in workflow.result.stderr
    assert "Traceback" not in logs
    assert "<img src=x" not in page


def test_the_tables_list_all_images(workflow):
    names = {printable(case.stem) for case in GOOD if case not in REFUSED_BY_THE_WORKFLOW}
    with (workflow.raw / "scores.csv").open(newline="") as file:
        assert {row["name"] for row in csv.DictReader(file)} == names
    page = (workflow.raw / "report.html").read_text()
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert {row[0] for row in data["rows"]} == names


def test_thousands_of_photos(tmp_path, thorough):
    """Process 5,000 photos, one in a hundred of them bad."""
    if not thorough:
        pytest.skip("takes minutes; give --thorough")
    photos, count = tmp_path / "photos", 5000
    photos.mkdir()
    valid = saved("PNG", size=(8, 8))
    for number in range(count):
        (photos / f"{number:04}.png").write_bytes(b"" if number % 100 == 7 else valid)
    result = snakemake(tmp_path, images="photos", ground_truth="", model="unprocess", device="cpu")
    assert result.returncode == 1
    bad = {f"{number:04}" for number in range(7, count, 100)}
    problems = json.loads((tmp_path / "submission" / "summary.json").read_text())["problems"]
    assert sorted(problems) == [
        f"photos/{name}.png: an empty file; copy it again from where it came" for name in sorted(bad)
    ]
    with zipfile.ZipFile(tmp_path / "submission" / "submission.zip") as archive:
        assert len(archive.namelist()) == count - len(bad) + 1
