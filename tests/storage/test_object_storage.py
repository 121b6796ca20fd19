"""Photos in object storage, and tars written there."""

import io
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import omf, random_rgb, wait_for
from PIL import Image
from storage.s3_server import Bucket, reason_to_skip
from storage.unreliable import Unreliable
from workflow_runs import finish, index_of, kill_once, planned, raw_files, read_json, refusal

pytest.importorskip("s3fs")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(reason_to_skip()), reason=str(reason_to_skip()))]

MANY, THOROUGH = 150, 2000  # photos
PAGE = 1000  # objects that a server lists at a time


def jpeg(seed: int) -> bytes:
    """Return a photo of 32 x 32 pixels, smooth and so of about 1 kB."""
    pixels = np.array(Image.fromarray(random_rgb(4, 4, seed)).resize((32, 32), Image.Resampling.BICUBIC))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def put(bucket: Bucket, folder: str, files: dict[str, bytes]) -> str:
    """Store files and return the address of their folder."""
    bucket.file_system.pipe({f"{bucket.name}/{folder}/{name}": content for name, content in files.items()})
    return f"{bucket.url}/{folder}"


def settings_of(images: object, output: str = "", **others: object) -> dict[str, object]:
    tars = {"output_format": "webdataset"} | ({"output": output} if output else {})
    return {"images": images, "ground_truth": "", "model": "unprocess", "device": "cpu"} | tars | others


def objects(bucket: Bucket, folder: str) -> dict[str, tuple[str, str]]:
    """Return ETag and date of each object in a folder, by its name."""
    bucket.file_system.invalidate_cache()
    return {
        found["name"].rpartition("/")[2]: (found["ETag"], str(found["LastModified"]))
        for found in bucket.file_system.ls(f"{bucket.name}/{folder}", detail=True)
    }


def refuse_for_a_while(proxy: Unreliable, seconds: float = 5) -> None:
    """Let the server refuse all requests, once the jobs are at work."""
    proxy.requests = 0
    wait_for(lambda: proxy.requests > 60)
    proxy.refusing = True
    time.sleep(seconds)
    proxy.refusing = False


