"""The S3 server of the tests behaves as object storage does."""

import hashlib
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT
from storage.s3_server import reason_to_skip

s3fs = pytest.importorskip("s3fs")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(reason_to_skip()), reason=str(reason_to_skip()))]


def test_a_listing_comes_in_pages(unreliable, bucket):
    names = [f"{bucket.name}/{number:04}" for number in range(1500)]
    bucket.file_system.pipe(dict.fromkeys(names, b"x"))
    unreliable.requests.clear()
    assert bucket.file_system.ls(bucket.name, detail=False) == names
    assert unreliable.requests == {("GET", f"/{bucket.name}"): 2}


def test_ranges_and_etags(bucket):
    content = bytes(range(256)) * 16
    bucket.file_system.pipe(f"{bucket.url}/object", content)
    path = {"Bucket": bucket.name, "Key": "object"}
    etag = f'"{hashlib.md5(content).hexdigest()}"'
    assert bucket.file_system.call_s3("head_object", **path)["ETag"] == etag
    part = bucket.file_system.call_s3("get_object", **path, Range="bytes=1000-1099")
    assert part["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert part["ContentRange"] == f"bytes 1000-1099/{len(content)}"
    assert bucket.file_system.cat_file(f"{bucket.url}/object", start=1000, end=1100) == content[1000:1100]


def test_multipart_upload(unreliable, bucket):
    size, path = 5 * 2**20, f"{bucket.name}/object"
    parts = [bytes([number]) * size for number in range(4)]
    with bucket.file_system.open(path, "wb", block_size=size) as file:
        for part in parts:
            file.write(part)
        assert not bucket.file_system.exists(path)
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    assert bucket.file_system.info(path)["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-4"'
    assert bucket.file_system.cat_file(path) == b"".join(parts)
    # each part, and the beginning and the end of the upload
    assert [unreliable.requests[method, f"/{path}"] for method in ("PUT", "POST")] == [4, 2]


def test_refused_credentials_and_missing_bucket(s3_server, bucket):
    bucket.file_system.pipe(f"{bucket.url}/object", b"x")
    for key, secret in ((s3_server.access_key, "wrong"), ("wrong", s3_server.secret_key)):
        other = s3fs.S3FileSystem(key=key, secret=secret)
        with pytest.raises(PermissionError) as refused:
            other.cat_file(f"{bucket.url}/object")
        assert refused.value.__cause__.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    with pytest.raises(FileNotFoundError) as missing:
        bucket.file_system.call_s3("list_objects_v2", Bucket=f"{bucket.name}-missing")
    assert missing.value.__cause__.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_refused_requests_are_repeated(unreliable, bucket):
    path = {"Bucket": bucket.name, "Key": "object"}
    url = f"/{bucket.name}/object"
    bucket.file_system.retries = 1  # those of s3fs; botocore's remain
    unreliable.refusals = 2
    bucket.file_system.call_s3("put_object", **path, Body=b"x")
    assert unreliable.requests["PUT", url] == 3
    unreliable.refusals = 2
    bucket.file_system.call_s3("get_object", **path)
    assert unreliable.requests["GET", url] == 3
    unreliable.refusals = math.inf
    hasty = s3fs.S3FileSystem(config_kwargs={"retries": {"total_max_attempts": 2}})
    hasty.retries = 1
    with pytest.raises(OSError, match="reduce your request rate") as refused:
        hasty.call_s3("get_object", **path)
    assert refused.value.__cause__.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert unreliable.requests["GET", url] == 5


def is_running(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")  # zombies may stay, where no one waits for them
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


OWNER = """
import time
from storage.s3_server import S3Server

server = S3Server()
server.start()
print(server.folder, *(daemon.pid for daemon in server.daemons), flush=True)
time.sleep(600)
"""


def test_no_daemon_outlives_its_owner():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    with owner:
        folder, *daemons = owner.stdout.readline().split()
        owner.send_signal(signal.SIGKILL)
    shutil.rmtree(folder)
    assert len(daemons) == 3
    deadline = time.monotonic() + 60
    while any(is_running(int(daemon)) for daemon in daemons):
        assert time.monotonic() < deadline
        time.sleep(0.1)
