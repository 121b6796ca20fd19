"""Photos in object storage, and tars written there."""

import csv
import io
import json
import math
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, omf, random_rgb, snakemake, wait_for
from PIL import Image
from storage.s3_server import Bucket, reason_to_skip
from storage.unreliable import Unreliable

pytest.importorskip("s3fs")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(reason_to_skip()), reason=str(reason_to_skip()))]

MANY = 2000


def jpeg(seed: int) -> bytes:
    """Return a photo of 32 x 32 pixels, smooth and so of about 1 kB."""
    pixels = np.array(Image.fromarray(random_rgb(4, 4, seed)).resize((32, 32), Image.Resampling.BICUBIC))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def put(bucket: Bucket, folder: str, photos: dict[str, bytes]) -> str:
    """Store photos and return the address of their folder."""
    bucket.file_system.pipe({f"{bucket.name}/{folder}/{name}": content for name, content in photos.items()})
    return f"{bucket.url}/{folder}"


def settings_of(images: object, output: str = "", **others: object) -> dict[str, object]:
    tars = {"output_format": "webdataset", "output": output} if output else {}
    return {"images": images, "ground_truth": "", "model": "unprocess", "device": "cpu"} | tars | others


def run(folder: Path, code: int = 0, **settings: object) -> str:
    """Run the workflow and return stderr."""
    folder.mkdir(exist_ok=True)
    result = snakemake(folder, "--cores", "2", **settings)
    assert result.returncode == code, result.stderr
    return result.stderr


def planned(folder: Path, **settings: object) -> Counter:
    """Return the numbers of jobs that a dry run plans, by rule."""
    result = snakemake(folder, "-n", "--quiet", "rules", **settings)
    assert result.returncode == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    return Counter({row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()})


def objects(bucket: Bucket, folder: str) -> dict[str, tuple[str, str]]:
    """Return ETag and date of each object in a folder, by its name."""
    bucket.file_system.invalidate_cache()
    return {
        found["name"].rpartition("/")[2]: (found["ETag"], str(found["LastModified"]))
        for found in bucket.file_system.ls(f"{bucket.name}/{folder}", detail=True)
    }


def refuse_for_a_while(proxy: Unreliable, seconds: float = 5) -> None:
    """Let the server refuse all requests, once the jobs are at work."""
    proxy.requests.clear()
    wait_for(lambda: sum(proxy.requests.values()) > 300)
    proxy.refusals = math.inf
    time.sleep(seconds)
    proxy.refusals = 0


def test_many_photos_with_a_kill_and_a_server_that_refuses(unreliable, bucket, tmp_path):
    photos = {f"{number:04}.jpg": jpeg(number) for number in range(MANY)}
    images, output = put(bucket, "photos", photos), f"{bucket.url}/raw"
    settings = settings_of(images, output, shard_size=200)
    words = [f"{key}={value}" for key, value in settings.items()]
    snake = [Path(sys.executable).parent / "snakemake", "--snakefile", ROOT / "Snakefile"]
    command = [*snake, "--directory", tmp_path / "run", "--cores", "2", "--config", *words]
    (tmp_path / "run").mkdir()
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        notes = tmp_path / "run" / "results" / "written"
        wait_for(lambda: len([*notes.glob("*.json")]) > 3 or process.poll() is not None)
        os.killpg(process.pid, signal.SIGKILL)
    # two jobs run at a time: those of the last two may not have ended
    kept = [note.stem for note in sorted(notes.glob("*.json"), key=lambda note: note.stat().st_mtime)][:-2]
    before = objects(bucket, "raw")
    assert len(kept) > 1
    thread = threading.Thread(target=refuse_for_a_while, args=[unreliable])
    thread.start()
    run(tmp_path / "run", **settings)
    thread.join()
    rows = list(csv.DictReader((tmp_path / "run" / "submission" / "index.csv").open()))
    assert [row["name"] for row in rows] == [Path(name).stem for name in photos]
    after = objects(bucket, "raw")
    for shard in kept:
        assert after[f"{shard}.tar"] == before[f"{shard}.tar"]
    assert not [*(tmp_path / "run").rglob("*.tar")] and not [*(tmp_path / "run").rglob("*.npy")]

    # the same bytes as of the same photos on a disk
    tar = rows[0]["shard"]
    (tmp_path / "photos").mkdir()
    for row in rows:
        if row["shard"] == tar:
            (tmp_path / "photos" / f"{row['name']}.jpg").write_bytes(photos[f"{row['name']}.jpg"])
    run(tmp_path / "local", **settings_of(tmp_path / "photos", output_format="webdataset"))
    (local,) = (tmp_path / "local" / "results" / "shards").glob("*.tar")
    assert bucket.file_system.cat(f"{bucket.name}/raw/{tar}") == local.read_bytes()


