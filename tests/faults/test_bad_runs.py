"""Wrong weights, settings, folders and commands, and inputs that change during a run, give one line."""

import os
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from bad_photos import saved
from conftest import ROOT, run, snakemake
from picture_files import bytes_of
from safetensors import safe_open
from safetensors.torch import save

from omf.evaluation.scores import match_items, score_all, summarise
from omf.inference import load as methods
from omf.inference.unprocess import Unprocess
from omf.io import images
from omf.io.packed import list_packed
from omf.io.raw_formats import RawFormat, Writer, parse_raw_format
from omf.models.registry import read_list
from omf.pipeline import preprocess
from omf.pipeline.config import check_config
from omf.pipeline.infer import infer
from omf.pipeline.mosaic import write_mosaics
from omf.raw.camera import load_camera
from omf.report.page import Example, image_files, select_examples
from omf.utils.errors import InputError

CAMERA = load_camera("samsung_s7")


@pytest.fixture
def predict(omf_lines, tmp_path, photos):
    """Return a function that calls `omf predict` for the photos, and returns its exit code and messages."""

    def call(model: object = "unprocess", *options: object) -> tuple[int, list[str]]:
        return omf_lines("predict", photos, "-o", tmp_path / "out", "--model", model, *options)

    return call


def problems_of(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("problem: ")]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def check_line(line: str, *words: str) -> None:
    assert all(word in line for word in words), line
    assert line.isprintable()
    assert "; " in line
    assert "a bug in the program" not in line


# --- weights

UNREADABLE = "can't be read as weights"
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
SAFE, PUBLISHED = "oe.safetensors", "final_yuv_OE_mask-220.pt"


class Weights:
    """A valid safetensors file, to derive invalid ones from."""

    def __init__(self, path: Path):
        self.data = path.read_bytes()
        with safe_open(path, "pt") as file:
            self.header = file.metadata()
            self.state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict

    def changed(self, **values: torch.Tensor | None) -> bytes:
        state = {key: value for key, value in (self.state | values).items() if value is not None}
        return save(state, self.header)


def with_bias(value: torch.Tensor | None) -> Callable:
    return lambda weights: weights.changed(**{"Conv.bias": value})


def with_header(**values: str) -> Callable:
    return lambda weights: save(weights.state, weights.header | values)


def pickled(value: object) -> bytes:
    return bytes_of(lambda file: torch.save(value, file))


WEIGHTS = {  # file: (kind, its content from that of a valid one, part of the message)
    SAFE: [
        ("truncated", lambda weights: weights.data[:-100], UNREADABLE),
        ("empty", lambda _: b"", UNREADABLE),
        ("wrong header length", lambda weights: struct.pack("<Q", 2**40) + weights.data[8:], UNREADABLE),
        ("long header", lambda w: struct.pack("<Q", len(w.data)) + w.data[8:], UNREADABLE),
        ("an error page", lambda _: b"<!doctype html><html>404 Not Found</html>", UNREADABLE),
        ("an archive", lambda _: b"PK\x03\x04" + bytes(100), UNREADABLE),
        ("a Git LFS pointer", lambda _: LFS_POINTER, "run `git lfs pull` where it came from"),
        ("a missing key", with_bias(None), "missing: Conv.bias; give the weights of this network"),
        ("no keys", lambda weights: save({}, weights.header), "more; give the weights of this network"),
        ("an extra key", lambda w: w.changed(surplus=torch.zeros(2)), "not of this network: surplus; give"),
        ("NaN", with_bias(torch.full((3,), torch.nan)), "Conv.bias holds values that are not finite"),
        ("infinite", with_bias(torch.full((3,), -torch.inf)), "Conv.bias holds values that are not finite"),
        ("integers", with_bias(torch.zeros(3, dtype=torch.int32)), "Conv.bias holds int32, not numbers"),
        ("8 bits", with_bias(torch.zeros(3, dtype=torch.float8_e5m2)), "Conv.bias holds float8_e5m2"),
        ("complex", with_bias(torch.zeros(3, dtype=torch.complex64)), "Conv.bias holds complex64"),
        ("other widths", with_header(widths="4,6,16"), "not a valid UNet checkpoint"),
        ("invalid widths", with_header(widths="many"), "does not specify the widths"),
        ("another architecture", with_header(architecture="vgg"), "weights of architecture vgg; the"),
        ("a Demosaic Net", with_header(architecture="demosaic"), "weights of architecture demosaic"),
    ],
    PUBLISHED: [
        ("truncated", lambda weights: pickled(weights.state)[:-500], UNREADABLE),
        ("empty", lambda _: b"", f"{UNREADABLE} (it is empty)"),
        ("an error page", lambda _: b"<html>404</html>", UNREADABLE),
        (
            "a list",
            lambda _: pickled([1]),
            "not a state_dict; save the network's state_dict() and nothing else",
        ),
        ("a state_dict in a dict", lambda weights: pickled({"model": weights.state}), "not a state_dict"),
        ("a network", lambda _: pickled(torch.nn.Conv2d(3, 3, 3)), "not tensors alone); fetch or copy"),
        ("integers", lambda w: pickled({k: v.int() for k, v in w.state.items()}), "holds int32, not numbers"),
    ],
}
BAD_WEIGHTS = [
    pytest.param(name, *row[1:], id=f"{name} {row[0]}") for name, rows in WEIGHTS.items() for row in rows
]


