"""RAW in tars, as the library webdataset, PyTorch and plain tarfile read it."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset
from conftest import PHOTOS, ROOT, random_rgb, snakemake, wait_for
from conftest import run as program
from PIL import Image

from omf.io.camera_raw import read_camera_raw
from omf.io.packed import read_packed
from omf.io.tar_shards import list_raw_in_tar, write_tar
from omf.raw.bayer import WHITE_LEVEL, pack
from omf.utils.errors import InputError
from omf.utils.files import sha256

DOTTED = "a.b%.c"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Return a folder of samples, a photo with dots in its name, and one that can't be read."""
    folder = tmp_path_factory.mktemp("photos")
    for name in PHOTOS:
        (folder / name).symlink_to(ROOT / "test_rgb" / name)
    Image.fromarray(random_rgb(43, 50)).save(folder / f"{DOTTED}.png")
    (folder / "bad.jpg").write_text("no photo")
    return folder


def run(folder: Path, photos: Path, model: Path, output_format: str, **settings: object) -> Path:
    """Run the workflow, which fails for the bad photo alone, and return its folder."""
    settings = {"shard_size": 3, "output_format": output_format, **settings}
    settings |= {"images": photos, "ground_truth": ROOT / "test_raw", "model": model, "device": "cpu"}
    result = snakemake(folder, "--cores", "2", **settings)
    assert result.returncode == 1, result.stderr
    summary = json.loads((folder / "submission" / "summary.json").read_text())
    assert [problem.rpartition("/")[2].partition(":")[0] for problem in summary["problems"]] == ["bad.jpg"]
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory, photos, tiny_base_model) -> Path:
    return run(tmp_path_factory.mktemp("plain"), photos, tiny_base_model, "npy")


@pytest.fixture(scope="module")
def sharded(tmp_path_factory, photos, tiny_base_model) -> Path:
    return run(tmp_path_factory.mktemp("sharded"), photos, tiny_base_model, "webdataset")


@pytest.fixture(scope="module")
def with_photos(tmp_path_factory, photos, tiny_base_model) -> Path:
    settings = "{raw: dng, include_photos: true}"
    return run(
        tmp_path_factory.mktemp("dng"), photos, tiny_base_model, "webdataset", webdataset=settings, gps=True
    )


def tars(folder: Path) -> list[Path]:
    return sorted((folder / "results" / "shards").glob("*.tar"))


def raw_files(folder: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in (folder / "submission").glob("*.npy")}


def index_of(folder: Path) -> list[dict]:
    return list(csv.DictReader(io.StringIO((folder / "submission" / "index.csv").read_text())))


def scores_of(folder: Path) -> dict:
    scores = json.loads((folder / "submission" / "scores.json").read_text())
    return {name: record.get("psnr") for name, record in scores["images"].items()}


