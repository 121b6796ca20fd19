"""The list of models, and checks of its entries and files."""

import shutil

import pytest
import yaml
from conftest import ROOT, random_unet

from omf.models.checkpoints import save_network
from omf.models.registry import check_files, find_file_problem, find_model, is_trusted_url, read_models
from omf.utils.errors import InputError
from omf.utils.files import sha256


@pytest.fixture
def registry(tmp_path, tiny_model):
    """A models.yaml with one valid model, and its files."""
    shutil.copytree(tiny_model, tmp_path / "tiny")
    files = {
        branch: {
            "name": f"tiny/{branch}.safetensors",
            "sha256": sha256(path := tiny_model / f"{branch}.safetensors"),
            "bytes": path.stat().st_size,
        }
        for branch in ("oe", "noe")
    }
    entry = {
        "widths": [4, 6, 8],
        "camera": "samsung_s7",
        "source": "test",
        "licence": "none",
        "description": "",
        "files": files,
    }
    (tmp_path / "models.yaml").write_text(yaml.safe_dump({"tiny": entry}))
    return tmp_path


def test_the_shipped_list_and_its_files_are_complete():
    models = read_models()
    for model in models.values():
        assert model.source
        assert model.licence or not model.files
        assert model.description
        assert all(len(file.sha256) == 64 and file.bytes for file in model.files)
    check_files(models["samsung_s7"])
    assert (ROOT / "trained_models" / "samsung_s7" / "README.md").is_file()


def test_the_released_files_are_listed_with_their_hashes():
    published = read_models()["published"]
    assert published.oe.path.name == "final_yuv_OE_mask-220.pt"
    assert published.oe.sha256 == "2d32ec0e3136bf1de3f7f19919d1b91bbf417c73e247c20c71aa84ab0f3463bd"
    assert published.noe.path.name == "final_yuv_OE_NOE_mask-220.pt"
    assert published.noe.sha256 == "5be1f52e497c3baf3bccfb5b9325b8cbc2bd0ee3121bfa892c393f23ad05c429"
    assert {file.bytes for file in published.files} == {138216713}


def test_find_by_name(registry):
    model = find_model("tiny", registry)
    check_files(model)
    assert (model.name, model.oe.path, model.noe.path) == (
        "tiny",
        *(registry / "tiny" / f"{name}.safetensors" for name in ("oe", "noe")),
    )


def test_find_by_folder(registry, tiny_model, published_model):
    check_files(find_model(str(tiny_model), registry))
    published = find_model(str(published_model), registry)
    assert published.oe.path.name == "final_yuv_OE_mask-220.pt"
    assert published.oe.sha256 is None


def test_a_listed_file_with_another_hash_is_refused_by_name_and_by_folder(registry):
    path = registry / "tiny" / "oe.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    for name in ("tiny", str(registry / "tiny")):
        with pytest.raises(InputError, match=r"oe\.safetensors: its sha256 is not the one in models\.yaml"):
            check_files(find_model(name, registry))


def test_a_listed_pickle_with_another_hash_is_not_opened(tmp_path, published_model):
    shutil.copy(ROOT / "trained_models" / "models.yaml", tmp_path)
    for file in published_model.iterdir():
        (tmp_path / file.name).symlink_to(file)
    with pytest.raises(
        InputError, match=r"final_yuv_OE_mask-220\.pt: .*models\.yaml.*omf models fetch published"
    ):
        check_files(find_model("published", tmp_path))


def test_problems_of_a_file_are_described(registry):
    model = find_model("tiny", registry)
    model.oe.path.write_bytes(model.oe.path.read_bytes()[:100])
    assert "100 bytes, but models.yaml says" in find_file_problem(model.oe, "tiny")
    model.oe.path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "Git LFS pointer" in find_file_problem(model.oe, "tiny")
    model.oe.path.unlink()
    assert "no such file" in find_file_problem(model.oe, "tiny")


@pytest.mark.parametrize("name", ["tny", "nowhere/at/all"])
def test_an_unknown_model_is_reported_with_the_known_ones(registry, name):
    with pytest.raises(InputError, match=f"{name}: neither in models.yaml nor a folder; known models: tiny"):
        find_model(name, registry)


def test_a_folder_without_a_pair_is_reported(registry, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"does not hold the weights of a model; put base\.safetensors"):
        find_model(str(tmp_path / "empty"), registry)


