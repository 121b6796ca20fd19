"""Runs whose photos lie in tars, as WebDataset writes them."""

import csv
import io
import json
import tarfile
from pathlib import Path

import pytest
from conftest import PHOTOS, ROOT, omf, random_rgb, snakemake
from PIL import Image

DOTTED = "a.b%.c.png"
FIRST = (PHOTOS[0], DOTTED)  # in the first tar; the others are in the second


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in PHOTOS:
        (folder / name).write_bytes((ROOT / "test_rgb" / name).read_bytes())
    Image.fromarray(random_rgb(43, 50)).save(folder / DOTTED)
    return folder


def write_tar(path: Path, photos: list[Path], **others: bytes) -> Path:
    """Write photos with a .json each, and ground truth where there is some."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for photo in photos:
            archive.add(photo, f"./{photo.name}")
            truth = ROOT / "test_raw" / f"{photo.stem}.npy"
            if truth.is_file():
                archive.add(truth, f"./{truth.name}")
            others = {f"{photo.stem}.json": b"{}"} | others
        for name, content in others.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.fixture(scope="module")
def shards(tmp_path_factory, photos) -> Path:
    """Return a folder of two tars with the photos and their ground truth."""
    folder = tmp_path_factory.mktemp("in") / "shards"
    write_tar(folder / "p-000.tar", [photos / name for name in FIRST])
    write_tar(folder / "p-001.tar", [photo for photo in sorted(photos.iterdir()) if photo.name not in FIRST])
    return folder


def run(folder: Path, code: int = 0, **settings: object) -> Path:
    """Run the workflow and return its folder."""
    settings = {"device": "cpu", "ground_truth": "", **settings}
    result = snakemake(folder, "--cores", "2", **settings)
    assert result.returncode == code, result.stderr
    return folder


def problems_of(folder: Path) -> list[str]:
    return json.loads((folder / "submission" / "summary.json").read_text())["problems"]


def scores_of(folder: Path) -> dict:
    images = json.loads((folder / "submission" / "scores.json").read_text())["images"]
    return {
        name: {key: value for key, value in image.items() if key != "simulated"}
        for name, image in images.items()
    }


def raw_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "submission").glob("*.npy")}


@pytest.fixture(scope="module")
def plain(tmp_path_factory, photos, tiny_base_model) -> Path:
    settings = {"images": photos, "ground_truth": ROOT / "test_raw", "model": tiny_base_model}
    return run(tmp_path_factory.mktemp("plain"), **settings)


@pytest.fixture(scope="module")
def tarred(tmp_path_factory, shards, tiny_base_model) -> Path:
    return run(tmp_path_factory.mktemp("tarred"), images=shards, model=tiny_base_model)


def test_raw_and_scores_are_those_of_loose_photos(plain, tarred):
    assert len(raw_files(plain)) == 5 and raw_files(tarred) == raw_files(plain)
    assert scores_of(tarred) == scores_of(plain)
    assert sum("psnr" in image for image in scores_of(plain).values()) == len(PHOTOS)
    hashes = [
        json.loads((folder / "submission" / "provenance.json").read_text())["inputs"]["photos"]
        for folder in (plain, tarred)
    ]
    assert hashes[0] == hashes[1]
    assert [path.stem for path in sorted((tarred / "results" / "written").iterdir())] == ["p-000", "p-001"]


def test_ground_truth_may_lie_in_a_folder(plain, shards, photos, tiny_base_model, tmp_path):
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "in" / "p.tar", "w") as archive:
        archive.add(photos, "")
    truth = ROOT / "test_raw"
    run(tmp_path, images=tmp_path / "in" / "p.tar", ground_truth=truth, model=tiny_base_model)
    assert scores_of(tmp_path) == scores_of(plain)


def test_tars_out_have_the_names_of_the_tars_in(plain, shards, tiny_base_model, tmp_path):
    """And those of a run are the input of another, whose ground truth is in them."""
    settings = {
        "model": tiny_base_model,
        "output_format": "webdataset",
        "webdataset": "{include_photos: true}",
    }
    run(tmp_path / "a", images=shards, **settings)
    rows = list(csv.DictReader((tmp_path / "a" / "submission" / "index.csv").open()))
    assert {row["shard"] for row in rows} == {"p-000.tar", "p-001.tar"}
    for row in rows:
        with (tmp_path / "a" / "results" / "shards" / row["shard"]).open("rb") as file:
            file.seek(int(row["offset"]))
            assert file.read(int(row["bytes"])) == raw_files(plain)[f"{row['name']}.npy"]
    run(tmp_path / "b", images=tmp_path / "a" / "results" / "shards", model=tiny_base_model)
    assert {name.replace("%2E", ".") for name in raw_files(tmp_path / "b")} == {*raw_files(plain)}
    assert all(image["psnr"] >= 100 for image in scores_of(tmp_path / "b").values())


def test_a_change_reruns_one_tar_and_plans_read_none(tarred, shards, photos, tiny_base_model, tmp_path):
    content = (shards / "p-001.tar").read_bytes()
    settings = {"images": shards, "model": tiny_base_model, "device": "cpu", "ground_truth": ""}
    try:
        (shards / "p-001.tar").write_bytes(b"no tar")
        (shards / "p-002.tar").write_bytes(b"no tar")
        plan = snakemake(tarred, "-n", "--quiet", "rules", **settings)
    finally:
        (shards / "p-001.tar").write_bytes(content)
        (shards / "p-002.tar").unlink()
    assert plan.returncode == 0, plan.stderr
    jobs = dict(line.split() for line in plan.stdout.splitlines() if len(line.split()) == 2)
    assert [jobs[step] for step in ("preprocess", "infer", "mosaic", "evaluate")] == ["2"] * 4


def test_each_fault_is_a_line_and_the_rest_is_done(plain, photos, tiny_base_model, tmp_path):
    folder, first = tmp_path / "in", photos / PHOTOS[0]
    write_tar(folder / "a-0.tar", [first], **{"bad.jpg": b"no picture", "text.txt": b"text"})
    write_tar(folder / "a-1.tar", [first, photos / DOTTED])
    cut = write_tar(folder / "a-2.tar", [photos / PHOTOS[1], photos / PHOTOS[2]])
    cut.write_bytes(cut.read_bytes()[: (photos / PHOTOS[1]).stat().st_size + 4096])
    (folder / "a-3.tar").write_bytes(b"no tar" * 1000)
    write_tar(folder / "a 4.tar", [photos / PHOTOS[3]])
    write_tar(folder / "a-5.tar", [])
    pattern = folder / "a{-0,-1,-2,-3, 4,-5,-6}.tar"
    run(tmp_path / "run", 1, images=pattern, model=tiny_base_model, shard_size=1)
    lines = problems_of(tmp_path / "run")
    wanted = {
        f"{PHOTOS[0]} of the shard a-1: has the name of a photo of the shard a-0": "which counts; rename it",
        "a-0.tar/bad.jpg": "not a picture",
        "a-2.tar": "cut short behind",
        "a-3.tar": "can't be read",
        "a 4.tar": "rename it",
        "a-5.tar": "no pictures in it",
        "a-6.tar": "no such file",
    }
    assert len(lines) == len(wanted), lines
    for start, text in wanted.items():
        assert any(start in line and text in line for line in lines), (start, lines)
    done = raw_files(tmp_path / "run")
    assert {*done} == {Path(name).with_suffix(".npy").name for name in (PHOTOS[0], PHOTOS[1])} | {
        "a.b%.c.npy"
    }
    assert done.items() <= raw_files(plain).items()


@pytest.mark.parametrize("kind", ["npy", "dng"])
def test_predict_takes_tars(shards, photos, tiny_base_model, tmp_path, kind):
    options = ("--model", tiny_base_model, "--device", "cpu", "--format", kind)
    for out, source in (("plain", photos), ("tarred", shards), ("pattern", shards / "p-{000..001}.tar")):
        result = omf("predict", source, "-o", tmp_path / out, *options)
        assert result.returncode == 0, result.stderr
        files = {path.name: path.read_bytes() for path in (tmp_path / out).glob("[!.]*")}
        assert len(files) == 5
        assert files == {name: (tmp_path / "plain" / name).read_bytes() for name in files}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"output": "memory://raw"}, "output is memory://raw; it takes an address in object storage, and"),
        ({"output": "raw", "output_format": "webdataset"}, "output is raw; it takes an address"),
        ({"images": "s3://key:secret@bucket/photos"}, "credentials in an address end up in logs"),
        ({"images": "nosuch://bucket/photos"}, "nosuch://bucket/photos: nothing is installed that reads it"),
        ({"images": "memory://photos"}, "memory://photos: no such folder"),
        ({"images": "a-{0..3.tar"}, "braces without their partner"),
    ],
)
def test_a_wrong_place_is_one_line(tmp_path, settings, words):
    result = snakemake(tmp_path, "-n", **{"images": ROOT / "test_rgb", "ground_truth": ""} | settings)
    said = result.stdout + result.stderr
    assert result.returncode == 1 and words in said and "secret" not in said
    assert "Traceback" not in said
