"""The list of models, and checks of its entries and files."""

import multiprocessing
import os
import re
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, random_unet

from omf.models.checkpoints import save_network
from omf.models.registry import (
    check_files,
    check_free_name,
    file_entry,
    find_file_problem,
    find_model,
    is_trusted_url,
    read_camera_name,
    read_entries,
    read_list,
    read_models,
    register_model,
)
from omf.raw.camera import load_camera, own_profile_path
from omf.utils import paths
from omf.utils.errors import InputError
from omf.utils.paths import HOME, user_folder


@pytest.fixture
def registry(own_models, tiny_model):
    """The user's list with one valid model, and its files."""
    folder = shutil.copytree(tiny_model, own_models / "tiny")
    files = {branch: file_entry(folder / f"{branch}.safetensors", "tiny") for branch in ("oe", "noe")}
    (own_models / "local.yaml").write_text(yaml.safe_dump({"tiny": {"widths": [4, 6, 8], "files": files}}))
    return own_models


def install(package: Path) -> Path:
    """Install the data of the program, without weights."""
    for name in ("trained_models", "cameras"):
        shutil.copytree(ROOT / name, package / name, ignore=shutil.ignore_patterns("*.safetensors", "*.md"))
    return package


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """Return the folder of an installed package, without weights."""
    monkeypatch.setattr(paths, "PACKAGE", tmp_path / "omf")
    return install(tmp_path / "omf")


def test_the_shipped_list_and_its_files_are_complete():
    models = read_models()
    for model in models.values():
        assert model.source and model.description and (model.licence or not model.files)
        assert all(len(file.sha256) == 64 and file.bytes for file in model.files)
    check_files(models["samsung_s7"])
    assert (ROOT / "trained_models" / "samsung_s7" / "README.md").is_file()
    published = models["published"]
    assert published.oe.path.name == "final_yuv_OE_mask-220.pt"
    assert published.oe.sha256 == "2d32ec0e3136bf1de3f7f19919d1b91bbf417c73e247c20c71aa84ab0f3463bd"
    assert published.noe.path.name == "final_yuv_OE_NOE_mask-220.pt"
    assert published.noe.sha256 == "5be1f52e497c3baf3bccfb5b9325b8cbc2bd0ee3121bfa892c393f23ad05c429"
    assert {file.bytes for file in published.files} == {138216713}


def test_models_are_found_by_name_and_by_folder(registry):
    for name in ("tiny", str(registry / "tiny")):
        model = find_model(name)
        check_files(model)
        assert model.name == name
        assert [file.path for file in model.files] == [
            registry / "tiny" / f"{network}.safetensors" for network in ("oe", "noe")
        ]
    with pytest.raises(InputError, match=r"does not hold the weights of a model; put base\.safetensors"):
        find_model(str(registry))


def test_released_files_with_another_hash_are_found_by_folder_and_not_opened(own_models):
    files = [own_models / f"final_yuv_{branch}_mask-220.pt" for branch in ("OE", "OE_NOE")]
    for file in files:
        file.touch()
        os.truncate(file, 138216713)
    assert [file.path for file in find_model(str(own_models)).files] == files
    with pytest.raises(InputError, match=r"own/.*OE_mask-220\.pt: .*listed.*omf models fetch published"):
        check_files(find_model("published"))