@pytest.fixture
def model(tmp_path, tiny_model) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.png").write_bytes(saved("PNG"))
    return folder


@pytest.mark.parametrize(("name", "make", "words"), BAD_WEIGHTS)
def test_bad_weights(predict, model, name, make, words):
    content = make(Weights(model / SAFE))
    if name == PUBLISHED:
        for path in model.iterdir():
            path.unlink()
        (model / "final_yuv_OE_NOE_mask-220.pt").write_bytes(content)
    (model / name).write_bytes(content)
    code, (line,) = predict(model, "--device", "cpu")
    assert code == 1
    check_line(line, f"error: {model}/{name}: ", words)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float32])
def test_weights_in_other_precisions_work(tmp_path, predict, model, dtype):
    for path in model.iterdir():
        weights = Weights(path)
        changed = {key: value.to(dtype) for key, value in weights.state.items() if value.is_floating_point()}
        path.write_bytes(save(weights.state | changed, weights.header))
    assert predict(model, "--device", "cpu")[0] == 0
    assert len(names_in(tmp_path / "out")) == 3


def test_missing_weights(predict, model):
    (model / "noe.safetensors").unlink()
    code, (line,) = predict(model)
    assert code == 1
    check_line(line, str(model), "put base.safetensors + oe.safetensors + noe.safetensors or base")


@pytest.mark.parametrize(
    "text", ["", "- a\n", "text", "a: {b: [", None, "a: !!python/object/apply:os.abort []"]
)
def test_a_bad_models_yaml(tmp_path, text):
    if text is not None:
        (tmp_path / "models.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        read_list(tmp_path / "models.yaml")
    check_line(str(caught.value), f"{tmp_path}/models.yaml: ")


@pytest.mark.parametrize(
    "entry",
    [
        *("text", "", "{widths: [4]}", "{files: {}}", "{widths: [4], files: [x]}"),
        *("{widths: [4], files: {oe: {bytes: 3}}}", "{method: unprocess, colour: 3}"),
    ],
)
def test_a_bad_entry_of_models_yaml(tmp_path, entry):
    (tmp_path / "models.yaml").write_text(f"a: {entry}\nb: {{method: inverse}}")
    models, problems = read_list(tmp_path / "models.yaml")
    assert (list(models), list(problems)) == (["b"], ["a"])
    check_line(str(problems["a"]), f"{tmp_path}/models.yaml: a: ")


# --- settings and commands


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"imges": "a"}, "imges is not a setting (did you mean images?)"),
        ({"images": None}, "images is None; it must be text that is not empty"),
        ({"images": ["a", "b"]}, "images is ['a', 'b']; it must be"),
        ({"shard_size": -1}, "shard_size is -1; it must be a whole number, 1 or more"),
        ({"shard_size": None}, "shard_size is None; it must be"),
        ({"noise": 3}, "noise is 3; it must be"),
        ({"noise": {"iso": -3}}, "noise.iso is -3; it must be a number above 0 or null"),
        ({"training": None}, "training is None; it must be"),
        ({"bit_depth": 11}, "bit_depth is 11; it must be"),
        ({"cfa": "RGB"}, "cfa is 'RGB'; it must be"),
        ({"black_level": -1}, "black_level is -1; it must be"),
        ({3: 4}, "3 is not a setting"),
    ],
)
def test_bad_settings(settings, words):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    with pytest.raises(InputError) as caught:
        check_config(config | settings)
    assert words in str(caught.value) and str(caught.value).isprintable()