@pytest.fixture
def finished(bucket, tmp_path) -> tuple[Path, dict]:
    """Return the folder and the settings of a finished run of five photos in three shards."""
    images = put(bucket, "photos", {f"{number}.jpg": jpeg(number) for number in range(5)})
    settings = settings_of(images, f"{bucket.url}/raw", shard_size=3)
    run(tmp_path / "run", **settings)
    return tmp_path / "run", settings


def test_etags_tell_what_has_changed(unreliable, bucket, finished):
    folder, settings = finished
    assert len(objects(bucket, "raw")) == 3
    unreliable.requests.clear()
    assert planned(folder, **settings) == {}
    assert sum(unreliable.requests.values()) < 12  # the objects are listed, not asked for one by one
    put(bucket, "photos", {"3.jpg": jpeg(3)})  # the same content at a later date
    assert planned(folder, **settings) == {}
    put(bucket, "photos", {"3.jpg": jpeg(33)})
    assert planned(folder, **settings)["mosaic"] == 1
    before = objects(bucket, "raw")
    run(folder, **settings)
    changed = {name for name, state in objects(bucket, "raw").items() if state != before[name]}
    assert len(changed) == 1
    assert planned(folder, **settings) == {}


def test_lost_and_replaced_tars_are_made_again(bucket, finished):
    folder, settings = finished
    before = objects(bucket, "raw")
    first, second = sorted(before)[:2]
    bucket.file_system.rm(f"{bucket.name}/raw/{first}")
    said = run(folder, **settings)
    assert f"{bucket.url}/raw/{first}: not there as it was written, so it is made again" in said
    etags = [{name: etag for name, (etag, _) in now.items()} for now in (before, objects(bucket, "raw"))]
    assert etags[0] == etags[1]
    # an object of the user's is kept
    put(bucket, "raw", {second: b"mine"})
    result = snakemake(folder, "--cores", "2", **settings)
    assert result.returncode == 1
    assert f"{bucket.url}/raw/{second}: there already, and not written by this run" in result.stderr
    assert bucket.file_system.cat(f"{bucket.name}/raw/{second}") == b"mine"


def test_tars_in_and_out(bucket, tmp_path):
    content = {f"{number}.jpg": jpeg(number) for number in range(6)}
    for shard in range(2):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            for name in list(content)[shard::2]:
                entry = tarfile.TarInfo(name)
                entry.size = len(content[name])
                archive.addfile(entry, io.BytesIO(content[name]))
        put(bucket, "shards", {f"p-{shard}.tar": file.getvalue()})
    pattern = f"{bucket.url}/shards/p-{{0..2}}.tar"
    run(tmp_path / "run", 1, **settings_of(pattern, f"{bucket.url}/raw"))
    problems = json.loads((tmp_path / "run" / "submission" / "summary.json").read_text())["problems"]
    assert problems == [f"{bucket.url}/shards/p-2.tar: no such file; give a .tar of photos"]
    assert {*objects(bucket, "raw")} == {"p-0.tar", "p-1.tar"}
    result = omf("predict", f"{bucket.url}/shards", "-o", tmp_path / "raw", "--model", "unprocess")
    assert result.returncode == 0, result.stderr
    rows = list(csv.DictReader((tmp_path / "run" / "submission" / "index.csv").open()))
    assert len(rows) == 6
    for row in rows:
        start, size = int(row["offset"]), int(row["bytes"])
        raw = bucket.file_system.cat_file(f"{bucket.name}/raw/{row['shard']}", start=start, end=start + size)
        assert raw == (tmp_path / "raw" / f"{row['name']}.npy").read_bytes()


def test_the_report_shows_raw_from_the_store_and_nothing_shows_credentials(
    s3_server, bucket, finished, monkeypatch
):
    folder, settings = finished
    page = (folder / "submission" / "report.html").read_text()
    assert page.count("data:image") > 5  # the panels and thumbnails of all photos
    scores = json.loads((folder / "submission" / "scores.json").read_text())["images"]
    assert len(scores) == 5 and all(image["consistency_psnr"] > 20 for image in scores.values())
    secrets = [s3_server.secret_key.encode(), s3_server.access_key.encode()]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 30
    assert not [path for path in files if any(secret in path.read_bytes() for secret in secrets)]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    refused = snakemake(folder, "-n", **settings)
    assert refused.returncode == 1
    said = refused.stdout + refused.stderr
    (line,) = [line for line in said.splitlines() if f"{bucket.url}/photos: " in line]
    assert "can't be read" in line and "check the address, the credentials and the network" in line
    assert "wrong" not in said and "Traceback" not in said