def test_a_wrong_file_is_refused_by_name_and_by_folder(registry):
    path = registry / "tiny" / "oe.safetensors"
    content = path.read_bytes()
    for wrong, problem in (
        (content[:-1] + bytes([content[-1] ^ 1]), r"oe\.safetensors: its sha256 is not the listed one"),
        (content[:100], f"100 bytes, but {len(content)} are listed"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
    ):
        path.write_bytes(wrong)
        for name in ("tiny", str(registry / "tiny")):
            with pytest.raises(InputError, match=problem):
                check_files(find_model(name))
    model = find_model("tiny")
    path.unlink()
    assert "no such file" in find_file_problem(model.oe, "tiny")


@pytest.mark.parametrize("name", ["tny", "nowhere/at/all", "x" * 5000])
def test_an_unknown_model_is_reported_with_the_known_ones(registry, name):
    with pytest.raises(InputError, match=r"neither listed nor a folder; known models: samsung_s7, .*, tiny$"):
        find_model(name)


FILE = {"name": "x", "sha256": "0" * 64, "bytes": 1}
FUSION = {"widths": [4], "files": {"oe": FILE, "noe": FILE}}
CLASSICAL = {"method": "unprocess"}


def with_noe(**change: object) -> dict:
    return FUSION | {"files": {"oe": FILE, "noe": FILE | change}}


INVALID = [
    ("text", "'str' object has no attribute 'items'"),
    (None, "'NoneType' object has no attribute 'items'"),
    ({"files": {}}, "no 'widths'"),
    ({"widths": [1]}, "no 'files'"),
    (FUSION | {"files": ["x"]}, "'list' object has no attribute 'items'"),
    (FUSION | {"files": {"oe": {"bytes": 3}}}, "no 'name'"),
    (with_noe(color="red"), ".* unexpected keyword argument 'color'"),
    (CLASSICAL | {"colour": 3}, ".* unexpected keyword argument 'colour'"),
    (CLASSICAL | {3: 4}, "keywords must be strings"),
    (CLASSICAL | {"name": "n"}, ".* multiple values for keyword argument 'name'"),
    (CLASSICAL | {"licence": ["mit", "bsd"]}, "licence is .'mit', 'bsd'.; it must be text"),
    (CLASSICAL | {"description": "x" * 10_000, "licence": 3}, "licence is 3; it must be text"),
    (FUSION | {"widths": ["4", 6]}, "widths must be whole numbers, 1 or more"),
    (FUSION | {"widths": []}, "it must have widths, and files oe and noe, or base and oe"),
    (FUSION | {"files": {"oe": FILE}}, "it must have widths, and files oe and noe, or base and oe"),
    (FUSION | {"method": "magic"}, "method must be fusion or unprocess or inverse"),
    (FUSION | {"camera": 7}, "camera is 7; it must be text"),
    (FUSION | {"extra_data": "no"}, "extra_data and trained_here must be true or false"),
    (with_noe(name="/x"), "noe: name /x leads out of the folder; give one below it"),
    (with_noe(name="../../x.pt"), r"noe: name \.\./\.\./x\.pt leads out of the folder; .*"),
    (with_noe(name="tiny/../../x.pt"), "noe: name .* leads out of the folder; .*"),
    (with_noe(sha256=None), "noe: x has no sha256; give the 64 digits that `sha256sum` prints"),
    (with_noe(sha256="5f2d"), "noe: x has no sha256; .*"),
    (with_noe(bytes=None), "noe: x has no bytes; give the file's size"),
    (with_noe(bytes="many"), "noe: x has no bytes; .*"),
]
UNTRUSTED = ["http://example.org/oe.pt", "http://127.0.0.1@example.org/oe.pt", "ftp://example.org/oe.pt", 7]
UNTRUSTED += ["file:///etc/hostname", "https:///oe.pt", "http://[::1/oe.pt"]
INVALID += [
    (with_noe(url=url), f"noe: url {re.escape(str(url))} is not trusted; give one that begins with https://")
    for url in UNTRUSTED
]


@pytest.mark.parametrize(("entry", "problem"), INVALID)
def test_an_invalid_entry_disables_itself_only(registry, caplog, entry, problem):
    with (registry / "local.yaml").open("a") as listing:
        yaml.safe_dump({"m": entry}, listing)
    assert list(read_models())[-1] == "tiny" and "samsung_s7" in read_models()
    assert len(caplog.messages) == 1  # once
    with pytest.raises(InputError) as caught:
        find_model("m")
    for text in (caplog.messages[0], str(caught.value)):
        assert re.fullmatch(rf".*local\.yaml: m: {problem}; correct the entry, or remove it", text)
    check_files(find_model("tiny"))
    before = (registry / "local.yaml").read_bytes()
    with pytest.raises(InputError, match=rf"^mine: {problem}$"):
        register_model("mine", entry)
    assert (registry / "local.yaml").read_bytes() == before


BAD_LISTS = [b"- a list", b"text", b"a: [unclosed", b"\xff\xfe", b"a: 2001-99-99", b"a: &r [*r]", b"[" * 5000]
BAD_LISTS += [b"a: !!bool x", b"a: {[b]: c}", b"[a]: c", b"a: !!python/object/apply:os.abort []", None]


@pytest.mark.parametrize("content", BAD_LISTS)
def test_a_list_that_is_not_text_or_yaml_is_reported_on_one_line(own_models, caplog, content):
    """None: a folder in its place."""
    listing = own_models / "local.yaml"
    listing.mkdir() if content is None else listing.write_bytes(content)
    cause = r" \(\[Errno 21\] Is a directory" * (content is None)
    words = rf"local\.yaml: can't be read as a list of models{cause}"
    with pytest.raises(InputError, match=words) as caught:
        read_list(listing)
    assert "\n" not in str(caught.value)
    # the shipped models work, and nobody writes over the list
    assert find_model("samsung_s7").name == "samsung_s7"
    assert caplog.messages == [str(caught.value)]
    for change in (lambda: check_free_name("mine"), lambda: register_model("mine", {"method": "inverse"})):
        with pytest.raises(InputError, match=words):
            change()
    assert listing.is_dir() if content is None else listing.read_bytes() == content


@pytest.mark.parametrize("text", ["", "# none\n", None])
def test_a_shipped_list_that_is_empty_or_missing_is_reported(tmp_path, text):
    if text is not None:
        (tmp_path / "models.yaml").write_text(text)
    with pytest.raises(InputError, match=r"models\.yaml: can't be read as a list of models"):
        read_list(tmp_path / "models.yaml")


NAMES = ["2024", "on", "null", "~", "1e3", "0x1F", "yes", "2024-01-01", "=", "<<", "a b", "é", "-", "1_000"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_yaml_reads_as_something_else_is_text(own_models, name):
    for description in ("first", "second"):
        register_model(name, {"method": "inverse", "description": description})
        register_model("other", {"method": "inverse"})
    assert find_model(name).description == "second"
    assert list(read_list(own_models / "local.yaml")[0]) == [name, "other"]
    # by hand, without quotes
    (own_models / "local.yaml").write_text("2024: {method: inverse}\non: {method: unprocess}\n")
    register_model("2024", {"method": "unprocess"})
    assert [(find_model(key).method) for key in ("2024", "on")] == ["unprocess", "unprocess"]
    assert (own_models / "local.yaml").read_text().count("2024") == 1


LISTS = {
    "comments": "# mine\na: {method: inverse}  # first\n# about b\nb:\n  method: inverse\n",
    "CRLF": "a: {method: inverse}\r\nb:\r\n  method: inverse\r\n",
    "BOM": "\ufeffa: {method: inverse}\nb: {method: inverse}\n",
    "braces": "{a: {method: inverse}, b: {method: inverse}}",
    "anchors": "a: &a {method: inverse}\nb: *a\n",
    "end of the document": "---\na: {method: inverse}\nb: {method: inverse}\n...\n",
    "an invalid entry": "a: {method: inverse}\nb: {method: inverse}\nbad: 3\n",
    "twice": "a: {method: unprocess}\nb: {method: inverse}\na: {method: inverse}\n",
    "without a last line end": "a: {method: inverse}\nb: {method: inverse}",
    "text on several lines": "a: {method: inverse}\nb:\n  method: inverse\n  source: |\n    a: x\n\n    c: y",
    "quotes": "'a': {method: inverse}\n\"b\":\n  method: inverse\n",
}


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("name", ["a", "mine"])
def test_a_list_that_was_written_by_hand_is_kept(own_models, kind, name):
    listing = own_models / "local.yaml"
    listing.write_bytes(LISTS[kind].encode())
    before = read_entries(listing)
    register_model(name, {"method": "unprocess"})
    assert read_entries(listing) == before | {name: {"method": "unprocess"}}
    assert find_model(name).method == "unprocess" and find_model("b").method == "inverse"
    if kind == "comments":
        assert ("# about b" in listing.read_text()) == (name == "mine") and "# mine" in listing.read_text()


def register_some(start: int) -> None:
    for number in range(start, start + 8):
        register_model(f"m{number}", {"method": "inverse"})


def test_processes_that_register_at_the_same_time(own_models):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.map(register_some, range(0, 32, 8))
    assert sorted(read_list(own_models / "local.yaml")[0]) == sorted(f"m{number}" for number in range(32))


def test_the_list_of_the_user_cannot_hide_shipped_models(own_models, caplog):
    (own_models / "local.yaml").write_text("samsung_s7: {method: inverse}\nmine: {method: inverse}\n")
    assert find_model("samsung_s7").method == "fusion"
    assert read_models()["mine"].method == "inverse"
    assert caplog.messages == [
        f"{own_models}/local.yaml: samsung_s7: comes with the program; rename your model"
    ]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("samsung_s7", "listed already, and not trained here"),
        ("by_hand", "listed already, and not trained here"),
        ("samsung_s7/x", "its folder is that of model samsung_s7"),
        ("mine/x", "its folder is that of model mine"),
        ("jane", "its folder is that of model jane/night"),
        ("weights", "weights: holds files, but is not listed"),
        ("broken", "local.yaml: broken: 'int' object"),
    ],
)
def test_names_that_are_taken(own_models, name, problem):
    for own, entry in (("mine", {"trained_here": True}), ("jane/night", {}), ("by_hand", {})):
        register_model(own, {"method": "inverse"} | entry)
    with (own_models / "local.yaml").open("a") as listing:
        listing.write("broken: 3\n")
    (own_models / "weights").mkdir()
    (own_models / "weights" / "oe.safetensors").touch()
    for free in ("mine", "jane/night", "jane/day", "other"):
        check_free_name(free)
    with pytest.raises(InputError, match=problem):
        check_free_name(name)


