"""Photos and RAW in tars, as WebDataset writes and reads them."""

import io
import json
import os
import re
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset
from conftest import PHOTOS, ROOT, random_rgb
from conftest import run as program
from PIL import Image
from workflow_runs import finish, index_of, kill_once, planned, raw_files, read_json

from omf.io.camera_raw import read_camera_raw
from omf.io.packed import read_packed
from omf.io.tar_shards import list_raw_in_tar, write_tar
from omf.raw.bayer import WHITE_LEVEL, pack
from omf.utils.errors import InputError
from omf.utils.files import sha256

DOTTED = "a.b%.c.png"
FIRST = (PHOTOS[0], DOTTED)  # in the first tar; the others are in the second
TRUTH = ROOT / "test_raw"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Return a folder of samples, a photo with dots in its name, and one that can't be read."""
    folder = tmp_path_factory.mktemp("photos")
    for name in PHOTOS:
        (folder / name).write_bytes((ROOT / "test_rgb" / name).read_bytes())
    Image.fromarray(random_rgb(43, 50)).save(folder / DOTTED)
    (folder / "bad.jpg").write_text("no photo")
    return folder


def write_photos(path: Path, photos: list[Path], truth: bool = False, **others: bytes) -> Path:
    """Write a tar of photos with a .json each and, if asked for, the ground truth that there is."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for photo in photos:
            archive.add(photo, f"./{photo.name}")
            raw = TRUTH / f"{photo.stem}.npy"
            if truth and raw.is_file():
                archive.add(raw, f"./{raw.name}")
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
    write_photos(folder / "p-000.tar", [photos / name for name in FIRST], truth=True)
    write_photos(folder / "p-001.tar", [photos / name for name in PHOTOS if name not in FIRST], truth=True)
    return folder


@pytest.fixture(scope="module")
def settings(tiny_base_model) -> dict:
    return {"model": tiny_base_model, "device": "cpu", "ground_truth": ""}


@pytest.fixture(scope="module")
def plain(tmp_path_factory, photos, settings) -> Path:
    """Return a run without tars, which fails for the bad photo alone."""
    folder = tmp_path_factory.mktemp("plain")
    finish(folder, code=1, **settings | {"images": photos, "ground_truth": TRUTH})
    (problem,) = read_json(folder, "summary")["problems"]
    assert "bad.jpg: " in problem
    return folder


@pytest.fixture(scope="module")
def expected(plain) -> dict[str, bytes]:
    """Return the RAW files of the run without tars by name, without suffix."""
    return {name.removesuffix(".npy"): raw for name, raw in raw_files(plain / "submission").items()}


@pytest.fixture(scope="module")
def in_tars(shards, settings) -> dict:
    tars = {"output_format": "webdataset", "webdataset": "{include_photos: true}"}
    return settings | {"images": shards} | tars


@pytest.fixture(scope="module")
def tarred(tmp_path_factory, in_tars) -> Path:
    """Return a run from tars to tars."""
    folder = tmp_path_factory.mktemp("tarred")
    finish(folder, **in_tars)
    return folder


def tars(folder: Path) -> list[Path]:
    return sorted((folder / "results" / "shards").glob("*.tar"))


def scores_of(folder: Path) -> dict:
    images = read_json(folder, "scores")["images"]
    return {
        name: {key: value for key, value in image.items() if key != "simulated"}
        for name, image in images.items()
    }


def test_raw_scores_and_report_are_those_of_loose_photos(plain, tarred, expected):
    assert [tar.name for tar in tars(tarred)] == ["p-000.tar", "p-001.tar"]
    assert [path.stem for path in sorted((tarred / "results" / "written").iterdir())] == ["p-000", "p-001"]
    rows = index_of(tarred)
    assert [row["name"] for row in rows] == sorted(expected) and len(rows) == 5
    for row in rows:
        with (tarred / "results" / "shards" / row["shard"]).open("rb") as file:
            file.seek(int(row["offset"]))
            assert file.read(int(row["bytes"])) == expected[row["name"]]
    assert not [path for suffix in ("npy", "dng", "zip") for path in tarred.rglob(f"*.{suffix}")]

    assert scores_of(tarred) == scores_of(plain)
    assert sum("psnr" in image for image in scores_of(plain).values()) == len(PHOTOS)
    hashes = [read_json(folder, "provenance")["inputs"]["photos"] for folder in (plain, tarred)]
    assert hashes[0] == hashes[1]
    sizes = [(folder / "submission" / "report.html").stat().st_size for folder in (plain, tarred)]
    assert abs(sizes[0] - sizes[1]) < 0.02 * sizes[0]  # with the same pictures


def test_webdataset_reads_the_tars(tarred, expected, photos):
    urls = [str(tar) for tar in tars(tarred)]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False))
    assert {json.loads(sample["json"])["name"]: sample["npy"] for sample in samples} == expected
    for sample in samples:
        facts = json.loads(sample["json"])
        photo = photos / facts["photo"]
        assert sample[photo.suffix[1:]] == photo.read_bytes()
        assert facts["sha256"] == sha256(photo) and facts["white_level"] == WHITE_LEVEL
        assert facts["neutral"][1] == 1 and min(facts["neutral"]) > 0
        assert set(facts["expected"]) == {"psnr", "exposure", "red", "blue"}
        assert np.load(io.BytesIO(sample["npy"])).shape[:2] == (facts["height"] // 2, facts["width"] // 2)


def test_tars_of_a_run_are_the_input_of_another(tarred, expected, settings, tmp_path):
    """Their RAW is its ground truth."""
    finish(tmp_path, **settings | {"images": tarred / "results" / "shards"})
    raws = {f"{name.replace('.', '%2E')}.npy": raw for name, raw in expected.items()}
    assert raw_files(tmp_path / "submission") == raws
    assert all(image["psnr"] >= 100 for image in scores_of(tmp_path).values())


def test_dng_in_tars(plain, photos, settings, tmp_path):
    run, unpacked, scores = tmp_path / "run", tmp_path / "unpacked", scores_of(plain)
    tars_of_dng = {"output_format": "webdataset", "webdataset": "{raw: dng, include_photos: true}"}
    others = {"images": photos, "ground_truth": TRUTH, "shard_size": 3, "gps": True}
    finish(run, code=1, **settings | others | tars_of_dng)
    assert len(tars(run)) > 1
    unpacked.mkdir()
    for tar in tars(run):
        with tarfile.open(tar) as archive:
            for member in archive:  # extractall wants a filter, which Python 3.11.2 does not know
                (unpacked / member.name).write_bytes(archive.extractfile(member).read())
    assert len([*unpacked.glob("*.json")]) == len(scores)
    for path in unpacked.glob("*.json"):
        facts = json.loads(path.read_text())
        suffix = Path(facts["photo"]).suffix
        assert path.with_suffix(suffix).read_bytes() == (photos / facts["photo"]).read_bytes()
        raw = read_camera_raw(path.with_suffix(".dng"))
        exact = pack(raw.bayer[: raw.bayer.shape[0] // 2 * 2, : raw.bayer.shape[1] // 2 * 2]) * WHITE_LEVEL
        stored = read_packed(plain / "submission" / f"{facts['name']}.npy")
        assert np.abs(exact - stored - 0.5).max() <= 0.6  # one is rounded to 14 bits, the other truncated
    for name, image in scores_of(run).items():
        assert image.get("psnr") == pytest.approx(scores[name].get("psnr"), abs=0.05)


def test_a_change_reruns_one_tar_and_plans_read_none(tarred, shards, in_tars):
    changed, new = shards / "p-001.tar", shards / "p-002.tar"
    content = changed.read_bytes()
    try:
        changed.write_bytes(b"no tar")
        new.write_bytes(b"no tar")
        jobs = planned(tarred, **in_tars)
    finally:
        changed.write_bytes(content)
        new.unlink()
    assert [jobs[step] for step in ("preprocess", "infer", "mosaic", "evaluate")] == [2] * 4


def test_a_damaged_tar_is_made_again(tarred, in_tars):
    contents = {tar: tar.read_bytes() for tar in tars(tarred)}
    os.truncate(tars(tarred)[0], 1000)
    finish(tarred, **in_tars)
    assert {tar: tar.read_bytes() for tar in tars(tarred)} == contents


def test_each_fault_is_a_line_and_the_rest_is_done(plain, photos, expected, settings, tmp_path):
    """Take ground truth from a folder here."""
    folder, first = tmp_path / "in", photos / PHOTOS[0]
    write_photos(folder / "a-0.tar", [first], **{"bad.jpg": b"no picture", "text.txt": b"text"})
    write_photos(folder / "a-1.tar", [first, photos / DOTTED])
    cut = write_photos(folder / "a-2.tar", [photos / PHOTOS[1], photos / PHOTOS[2]])
    cut.write_bytes(cut.read_bytes()[: (photos / PHOTOS[1]).stat().st_size + 4096])
    (folder / "a-3.tar").write_bytes(b"no tar" * 1000)
    write_photos(folder / "a 4.tar", [photos / PHOTOS[3]])
    write_photos(folder / "a-5.tar", [])
    run, pattern = tmp_path / "run", folder / "a{-0,-1,-2,-3, 4,-5,-6}.tar"
    finish(run, code=1, **settings | {"images": pattern, "ground_truth": TRUTH, "shard_size": 1})
    wanted = {
        f"{PHOTOS[0]} of the shard a-1: has the name of a photo of the shard a-0": "which counts; rename it",
        "a-0.tar/bad.jpg": "not a picture",
        "a-2.tar": "cut short behind",
        "a-3.tar": "can't be read",
        "a 4.tar": "rename it",
        "a-5.tar": "no pictures in it",
        "a-6.tar": "no such file",
    }
    lines = read_json(run, "summary")["problems"]
    assert len(lines) == len(wanted), lines
    for start, text in wanted.items():
        assert any(start in line and text in line for line in lines), (start, lines)
    done = {Path(name).stem for name in (*PHOTOS[:2], DOTTED)}
    assert raw_files(run / "submission") == {f"{name}.npy": expected[name] for name in done}
    assert scores_of(run) == {name: score for name, score in scores_of(plain).items() if name in done}


@pytest.mark.parametrize(("kind", "pattern"), [("npy", "."), ("dng", "p-{000..001}.tar")])
def test_predict_takes_tars(call_omf, shards, photos, settings, tmp_path, kind, pattern):
    options = ("--model", settings["model"], "--device", "cpu", "--format", kind)
    loose = [photo for photo in photos.iterdir() if photo.name != "bad.jpg"]
    files = []
    for out, sources in (("plain", loose), ("tarred", [shards / pattern])):
        result = call_omf("predict", *sources, "-o", tmp_path / out, *options)
        assert result.returncode == 0, result.stderr
        files.append({path.name: path.read_bytes() for path in (tmp_path / out).glob("[!.]*")})
    assert len(files[0]) == 5 and files[1] == files[0]


def test_a_denoiser_trains_on_tars_as_a_stream(tarred):
    example = ROOT / "examples" / "train_denoiser.py"
    result = program(sys.executable, example, "--steps", 8, "--shards", *tars(tarred))
    assert result.returncode == 0, result.stderr
    assert re.search(r"held-out photos: [\d.]+ dB noisy, [\d.]+ dB denoised", result.stdout)


def test_a_killed_run_keeps_finished_tars(photo_folder, settings, tmp_path):
    run = tmp_path / "run"
    settings = settings | {"images": photo_folder, "model": "unprocess", "shard_size": 1}
    settings |= {"output_format": "webdataset"}
    # the job of the first one has ended when there is a second one
    kill_once(lambda: len(tars(run)) > 1, run, 1, **settings)
    written = {tar: tar.stat().st_mtime_ns for tar in tars(run)}
    assert 1 < len(written) < len(PHOTOS)
    finish(run, **settings)
    assert [row["name"] for row in index_of(run)] == sorted(Path(name).stem for name in PHOTOS)
    first = min(written, key=written.get)
    assert first.stat().st_mtime_ns == written[first]


def test_a_tar_that_is_damaged_or_lacks_a_file_is_one_line(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"no tar" * 1000)
    with pytest.raises(InputError, match=r"a\.tar: can't be read"):
        list_raw_in_tar(tmp_path / "a.tar")
    with write_tar(tmp_path / "b.tar") as shard:
        shard.add("x.npy", b"")
    with pytest.raises(InputError, match=r"b\.tar/y\.npy: not in that tar"):
        read_packed(tmp_path / "b.tar" / "y.npy")
