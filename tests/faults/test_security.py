"""Security: no code from files runs, no unverified weights are loaded, and no personal data is written."""

import ast
import base64
import json
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, random_rgb, snakemake
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from omf.io.raw_formats import FORMAT_SUFFIXES, RawFormat, Writer
from omf.models import checkpoints
from omf.models.registry import Model, WeightsFile
from omf.pipeline.submission import write_submission
from omf.raw.camera import load_camera
from omf.utils.errors import InputError
from omf.utils.files import save_npy
from omf.utils.paths import redact_home
from omf.utils.yaml import BoundedLoader, NamesLoader

# --- the source ---

SOURCES = [
    path
    for folder in ("omf", "scripts", "benchmarks", "docs", "examples")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
RULES = [ROOT / "Snakefile", ROOT / "workflow" / "Snakefile", *sorted((ROOT / "workflow").rglob("*.smk"))]
UNSAFE_CALLS = {
    *("eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads", "pickle.Unpickler"),
    *("yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "joblib.load", "marshal.loads", "shelve.open"),
    *("tempfile.mktemp", "shutil.unpack_archive"),
}
SAFE_LOADERS = {"yaml.SafeLoader", "BoundedLoader", "NamesLoader"}  # allowed as last argument of yaml.load


def unsafe_calls(source: str) -> list[str]:
    """Return calls that may execute code from a file or a file name."""
    unsafe = []
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        settings = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if (
            name in UNSAFE_CALLS
            or name.endswith((".extractall", ".extract"))
            or (name == "yaml.load" and ast.unparse(call.args[-1]) not in SAFE_LOADERS)
            or (name == "torch.load" and settings.get("weights_only") != "True")
            or settings.get("allow_pickle", "False") != "False"
            or settings.get("shell", "False") != "False"
        ):
            unsafe.append(ast.unparse(call))
    return unsafe


def test_unsafe_calls_are_detected():
    for source in (
        *("pickle.load(file)", "pickle.Unpickler(file).load()", "os.system(command)", "eval(text)"),
        *("torch.load(path)", "torch.load(path, weights_only=False)", "np.load(path, allow_pickle=True)"),
        *("yaml.load(text)", "yaml.load(text, yaml.Loader)", "yaml.load(text, Loader=yaml.UnsafeLoader)"),
        *("subprocess.run(command, shell=True)", "exec(text)", "zipfile.ZipFile(path).extractall()"),
    ):
        assert len(unsafe_calls(source)) == 1, source


def test_the_source_contains_no_unsafe_calls():
    assert len(SOURCES) > 70
    assert {str(path): calls for path in SOURCES if (calls := unsafe_calls(path.read_text()))} == {}
    assert issubclass(BoundedLoader, yaml.SafeLoader) and issubclass(NamesLoader, BoundedLoader)
    safe = "network.eval(); torch.load(p, weights_only=True); np.load(p); yaml.safe_load(t)"
    assert unsafe_calls(f"{safe}; np.load(p, allow_pickle=False)") == []


def test_all_parts_of_shell_commands_are_quoted():
    commands = 0
    for path in RULES:
        text = path.read_text()
        assert not re.search(r"\b(eval|exec|os\.system|subprocess)\b\s*\(", text), path
        for command in re.findall(r"shell:\n((?:\s+\".*\"\n)+)", text):
            commands += 1
            for part in re.findall(r"{(.*?)}", command):
                assert part.endswith(":q"), command
    assert commands == sum(path.read_text().count("shell:\n") for path in RULES) >= 10


# --- weights ---


class OpenedError(BaseException):
    """Exception that no reader mistakes for a damaged file."""


def test_a_file_with_the_wrong_hash_is_never_opened(tiny_model, published_model, monkeypatch):
    def opened(*_, **__):
        raise OpenedError

    monkeypatch.setattr(checkpoints, "safe_open", opened)
    monkeypatch.setattr(checkpoints.torch, "load", opened)
    for path in (tiny_model / "oe.safetensors", published_model / "final_yuv_OE_mask-220.pt"):
        right, unknown = WeightsFile(path), WeightsFile(path, sha256="0" * 64)
        for files in ((right, unknown), (unknown, right), (right, right, unknown)):
            model = Model("tiny", **dict(zip(("oe", "noe", "demosaic"), files)))
            with pytest.raises(InputError, match=r"its sha256 is not the listed one, so it is not loaded"):
                checkpoints.load_networks(model)
        with pytest.raises(OpenedError):  # without a hash to check, the file is opened
            checkpoints.load_networks(Model("tiny", right, right))


class Bomb:
    """Object whose pickle writes a file when it is loaded unsafely."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickled_code_does_not_run(tmp_path):
    torch.save({"Conv.weight": Bomb(tmp_path / "ran")}, tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"weights\.pt: can't be read as weights"):
        checkpoints.load_network(tmp_path / "weights.pt")
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "weights.pt", weights_only=False)
    assert (tmp_path / "ran").exists()  # unsafe loading runs it


# --- the archive ---


def test_the_zip_contains_flat_names_only(tmp_path):
    names = ["a.npy", "..npy", "-n.npy", "C:a.npy", "~.npy", "$(touch x).npy"]
    raws = []
    for number, name in enumerate(names):
        raws.append(tmp_path / "raw" / f"s{number}" / name)
        save_npy(raws[-1], np.zeros((1, 1, 4), np.uint16))
    write_submission(raws, "readme", tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "out" / "submission.zip") as archive:
        assert sorted(archive.namelist()) == sorted([*names, "readme.txt"])
        for entry in archive.infolist():
            assert "/" not in entry.filename and entry.filename not in (".", "..")
            assert entry.external_attr == 0o644 << 16  # a regular file, no link


# --- personal data ---

MARK = "SECRET"
LATITUDE = (IFDRational(7919, 104729), IFDRational(7907, 104723), IFDRational(7901, 104717))
XMP = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><dc:creator>{MARK}-xmp</dc:creator></x:xmpmeta>'.encode()
IPTC_RECORD = b"\x1c\x02\x50" + struct.pack(">H", 11) + b"SECRET-iptc"
IPTC = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC_RECORD)) + IPTC_RECORD


def personal_exif() -> Image.Exif:
    """Return EXIF with MARK or `LATITUDE` in every personal field, and some fields that may be copied."""
    exif = Image.Exif()
    exif[271], exif[272] = "Maker", "Model 7"
    exif.update({tag: f"{MARK}-{tag}" for tag in (270, 315, 33432)})  # ImageDescription, Artist, Copyright
    exif.update({700: XMP, 33723: IPTC, 40092: f"{MARK}-comment".encode("utf-16-le")})  # XMP, IPTC, XPComment
    # ImageUniqueID, CameraOwnerName, BodySerialNumber, LensSerialNumber
    capture = {33434: IFDRational(1, 100)} | {tag: f"{MARK}-{tag}" for tag in (42016, 42032, 42033, 42037)}
    capture |= {37500: f"{MARK}-maker-note".encode(), 37510: f"ASCII\0\0\0{MARK}-comment".encode()}
    exif.get_ifd(34665).update(capture)
    gps = {0: b"\2\3\0\0", 1: "N", 2: LATITUDE, 3: "E", 4: LATITUDE}
    gps |= {27: f"ASCII\0\0\0{MARK}-gps".encode(), 28: b"SECRET-area"}
    exif.get_ifd(34853).update(gps)
    return exif


def personal_photos(folder: Path) -> list[Path]:
    """Write a photo of each kind with MARK in every text field of the format."""
    folder.mkdir()
    image, exif = Image.fromarray(random_rgb(96, 128)), personal_exif()
    image.save(folder / "a.jpg", exif=exif, comment=f"{MARK}-comment")
    jpeg = (folder / "a.jpg").read_bytes()
    added = b""
    for kind, content in ((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP), (0xED, IPTC)):
        added += struct.pack(">BBH", 0xFF, kind, len(content) + 2) + content
    (folder / "a.jpg").write_bytes(jpeg[:2] + added + jpeg[2:] + f"{MARK}-behind".encode())
    words = PngInfo()
    words.add_text("Author", f"{MARK}-text")
    words.add_itxt("XML:com.adobe.xmp", XMP.decode())
    image.save(folder / "b.png", exif=exif, pnginfo=words)
    tags = ImageFileDirectory_v2()
    tags.update(dict(exif) | {tag: dict(exif.get_ifd(tag)) for tag in (34665, 34853)})
    image.save(folder / "c.tif", tiffinfo=tags)
    for photo in folder.iterdir():
        assert photo.read_bytes().count(MARK.encode()) >= 10
        assert contains_location(photo.read_bytes())
    return sorted(folder.iterdir())


def contains_location(content: bytes) -> bool:
    return any(struct.pack(f"{order}II", 7919, 104729) in content for order in "<>")


def all_bytes(path: Path) -> bytes:
    """Return the content of a file, including files in an archive and base64 data in HTML."""
    content = path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            content += b"".join(archive.read(name) for name in archive.namelist())
    if path.suffix == ".html":
        content += b"".join(map(base64.b64decode, re.findall(rb"base64,([A-Za-z0-9+/=]+)", content)))
    return content


def contains_mark(content: bytes) -> bool:
    return any(MARK.encode(coding) in content for coding in ("utf-8", "utf-16-le", "utf-16-be"))


@pytest.mark.parametrize("kind", FORMAT_SUFFIXES)
def test_no_format_contains_personal_data_and_only_dng_contains_the_location(tmp_path, kind):
    photos = {photo.stem: photo for photo in personal_photos(tmp_path / "photos")}
    raw = np.zeros((96, 128, 3), np.float32)
    for gps in (False, True):
        out = tmp_path / f"out_{gps}"
        write = Writer(out, RawFormat(kind, 14, 16383, gps=gps), load_camera("samsung_s7"), "model")
        for name, photo in photos.items():
            write(photo.stem, photo, raw)
            (written,) = out.glob(f"{name}.*")
            content = all_bytes(written)
            assert not contains_mark(content), photo
            assert contains_location(content) == (gps and kind == "dng"), photo
            assert (b"Model 7" in content) == (kind == "dng")  # the allowed fields are copied


def test_a_run_contains_no_personal_data_and_no_home_folder(tmp_path, monkeypatch):
    """Check all files of a workflow run, in which one photo is damaged and therefore named in messages."""
    photos = personal_photos(tmp_path / "photos")
    (tmp_path / "photos" / "cut.jpg").write_bytes(photos[0].read_bytes()[:-3000])
    run = tmp_path / "run"
    run.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = {"images": tmp_path / "photos", "ground_truth": "", "model": "unprocess", "device": "cpu"}
    result = snakemake(run, output_format="dng", gps=True, **settings)
    assert result.returncode == 1 and "~/photos/cut.jpg: can't be decoded" in result.stderr, result.stderr
    folders = (run / "results", run / "submission")
    outputs = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    expected = {"report.html", "provenance.json", "summary.json", "summary.txt", "a.dng", "b.dng", "c.dng"}
    assert expected <= {path.name for path in outputs}
    for path in outputs:
        content = all_bytes(path)
        assert not contains_mark(content), path
        assert contains_location(content) == (path.suffix == ".dng"), path
        if path.is_relative_to(run / "submission"):
            assert str(tmp_path).encode() not in content, path
    settings = json.loads((run / "submission" / "provenance.json").read_text())["config"]
    assert settings["images"] == "~/photos"


def test_the_home_folder_is_redacted(monkeypatch):
    monkeypatch.setenv("HOME", "/home/alice/")
    assert redact_home({"a": ["/home/alice/x.jpg: broken ('/home/alice/y')", 7, None]}) == {
        "a": ["~/x.jpg: broken ('~/y')", 7, None]
    }
    assert redact_home("model=/home/alice") == "model=~"
    for other in ("/home/alice2/x", "/mnt/home/alice/x", "/"):
        assert redact_home(other) == other
    monkeypatch.setenv("HOME", "/")
    assert redact_home("/data/x") == "/data/x"