HASH = "0" * 64


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a list",
        "model: {files: {}}",
        "a: [unclosed",
        f"m: {{files: {{oe: {{name: x, sha256: '{HASH}', bytes: 1, color: red}}}}, widths: [1]}}",
    ],
)
def test_an_invalid_list_is_reported_on_one_line(tmp_path, text):
    (tmp_path / "models.yaml").write_text(text)
    with pytest.raises(InputError, match=r"models\.yaml: can't be read as a list of models") as caught:
        read_models(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": ["4", 6]}, "widths must be whole numbers"),
        ({"widths": []}, "it must have widths"),
        ({"method": "magic"}, "method must be fusion or unprocess or inverse"),
        ({"camera": 7}, "camera, description, source and licence must be text"),
        ({"extra_data": "no"}, "must be true or false"),
        ({"files": {"oe": {"name": "a", "sha256": "0" * 64, "bytes": 1}}}, "files oe and noe"),
        ({"description": "x" * 10_000, "licence": 3}, "must be text"),
    ],
)
def test_invalid_fields_of_a_listed_model_are_reported(registry, change, message):
    entries = yaml.safe_load((registry / "models.yaml").read_text())
    (registry / "models.yaml").write_text(yaml.safe_dump({"tiny": entries["tiny"] | change}))
    with pytest.raises(
        InputError, match=f"models.yaml: can't be read as a list of models .tiny: .*{message}"
    ):
        read_models(registry)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"a: 2001-99-99", b"a: &r [*r]", b"[" * 5000, b"a: !!bool x", b"a: {[b]: c}"]
)
def test_a_list_that_is_not_text_or_yaml_is_reported_on_one_line(tmp_path, content):
    (tmp_path / "models.yaml").write_bytes(content)
    with pytest.raises(InputError, match=r"models\.yaml: can't be read as a list of models") as caught:
        read_models(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_name_too_long_for_a_file_is_unknown(registry):
    with pytest.raises(InputError, match=r"neither in models\.yaml nor a folder"):
        find_model("x" * 5000, registry)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": "../../x.pt"}, r"name \.\./\.\./x\.pt leads out of the folder"),
        ({"name": "tiny/../../x.pt"}, "leads out of the folder"),
        ({"name": "/etc/hostname"}, "name /etc/hostname leads out of the folder"),
        ({"sha256": None}, "has no sha256"),
        ({"sha256": "5f2d"}, "has no sha256"),
        ({"bytes": None}, "has no bytes"),
        ({"bytes": "many"}, "has no bytes"),
        (
            {"url": "http://example.org/oe.pt"},
            r"url http://example\.org/oe\.pt is not trusted; give one that begins with https://",
        ),
        ({"url": "http://127.0.0.1@example.org/oe.pt"}, "is not trusted"),
        ({"url": "ftp://example.org/oe.pt"}, "is not trusted"),
        ({"url": "file:///etc/hostname"}, "is not trusted"),
        ({"url": "https:///oe.pt"}, "is not trusted"),
        ({"url": "http://[::1/oe.pt"}, "is not trusted"),
        ({"url": 7}, "is not trusted"),
    ],
)
def test_an_untrusted_file_entry_is_refused(registry, change, problem):
    listing = registry / "models.yaml"
    entries = yaml.safe_load(listing.read_text())
    entries["tiny"]["files"]["noe"].update(change)
    listing.write_text(yaml.safe_dump(entries))
    with pytest.raises(InputError, match=rf"models\.yaml: tiny, noe: .*{problem}") as caught:
        find_model("tiny", registry)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://example.org/oe", "http://127.0.0.1:8000/oe", "http://localhost/oe", "http://[::1]:80/oe"]
)
def test_trusted_urls(url):
    assert is_trusted_url(url)


@pytest.mark.parametrize(("header_camera", "camera"), [("huawei_p20", "huawei_p20"), (None, "samsung_s7")])
def test_the_header_of_the_weights_names_the_camera(tmp_path, header_camera, camera):
    for branch in ("oe", "noe"):
        save_network(random_unet((4, 6), 0), tmp_path / f"{branch}.safetensors", header_camera)
    assert find_model(str(tmp_path)).camera == camera


def test_unreadable_weights_name_no_camera(tmp_path):
    for branch in ("oe", "noe"):
        (tmp_path / f"{branch}.safetensors").write_text("no weights")
    assert find_model(str(tmp_path)).camera == "samsung_s7"
