"""Downloads from a real HTTP server on this machine, which also misbehaves."""

import hashlib

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
    return WeightsFile(
        tmp_path / "weights.pt", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), server.url("/weights.pt")
    )


def test_a_file_is_fetched_once(server, file):
    assert fetch(file, "model")
    assert file.path.read_bytes() == CONTENT
    assert not fetch(file, "model")
    assert len(server.asked) == 1
    assert [path.name for path in file.path.parent.iterdir()] == ["weights.pt"]


def test_dropped_connections_are_resumed(server, file):
    server.drop_after = 300_000
    assert fetch(file, "model")
    assert file.path.read_bytes() == CONTENT
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in server.asked[1:]]
    assert starts == [300_000, 600_000, 900_000]


def test_a_server_that_can_not_resume_starts_over(server, file):
    file.path.with_name("weights.pt.part").write_bytes(b"x" * 1000)
    server.ranges = False
    assert fetch(file, "model")
    assert file.path.read_bytes() == CONTENT


def test_a_later_call_goes_on_from_what_has_arrived(server, file):
    file.path.with_name("weights.pt.part").write_bytes(CONTENT[:400_000])
    assert fetch(file, "model")
    assert file.path.read_bytes() == CONTENT
    assert server.asked == ["bytes=400000-"]


def test_a_connection_that_gives_nothing_ends_with_one_line_and_keeps_the_part(server, file):
    file.path.with_name("weights.pt.part").write_bytes(CONTENT[:5000])
    server.drop_after = 0
    with pytest.raises(InputError, match=r"can't be fetched.*call again to go on"):
        fetch(file, "model")
    assert len(server.asked) == download.ATTEMPTS
    assert not file.path.exists()
    assert file.path.with_name("weights.pt.part").read_bytes() == CONTENT[:5000]


@pytest.mark.parametrize("content", [bytes(len(CONTENT)), CONTENT + b"more"])
def test_wrong_bytes_never_get_the_final_name(server, file, content):
    server.files["/weights.pt"] = content
    with pytest.raises(InputError, match=r"not the file that models\.yaml lists"):
        fetch(file, "model")
    assert list(file.path.parent.iterdir()) == []


def test_a_file_that_is_not_there_is_told(server, file):
    server.status = 404
    with pytest.raises(InputError, match=r"404.*copy the file to .*weights\.pt by hand"):
        fetch(file, "model")
    assert len(server.asked) == 1


def test_nobody_answers(server, file):
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match="can't be fetched"):
        fetch(file, "model")


def test_a_wrong_file_in_place_is_replaced_only_by_the_right_one(server, file):
    file.path.write_bytes(b"something else")
    server.status = 500
    with pytest.raises(InputError):
        fetch(file, "model")
    assert file.path.read_bytes() == b"something else"
    server.status = 200
    assert fetch(file, "model")
    assert file.path.read_bytes() == CONTENT


def test_a_model_without_an_address_can_not_be_fetched(tmp_path):
    with pytest.raises(InputError, match="not there; copy it again"):
        fetch(WeightsFile(tmp_path / "a.pt", "0" * 64, 1), "model")


@pytest.mark.parametrize(
    "elsewhere",
    ["http://example.org/weights.pt", "http://127.0.0.1.example.org/weights.pt", "file:///etc/hostname"],
)
def test_a_redirection_to_an_address_that_is_not_safe_is_not_followed(server, file, elsewhere):
    server.elsewhere = elsewhere
    with pytest.raises(InputError, match=r"not fetched from|can't be fetched"):
        fetch(file, "model")
    assert not file.path.exists() and file.path.with_name("weights.pt.part").stat().st_size == 0


def test_a_redirection_on_this_machine_is_followed(server, file):
    with serving({"/other": CONTENT}) as other:
        server.elsewhere = other.url("/other")
        assert fetch(file, "model")
    assert file.path.read_bytes() == CONTENT


def test_of_a_file_without_end_one_byte_too_many_is_taken(server, file):
    server.files["/weights.pt"] = CONTENT + bytes(10 * len(CONTENT))
    download.download(file, file.path)
    assert file.path.read_bytes() == CONTENT + bytes(1)