@pytest.mark.parametrize("home", ["/proc/own", "/dev/null", None])
def test_a_folder_that_cannot_be_written_to(package, monkeypatch, home):
    if home:
        monkeypatch.setenv(HOME, home)
        problem = f"{home}/trained_models: can't be written to .*; set OMF_HOME to"
    else:
        monkeypatch.delenv(HOME, raising=False)
        monkeypatch.setattr(paths, "user_data_path", lambda _: Path("~/.local/share/omf"))
        problem = "can't be written to .you have no home directory.*; set OMF_HOME to"
    with pytest.raises(InputError, match=problem):
        check_free_name("mine")
    assert find_model("samsung_s7").name == "samsung_s7"


def test_the_folder_of_a_checkout_unless_another_is_given(monkeypatch):
    monkeypatch.setenv(HOME, "own")
    with pytest.raises(InputError, match="OMF_HOME is own; give an absolute path"):
        find_model("samsung_s7")
    monkeypatch.delenv(HOME)
    assert user_folder("cameras") == ROOT / "cameras"


def test_the_folder_of_an_installed_package(package, tmp_path, monkeypatch):
    """An upgrade replaces the package: what is the user's lies elsewhere, and is found."""
    monkeypatch.delenv(HOME, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    own = tmp_path / "share" / "omf"
    assert user_folder("cameras") == own / "cameras"
    assert find_model("published").oe.path == own / "trained_models" / "final_yuv_OE_mask-220.pt"
    register_model("mine", {"method": "inverse", "camera": "my_phone"})
    profile = own_profile_path("my_phone")
    profile.write_bytes((ROOT / "cameras" / "huawei_p20.yaml").read_bytes())
    shutil.rmtree(package)
    install(package)
    assert load_camera(find_model("mine").camera).name == load_camera("huawei_p20").name
    with pytest.raises(InputError, match="camera samsung_s7: comes with the program"):
        own_profile_path("samsung_s7")
    with pytest.raises(InputError, match=r"camera x: .* known cameras: .*my_phone, samsung_s7"):
        load_camera("x")


def test_shipped_weights_name_the_camera_of_their_model():
    """So that a copy of their folder is a model too."""
    files = [(file.path, model.camera) for model in read_models().values() for file in model.files]
    for path, camera in files:
        assert read_camera_name(path) in ((camera,) if path.name == "oe.safetensors" else (None, camera))


def test_published_weights_in_the_checkout_are_found_from_another_home(own_models, package):
    by_hand = package / "trained_models" / "final_yuv_OE_mask-220.pt"
    by_hand.touch()
    published = find_model("published")
    assert (published.oe.path.parent, published.noe.path.parent) == (by_hand.parent, own_models)


def test_models_in_a_shipped_list_of_an_earlier_version(own_models, package):
    """They work, and the next training or fetch of that name replaces them."""
    with (package / "trained_models" / "models.yaml").open("a") as listing:
        listing.write("\nmine: {method: inverse, trained_here: true}\njane/night: {method: inverse}\n")
    for name in ("mine", "jane/night"):
        assert find_model(name).method == "inverse"
        check_free_name(name)
        register_model(name, {"method": "unprocess"})
        assert find_model(name).method == "unprocess"


def test_trusted_urls():
    """UNTRUSTED contains others."""
    local = ("http://127.0.0.1:8000/oe", "http://localhost/oe", "http://[::1]:80/oe")
    assert all(map(is_trusted_url, ("https://example.org/oe", *local)))


@pytest.mark.parametrize("camera", ["huawei_p20", None, "unreadable"])
def test_the_header_of_the_weights_names_the_camera(tmp_path, camera):
    for branch in ("oe", "noe"):
        save_network(random_unet((4, 6), 0), path := tmp_path / f"{branch}.safetensors", camera)
        if camera == "unreadable":
            path.write_text("no weights")
    assert find_model(str(tmp_path)).camera == ("huawei_p20" if camera == "huawei_p20" else "samsung_s7")


def test_names_too_long_for_a_file_are_no_files(registry):
    entries = yaml.safe_load((registry / "local.yaml").read_text())
    entries["tiny"]["camera"] = "x" * 5000 + ".yaml"
    entries["tiny"]["files"]["oe"] |= {"name": "x" * 5000, "url": "https://example.org/oe"}
    (registry / "local.yaml").write_text(yaml.safe_dump(entries))
    assert find_model("tiny").camera == entries["tiny"]["camera"]