def test_many_photos_with_a_kill_and_a_server_that_refuses(thorough, unreliable, bucket, tmp_path):
    count = THOROUGH if thorough else MANY
    photos = {f"{number:04}.jpg": jpeg(number) for number in range(count)}
    images, output = put(bucket, "photos", photos), f"{bucket.url}/raw"
    others = {f"0100-{number}.txt": b"x" for number in range(PAGE)}  # between photos of two pages
    put(bucket, "photos", others)
    folder, settings = tmp_path / "run", settings_of(images, output, shard_size=count // 5)
    notes = folder / "results" / "written"
    kill_once(lambda: len([*notes.glob("*.json")]) > 3, folder, 2, **settings)
    # two jobs run at a time: those of the last two may not have ended
    kept = [note.stem for note in sorted(notes.glob("*.json"), key=lambda note: note.stat().st_mtime)][:-2]
    before = objects(bucket, "raw")
    assert len(kept) > 1
    thread = threading.Thread(target=refuse_for_a_while, args=[unreliable])
    thread.start()
    finish(folder, "--cores", "2", **settings)
    thread.join()
    rows = index_of(folder)
    assert [row["name"] for row in rows] == [Path(name).stem for name in photos]
    after = objects(bucket, "raw")
    for shard in kept:
        assert after[f"{shard}.tar"] == before[f"{shard}.tar"]
    assert not [*folder.rglob("*.tar")] and not [*folder.rglob("*.npy")]

    # the same bytes as of the same photos on a disk
    tar = rows[0]["shard"]
    (tmp_path / "photos").mkdir()
    for row in rows:
        if row["shard"] == tar:
            (tmp_path / "photos" / f"{row['name']}.jpg").write_bytes(photos[f"{row['name']}.jpg"])
    finish(tmp_path / "local", **settings_of(tmp_path / "photos"))
    (local,) = (tmp_path / "local" / "results" / "shards").glob("*.tar")
    assert bucket.file_system.cat(f"{bucket.name}/raw/{tar}") == local.read_bytes()


def test_a_run_follows_its_objects(s3_server, unreliable, bucket, tmp_path, monkeypatch):
    images = put(bucket, "photos", {f"{number}.jpg": jpeg(number) for number in range(5)})
    settings = settings_of(images, f"{bucket.url}/raw", shard_size=3)
    finish(tmp_path, **settings)
    before = objects(bucket, "raw")
    lost, kept, changed = sorted(before)  # their photos are 0, 3, 4; 1; 2

    # the report shows the RAW from the store, and no file the credentials
    page = (tmp_path / "submission" / "report.html").read_text()
    assert page.count("data:image") > 5  # the panels and thumbnails of all photos
    scores = read_json(tmp_path, "scores")["images"]
    assert len(scores) == 5 and all(image["consistency_psnr"] > 20 for image in scores.values())
    secrets = [s3_server.secret_key.encode(), s3_server.access_key.encode()]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 30
    assert not [path for path in files if any(secret in path.read_bytes() for secret in secrets)]
    with monkeypatch.context() as patch:
        patch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        said = refusal(tmp_path, "-n", **settings)
    (line,) = [line for line in said.splitlines() if f"{bucket.url}/photos: " in line]
    assert "can't be read" in line and "check the address, the credentials and the network" in line
    assert "wrong" not in said

    # a change is made again: ETags tell
    unreliable.requests = 0
    assert planned(tmp_path, **settings) == {}
    assert 0 < unreliable.requests < 12  # the objects are listed, not asked for one by one
    put(bucket, "photos", {"2.jpg": jpeg(2)})  # the same content at a later date
    assert planned(tmp_path, **settings) == {}
    put(bucket, "photos", {"2.jpg": jpeg(22)})
    assert planned(tmp_path, **settings)["mosaic"] == 1

    # and so is a lost tar, with the same bytes
    bucket.file_system.rm(f"{bucket.name}/raw/{lost}")
    said = finish(tmp_path, **settings).stderr
    assert f"{bucket.url}/raw/{lost}: not there as it was written, so it is made again" in said
    after = objects(bucket, "raw")
    assert after[kept] == before[kept]
    assert after[lost][0] == before[lost][0] and after[changed][0] != before[changed][0]
    assert planned(tmp_path, **settings) == {}

    # an object of the user's is kept
    put(bucket, "raw", {kept: b"mine"})
    said = refusal(tmp_path, **settings)
    assert f"{bucket.url}/raw/{kept}: there already, and not written by this run" in said
    assert bucket.file_system.cat(f"{bucket.name}/raw/{kept}") == b"mine"


def test_tars_in_and_out(bucket, tmp_path):
    photos = {f"{number}.jpg": jpeg(number) for number in range(6)}
    for shard in range(2):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            for name in list(photos)[shard::2]:
                entry = tarfile.TarInfo(name)
                entry.size = len(photos[name])
                archive.addfile(entry, io.BytesIO(photos[name]))
        put(bucket, "shards", {f"p-{shard}.tar": file.getvalue()})
    run, pattern = tmp_path / "run", f"{bucket.url}/shards/p-{{0..2}}.tar"
    finish(run, code=1, **settings_of(pattern, f"{bucket.url}/raw"))
    problems = read_json(run, "summary")["problems"]
    assert problems == [f"{bucket.url}/shards/p-2.tar: no such file; give a .tar of photos"]
    assert {*objects(bucket, "raw")} == {"p-0.tar", "p-1.tar"}
    result = omf("predict", f"{bucket.url}/shards", "-o", tmp_path / "raw", "--model", "unprocess")
    assert result.returncode == 0, result.stderr
    expected, rows = raw_files(tmp_path / "raw"), index_of(run)
    assert len(rows) == 6
    for row in rows:
        start, size = int(row["offset"]), int(row["bytes"])
        raw = bucket.file_system.cat_file(f"{bucket.name}/raw/{row['shard']}", start=start, end=start + size)
        assert raw == expected[f"{row['name']}.npy"]