BGGR_AS_NPY = "cfa is BGGR, but output_format npy is the format of aim2022, which has RGGB; use another"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"white_level": 20_000}, "white_level is 20000; 14 bits hold 16383 at most"),
        ({"white_level": -3}, "white_level is -3; give the counts for white, 1 or more"),
        ({"black_level": -3}, "black_level is -3; give the counts for black, 0 or more"),
        (
            {"white_level": 500, "black_level": 500},
            "black_level is 500; it must lie below the white level, 500",
        ),
        ({"output_format": "npy", "cfa": "BGGR"}, BGGR_AS_NPY),
        ({"noise": {"iso": 100, "shot": 1}}, "noise has iso, shot; give iso, or shot and read"),
        ({"noise": {"iso": -3}}, "noise has iso -3; give a number above 0"),
        ({"noise": {"iso": float("nan")}}, "noise has iso nan; give a number above 0"),
        ({"noise": {"shot": float("inf"), "read": 0}}, "noise has shot inf; give a number of 0 or more"),
        ({"noise": {"iso": 100, "seed": -1}}, "noise has seed -1; give a number of 0 or more"),
    ],
)
def test_contradictory_settings(settings, words):
    defaults = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"output_format": "png"}
    with pytest.raises(InputError) as caught:
        parse_raw_format(defaults | settings, CAMERA)
    check_line(str(caught.value), words)


PICTURES = "JPEG, PNG, TIFF, WebP, AVIF or HEIC file"
PREDICT = "predict photos -o"
COMMANDS = {  # run in a folder with `photos`, `empty`, `file` and `bad`: part of the message
    "predict none -o out": f"none: no such file; give a {PICTURES}",
    "predict empty -o out": f"empty: no pictures in it; put {PICTURES}s there",
    "predict bad -o out": "bad/a.jpg: an empty file; copy it again",
    "predict file -o out": f"file: not a picture that can be read; give a {PICTURES}",
    "predict photos/a.png bad/a.jpg -o out": "photos/a.png: would become a.npy, and so would another picture"
    " (bad/a.jpg)",
    f"{PREDICT} file": "file: no folder can be made there (File exists); give another one",
    f"{PREDICT} file/out": "file/out: no folder can be made there (Not a directory); give another one",
    f"{PREDICT} /proc/out": "/proc/out: no folder can be made there",
    f"{PREDICT} photos --format png": "photos/b.png: is an input, and would be overwritten; give"
    " another output",
    f"{PREDICT} out --model none": "model none: neither listed nor a folder; known models: samsung_s7",
    f"{PREDICT} out --model samsung_s7 --device cuda": "device cuda: PyTorch sees no GPU here;"
    " check nvidia-smi",
    "evaluate none photos": "none: no such folder; give one that holds NAME.npy files",
    "evaluate photos none": "none: no such folder; give one that holds NAME.npy files",
    "evaluate photos": "nothing to score against; give a folder of ground truth, or --photos",
    "evaluate photos photos --camera none": "camera none: there is no none.yaml in",
    "dataset none": "none: no such folder; give one that holds pairs",
    "simulate --count -3 -o out": "count -3; give the number of pairs, 1 or more",
    "simulate --size 7 -o out": "an even number of pixels, 16 or more",
    "train -o out --settings none.yaml": "none.yaml: can't be read as settings",
    "train -o out --settings file": "file: ",
    "models fetch none": "model none: not listed; known models: samsung_s7",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_bad_commands(tmp_path, monkeypatch, omf_lines, photos, command):
    if "cuda" in command and torch.cuda.is_available():
        pytest.skip("a GPU is present")
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "bad"):
        Path(name).mkdir()
    Path("bad", "a.jpg").touch()
    Path("file").write_text("text")
    default = "--model unprocess" if command.startswith("predict") and "--model" not in command else ""
    code, lines = omf_lines(*command.split(), *default.split())
    assert code == 1 and len(lines) <= 3
    (line,) = [line for line in lines if COMMANDS[command] in line]
    assert line.isprintable()
    assert not any("Traceback" in line or "a bug in the program" in line for line in lines)
    assert names_in(photos) == {"a.png", "b.png", "c.png"}
    assert Path("file").read_text() == "text"