def test_webdataset_reads_the_raw_of_a_plain_run(plain, sharded, photos):
    expected = raw_files(plain)
    urls = [str(tar) for tar in tars(sharded)]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False))
    assert len(urls) > 1
    assert {json.loads(sample["json"])["name"]: sample["npy"] for sample in samples} == expected
    for sample in samples:
        facts = json.loads(sample["json"])
        (photo,) = photos.glob(facts["photo"])
        assert facts["sha256"] == sha256(photo) and facts["white_level"] == WHITE_LEVEL
        assert facts["neutral"][1] == 1 and min(facts["neutral"]) > 0
        assert set(facts["expected"]) == {"psnr", "exposure", "red", "blue"}
        assert np.load(io.BytesIO(sample["npy"])).shape[:2] == (facts["height"] // 2, facts["width"] // 2)


def test_index_tells_where_the_raw_is(plain, sharded):
    expected = raw_files(plain)
    rows = index_of(sharded)
    assert [row["name"] for row in rows] == sorted(expected) and DOTTED in expected
    for row in rows:
        with (sharded / "results" / "shards" / row["shard"]).open("rb") as file:
            file.seek(int(row["offset"]))
            assert file.read(int(row["bytes"])) == expected[row["name"]]


def test_no_other_raw_and_no_zip(sharded):
    loose = [path for suffix in ("npy", "dng", "zip") for path in sharded.rglob(f"*.{suffix}")]
    assert loose == []


def test_scores_and_report_are_those_of_a_plain_run(plain, sharded):
    assert scores_of(sharded) == scores_of(plain)
    sizes = [(folder / "submission" / "report.html").stat().st_size for folder in (plain, sharded)]
    assert abs(sizes[0] - sizes[1]) < 0.02 * sizes[0]  # with the same pictures


def test_same_photos_give_the_same_bytes(sharded, photos, tiny_base_model, tmp_path):
    again = run(tmp_path, photos, tiny_base_model, "webdataset")
    assert [tar.name for tar in tars(again)] == [tar.name for tar in tars(sharded)]
    assert [tar.read_bytes() for tar in tars(again)] == [tar.read_bytes() for tar in tars(sharded)]


def test_dng_with_photos(with_photos, plain, photos, tmp_path):
    scores = scores_of(plain)
    for tar in tars(with_photos):
        with tarfile.open(tar) as archive:
            archive.extractall(tmp_path, filter="data")
    for path in tmp_path.glob("*.json"):
        facts = json.loads(path.read_text())
        suffix = Path(facts["photo"]).suffix
        assert path.with_suffix(suffix).read_bytes() == (photos / facts["photo"]).read_bytes()
        raw = read_camera_raw(path.with_suffix(".dng"))
        exact = pack(raw.bayer[: raw.bayer.shape[0] // 2 * 2, : raw.bayer.shape[1] // 2 * 2]) * WHITE_LEVEL
        stored = read_packed(plain / "submission" / f"{facts['name']}.npy")
        assert np.abs(exact - stored - 0.5).max() <= 0.6  # one is rounded to 14 bits, the other truncated
    for name, psnr in scores_of(with_photos).items():
        assert psnr is None or psnr == pytest.approx(scores[name], abs=0.05)


def test_damaged_tar_is_made_again(sharded, photos, tiny_base_model):
    contents = {tar: tar.read_bytes() for tar in tars(sharded)}
    damaged = tars(sharded)[0]
    os.truncate(damaged, 1000)
    run(sharded, photos, tiny_base_model, "webdataset")
    assert {tar: tar.read_bytes() for tar in tars(sharded)} == contents


def test_switch_of_the_format_leaves_nothing_of_the_other(plain, photos, tiny_base_model, tmp_path):
    expected = raw_files(plain)
    run(tmp_path, photos, tiny_base_model, "npy")
    run(tmp_path, photos, tiny_base_model, "webdataset")
    assert raw_files(tmp_path) == {} and not (tmp_path / "submission" / "submission.zip").exists()
    assert len(index_of(tmp_path)) == len(expected)
    run(tmp_path, photos, tiny_base_model, "npy")
    assert raw_files(tmp_path) == expected and not (tmp_path / "submission" / "index.csv").exists()


def test_tar_that_is_damaged_or_lacks_a_file_is_one_line(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"no tar" * 1000)
    with pytest.raises(InputError, match=r"a\.tar: can't be read"):
        list_raw_in_tar(tmp_path / "a.tar")
    with write_tar(tmp_path / "b.tar") as shard:
        shard.add("x.npy", b"")
    with pytest.raises(InputError, match=r"b\.tar/y\.npy: not in that tar"):
        read_packed(tmp_path / "b.tar" / "y.npy")


def test_denoiser_trains_on_tars_as_a_stream(sharded):
    example = ROOT / "examples" / "train_denoiser.py"
    result = program(sys.executable, example, "--steps", 8, "--shards", *tars(sharded))
    assert result.returncode == 0, result.stderr
    assert re.search(r"held-out photos: [\d.]+ dB noisy, [\d.]+ dB denoised", result.stdout)


def test_killed_run_keeps_finished_tars(sharded, photos, tiny_base_model, tmp_path):
    settings = {"images": photos, "model": tiny_base_model, "device": "cpu", "shard_size": 1}
    settings |= {"ground_truth": ROOT / "test_raw", "output_format": "webdataset"}
    words = [f"{key}={value}" for key, value in settings.items()]
    snake = [Path(sys.executable).parent / "snakemake", "--snakefile", ROOT / "Snakefile"]
    command = [*snake, "--directory", tmp_path, "--cores", "1", "--config", *words]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        # the job of the first one has ended then
        wait_for(lambda: len(tars(tmp_path)) > 1 or process.poll() is not None)
        os.killpg(process.pid, signal.SIGKILL)
    written = {tar: tar.stat().st_mtime_ns for tar in tars(tmp_path)}
    assert 1 < len(written) < len(PHOTOS)
    run(tmp_path, photos, tiny_base_model, "webdataset", shard_size=1)
    assert [row["name"] for row in index_of(tmp_path)] == [row["name"] for row in index_of(sharded)]
    first = min(written, key=written.get)
    assert first.stat().st_mtime_ns == written[first]
