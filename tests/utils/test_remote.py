"""Paths in object storage: here those of fsspec's store in memory."""

import sys
from pathlib import Path

import pytest

from omf.utils.errors import InputError
from omf.utils.remote import is_remote, to_path, upload, version_of


@pytest.fixture
def store() -> Path:
    folder = to_path("memory://store")
    yield folder
    folder.fs.store.clear()


def test_a_text_without_an_address_is_a_path():
    for text in ("photos", "/a/b.tar", "a:b", "c:/d", "s3:/bucket"):
        assert to_path(text) == Path(text) and not is_remote(to_path(text))


def test_paths_in_a_store_behave_as_others(store):
    photo = store / "a.b" / "IMG 1#%é.tar" / "x.jpg"
    assert is_remote(photo) and str(photo) == "memory://store/a.b/IMG 1#%é.tar/x.jpg"
    assert (photo.name, photo.stem, photo.suffix, photo.parent.suffix) == ("x.jpg", "x", ".jpg", ".tar")
    assert to_path(str(photo)) == photo and photo.with_suffix(".npy").name == "x.npy"
    assert sorted([photo, store / "a.jpg"])[0].name == "x.jpg"


def test_an_address_with_credentials_is_refused_and_not_quoted():
    with pytest.raises(InputError, match="credentials") as refused:
        to_path("s3://key:secret@bucket/photos")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "module", "remedy"),
    [
        ("s3://bucket/a", "upath", r"pip install 'overexposure-mask-fusion\[s3\]'"),
        ("gs://bucket/a", "gcsfs", r"pip install 'overexposure-mask-fusion\[gcs\]'"),
        ("nosuch://a", None, "give a folder, or an address of"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(monkeypatch, address, module, remedy):
    if module:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=remedy):
        to_path(address)


def test_an_upload_gives_the_version_that_is_found(store, tmp_path):
    (tmp_path / "x.tar").write_bytes(b"one")
    first = upload(tmp_path / "x.tar", store / "raw" / "x.tar")
    assert version_of(store / "raw" / "x.tar") == (3, first)
    (tmp_path / "x.tar").write_bytes(b"two")
    second = upload(tmp_path / "x.tar", store / "raw" / "x.tar")
    assert version_of(store / "raw" / "x.tar") == (3, second) and first != second


def test_an_object_that_is_not_there_is_one_line(store):
    with pytest.raises(InputError, match=r"memory://store/x\.jpg: can't be read \(no such object\)"):
        version_of(store / "x.jpg")