def test_unmatched_photos_and_ground_truth(tmp_path, omf_lines, predict, photos):
    out, truths = tmp_path / "out", tmp_path / "truths"
    predict()
    truths.mkdir()
    shutil.copy(out / "a.npy", truths)
    shutil.copy(out / "a.npy", truths / "x\ny.npy")
    code, lines = omf_lines("evaluate", out, truths, "--photos", photos, "--processes", 1)
    assert code == 1
    assert f"problem: {truths}/x\\ny.npy: no prediction of that name in {out}" in lines
    assert lines[-1] == "3 of 4 images scored"


def test_without_pillow_heif_each_heic_file_is_reported(monkeypatch, predict, photos):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for name in ("x.heic", "y.jpg"):
        (photos / name).write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    code, lines = predict()
    problems = problems_of(lines)
    assert (code, len(problems)) == (1, 2)
    for name, line in zip(("x.heic", "y.jpg"), problems):
        check_line(line, f"{photos / name}: HEIC needs pillow-heif; install it with: pip install")


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv")
def test_unreadable_files_and_folders(tmp_path, photos):
    """Drop root's permission to read everything."""
    unlisted = tmp_path / "unlisted"
    unlisted.mkdir()
    (photos / "b.png").chmod(0)
    unlisted.chmod(0)
    command = ["setpriv", *(["--bounding-set=-dac_override,-dac_read_search"] if os.getuid() == 0 else [])]
    command += [sys.executable, "-m", "omf", "predict", "-o", tmp_path / "out", "--model", "unprocess"]
    single, folder = (run(*command, path) for path in (photos, unlisted))
    inside = run(*command, photos / "a.png", unlisted / "x.png")
    unlisted.chmod(0o700)
    assert single.returncode == folder.returncode == inside.returncode == 1
    assert (
        f"problem: {photos}/b.png: can't be read (Permission denied); give a file that this user may read"
        in single.stderr
    )
    assert "2 of 3 photos reconstructed" in single.stderr
    assert (
        folder.stderr
        == f"error: {unlisted}: can't be read (Permission denied); let this user list the folder\n"
    )
    assert f"problem: {unlisted}/x.png: can't be read (Permission denied)" in inside.stderr
    assert "1 of 2 photos reconstructed" in inside.stderr


@pytest.mark.parametrize(
    ("text", "words"),  # the first two are Snakemake's own messages
    [
        ("images: [unclosed\n", "Config file is not valid JSON or YAML."),
        ("- a\n- b\n", "Config file must be given as JSON or YAML with keys at top level."),
        (
            "images: null\nshard_size: -1\n",
            "config: images is None; it must be text that is not empty; shard_size is -1",
        ),
    ],
)
def test_a_bad_settings_file(tmp_path, text, words):
    (tmp_path / "bad.yaml").write_text(text)
    result = snakemake(tmp_path, "-n", "--configfile", tmp_path / "bad.yaml")
    assert result.returncode == 1
    output = result.stdout + result.stderr
    assert "Traceback" not in output
    assert words in output


# --- inputs that change during a run


def test_photos_deleted_before_and_after_decoding(tmp_path, photos, monkeypatch):
    def read_and_remove(photo):
        decoded = decode(photo)
        if photo.stem == "b":
            photo.unlink()
        return decoded

    decode, listed = preprocess.read_rgb, sorted(photos.iterdir())
    monkeypatch.setattr(preprocess, "read_rgb", read_and_remove)
    (photos / "a.png").unlink()
    record = preprocess.preprocess(listed, tmp_path / "decoded")
    assert list(record["sha256"]) == ["c.png"]
    assert names_in(tmp_path / "decoded") == {"c.tif"}
    before, after = record["problems"]
    check_line(before, f"{photos}/a.png: no such file; give a JPEG")
    check_line(after, f"{photos}/b.png: removed while it was being processed")


