"""Downloads from a local HTTP server, which can simulate faults."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from weights_server import serving

from omf.models import download
from omf.models.download import fetch
from omf.models.registry import WeightsFile
from omf.utils.errors import InputError

CONTENT = np.random.default_rng(0).bytes(1_000_000)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.01)
    with serving({"/weights.pt": CONTENT}) as server:
        yield server


@pytest.fixture
def file(server, tmp_path) -> WeightsFile:
    digest = hashlib.sha256(CONTENT).hexdigest()
    return WeightsFile(tmp_path / "weights.pt", digest, len(CONTENT), server.url("/weights.pt"))


@pytest.fixture
def part(file) -> Path:
    return file.path.with_name("weights.pt.part")


def test_a_file_is_downloaded_once(server, file):
    assert fetch(file, "model")
    assert file.path.read_bytes() == CONTENT
    assert not fetch(file, "model")
    assert len(server.ranges_requested) == 1
    assert [path.name for path in file.path.parent.iterdir()] == ["weights.pt"]


def test_dropped_connections_are_resumed(server, file):
    server.drop_after = 150_000
    assert fetch(file, "model")
    assert file.path.read_bytes() == CONTENT
    starts = range(150_000, 1_000_000, 150_000)
    assert server.ranges_requested == [None, *(f"bytes={start}-" for start in starts)]
    assert len(starts) > download.ATTEMPTS  # which counts those without progress only


@pytest.mark.parametrize("ranges", [True, False])
def test_a_later_call_resumes_or_starts_over_if_the_server_cannot(server, file, part, ranges):
    part.write_bytes(CONTENT[:400_000] if ranges else b"x" * 1000)
    server.ranges = ranges
    assert fetch(file, "model")
    assert file.path.read_bytes() == CONTENT
    assert server.ranges_requested == ["bytes=400000-" if ranges else "bytes=1000-"]


def test_a_connection_without_data_is_reported_and_the_part_is_kept(server, file, part):
    part.write_bytes(CONTENT[:5000])
    server.drop_after = 0
    with pytest.raises(InputError, match=r"can't be downloaded.*call again to resume"):
        fetch(file, "model")
    assert len(server.ranges_requested) == download.ATTEMPTS
    assert not file.path.exists()
    assert part.read_bytes() == CONTENT[:5000]


@pytest.mark.parametrize("content", [bytes(len(CONTENT)), CONTENT + b"more"])
def test_a_wrong_file_never_gets_the_final_name(server, file, content):
    server.files["/weights.pt"] = content
    with pytest.raises(InputError, match=r"not the file that models\.yaml lists"):
        fetch(file, "model")
    assert list(file.path.parent.iterdir()) == []


def test_a_file_that_cannot_be_downloaded_is_reported(server, file):
    with pytest.raises(InputError, match=r"/proc/own: can't be written to .*; set OMF_HOME"):
        fetch(replace(file, path=Path("/proc/own/weights.pt")), "model")
    assert not server.ranges_requested
    server.status = 404
    with pytest.raises(InputError, match=r"404.*copy the file to .*weights\.pt by hand"):
        fetch(file, "model")
    assert len(server.ranges_requested) == 1
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match="can't be downloaded"):
        fetch(file, "model")
    with pytest.raises(InputError, match="no such file; copy it again"):
        fetch(replace(file, url=None), "model")


@pytest.mark.parametrize(
    "target",
    ["http://example.org/weights.pt", "http://127.0.0.1.example.org/weights.pt", "file:///etc/hostname"],
)
def test_a_redirect_to_an_untrusted_url_is_not_followed(server, file, part, target):
    server.redirect_to = target
    with pytest.raises(InputError, match=r"not followed|can't be downloaded"):
        fetch(file, "model")
    assert not file.path.exists() and part.stat().st_size == 0
    with serving({"/other": CONTENT}) as other:  # on this machine
        server.redirect_to = other.url("/other")
        assert fetch(file, "model")
    assert file.path.read_bytes() == CONTENT


def test_an_endless_file_is_read_to_one_byte_beyond_its_size(server, file):
    server.files["/weights.pt"] = CONTENT + bytes(10 * len(CONTENT))
    file.path.touch()
    download.download(file, file.path)
    assert file.path.read_bytes() == CONTENT + bytes(1)


@pytest.mark.parametrize(
    "content", [CONTENT[:1000], b"version https://git-lfs.github.com/spec/v1\noid", b"mine"]
)
def test_another_file_of_that_name_is_kept(server, file, content):
    file.path.write_bytes(content)
    server.status = 500
    with pytest.raises(InputError):
        fetch(file, "model")
    assert file.path.read_bytes() == content  # until there is the listed one
    server.status = 200
    assert fetch(file, "model")
    assert file.path.read_bytes() == CONTENT
    kept = file.path.with_name("weights.pt.old")
    assert kept.exists() == (content == b"mine")
    assert content != b"mine" or kept.read_bytes() == content