@pytest.fixture
def named(photos) -> dict[str, Path]:
    return {path.stem: path for path in sorted(photos.iterdir())}


@pytest.fixture
def reconstructed(tmp_path, named) -> Callable[..., list[str]]:
    """Return a function that writes the RAW of the photos to TMP_PATH/KIND, and returns the problems."""
    preprocess.preprocess(list(named.values()), tmp_path / "decoded")
    infer(tmp_path / "decoded", tmp_path / "demosaiced", Unprocess(CAMERA))

    def write(*kinds: str) -> list[str]:
        writers = [Writer(tmp_path / kind, RawFormat(kind), CAMERA, "unprocess") for kind in kinds]
        return write_mosaics(tmp_path / "demosaiced", writers, named)

    return write


CHANGES = {
    "deleted": (lambda path: path.unlink(), "no such file; "),
    "another size": (lambda path: path.write_bytes(saved("PNG", size=(48, 32))), "48 x 32 pixels; run again"),
    "text": (lambda path: path.write_text("text"), "not a picture that can be read; "),
    "empty": (lambda path: path.write_bytes(b""), "an empty file; "),
}


def shown_in(records: dict) -> dict[str, Example]:
    """Return the examples of the page by name."""
    return {example.name: example for group in select_examples(records).values() for example in group}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_photo_changed_before_dng_and_page_are_written(tmp_path, named, reconstructed, kind):
    """Keep the scores of a photo that changed; write the DNG of the others, and show them on the page."""
    assert reconstructed("npy") == []
    raws = list_packed(tmp_path / "npy")
    records, problems = score_all(match_items(raws, raws, named), CAMERA, 1)
    assert problems == []
    change, words = CHANGES[kind]
    change(named["b"])
    (line,) = reconstructed("npy", "dng")
    check_line(line, f"{named['b']}: ", words)
    assert names_in(tmp_path / "npy") == {"a.npy", "b.npy", "c.npy"}
    assert names_in(tmp_path / "dng") == {"a.dng", "c.dng"}
    shown = shown_in(records)
    assert set(shown) == {"a", "b", "c"}
    assert shown["b"].panels == {} and len(shown["a"].panels) == len(shown["c"].panels) == 5
    assert f"not shown: {named['b']}: " in shown["b"].caption
    assert len(image_files(select_examples(records), {})) == 2
    assert set(summarise(records)["images"]) == {"a", "b", "c"}


def test_ground_truth_changed_before_the_page_is_written(tmp_path, named, reconstructed):
    reconstructed("npy")
    truths = list_packed(shutil.copytree(tmp_path / "npy", tmp_path / "truths"))
    records, _ = score_all(match_items(list_packed(tmp_path / "npy"), truths, named), CAMERA, 1)
    truths["a"].unlink()
    np.save(truths["b"], np.zeros((3, 3, 4), np.uint16))
    shown = {name: example.caption for name, example in shown_in(records).items()}
    assert f"not shown: {truths['a']}: no such file" in shown["a"]
    assert f"not shown: {truths['b']}: its size has changed since it was scored; run again" in shown["b"]
    assert "not shown" not in shown["c"]


def test_a_photo_too_large_for_the_memory(tmp_path, photos, predict, monkeypatch):
    class OutOfMemory(Unprocess):
        def __call__(self, rgb, name):
            if rgb.shape[0] > 24:
                raise MemoryError
            return super().__call__(rgb, name)

    def read_or_fail(path):
        if path.stem == "b":
            raise MemoryError
        return read_pixels(path)

    read_pixels = images.read_pixels
    monkeypatch.setattr(images, "read_pixels", read_or_fail)
    monkeypatch.setitem(methods.CLASSICAL_METHODS, "unprocess", OutOfMemory)
    (photos / "d.png").write_bytes(saved("PNG", size=(48, 32)))
    code, lines = predict()
    problems = problems_of(lines)
    assert (code, len(problems)) == (1, 2)
    check_line(problems[0], f"{photos}/b.png: too large for the available memory; split it")
    check_line(problems[1], "d: not enough memory; close other programs")
    assert names_in(tmp_path / "out") == {"a.npy", "c.npy"}
