"""Wrong weights, settings, folders and commands, and inputs that change during a run, give one line."""

import io
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
from omf.report.page import image_files, select_examples
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


def with_bias(value: torch.Tensor | None) -> Callable:
    return lambda weights: weights.changed(**{"Conv.bias": value})


def with_header(**values: str) -> Callable:
    return lambda weights: save(weights.state, weights.header | values)


WEIGHTS = {  # kind: (content of the OE file from a valid one, part of the message)
    "truncated": (lambda weights: weights.data[:-100], UNREADABLE),
    "empty": (lambda _: b"", UNREADABLE),
    "wrong header length": (lambda weights: struct.pack("<Q", 2**40) + weights.data[8:], UNREADABLE),
    "a header longer than the file": (
        lambda weights: struct.pack("<Q", len(weights.data)) + weights.data[8:],
        UNREADABLE,
    ),
    "an error page": (lambda _: b"<!doctype html><html>404 Not Found</html>", UNREADABLE),
    "an archive": (lambda _: b"PK\x03\x04" + bytes(100), UNREADABLE),
    "a Git LFS pointer": (
        lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "run `git lfs pull` where it came from",
    ),
    "a missing key": (with_bias(None), "missing: Conv.bias; give the weights of this network"),
    "no keys": (lambda weights: save({}, weights.header), "more; give the weights of this network"),
    "an extra key": (
        lambda weights: weights.changed(surplus=torch.zeros(2)),
        "not of this network: surplus; give",
    ),
    "NaN": (with_bias(torch.full((3,), torch.nan)), "Conv.bias holds values that are not finite"),
    "infinite": (with_bias(torch.full((3,), -torch.inf)), "Conv.bias holds values that are not finite"),
    "integers": (with_bias(torch.zeros(3, dtype=torch.int32)), "Conv.bias holds int32, not numbers"),
    "8 bits": (with_bias(torch.zeros(3, dtype=torch.float8_e5m2)), "Conv.bias holds float8_e5m2"),
    "complex": (with_bias(torch.zeros(3, dtype=torch.complex64)), "Conv.bias holds complex64"),
    "other widths": (with_header(widths="4,6,16"), "not a valid UNet checkpoint"),
    "invalid widths": (with_header(widths="many"), "does not specify the widths"),
    "another architecture": (with_header(architecture="vgg"), "weights of architecture vgg; the"),
    "a Demosaic Net": (with_header(architecture="demosaic"), "weights of architecture demosaic"),
}
STATE_DICTS = {
    "truncated": (lambda state: pickled(state)[:-500], UNREADABLE),
    "empty": (lambda _: b"", f"{UNREADABLE} (it is empty)"),
    "an error page": (lambda _: b"<html>404</html>", UNREADABLE),
    "a list": (
        lambda _: pickled([1, 2]),
        "not a state_dict; save the network's state_dict() and nothing else",
    ),
    "a state_dict in a dict": (lambda state: pickled({"model": state}), "not a state_dict"),
    "a whole network": (lambda _: pickled(torch.nn.Conv2d(3, 3, 3)), "not tensors alone); fetch or copy"),
    "integers": (
        lambda state: pickled({key: value.int() for key, value in state.items()}),
        "holds int32, not numbers",
    ),
}


class Weights:
    """A valid safetensors file, to derive invalid ones from."""

    def __init__(self, path: Path):
        self.data = path.read_bytes()
        with safe_open(path, "pt") as file:
            self.header = file.metadata()
            self.state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict

    def changed(self, **values: torch.Tensor | None) -> bytes:
        return save(
            {key: value for key, value in (self.state | values).items() if value is not None}, self.header
        )


def pickled(value: object) -> bytes:
    content = io.BytesIO()
    torch.save(value, content)
    return content.getvalue()


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


@pytest.mark.parametrize("kind", WEIGHTS)
def test_bad_weights(predict, model, kind):
    make, words = WEIGHTS[kind]
    (model / "oe.safetensors").write_bytes(make(Weights(model / "oe.safetensors")))
    code, (line,) = predict(model, "--device", "cpu")
    assert code == 1
    check_line(line, f"error: {model}/oe.safetensors: ", words)


@pytest.mark.parametrize("kind", STATE_DICTS)
def test_bad_weights_in_the_published_format(tmp_path, predict, model, kind):
    make, words = STATE_DICTS[kind]
    state = Weights(model / "oe.safetensors").state
    for name in ("final_yuv_OE_mask-220.pt", "final_yuv_OE_NOE_mask-220.pt"):
        (tmp_path / name).write_bytes(make(state))
    code, (line,) = predict(tmp_path, "--device", "cpu")
    assert code == 1
    check_line(line, f"error: {tmp_path}/final_yuv_OE_mask-220.pt: ", words)


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
        (
            {"output_format": "npy", "cfa": "BGGR"},
            "cfa is BGGR, but output_format npy is the format of aim2022, which has RGGB; use another",
        ),
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
COMMANDS = [  # (command, part of the message); run in a folder with `photos`, `empty`, `file` and `bad`
    ("predict none -o out", f"none: no such file; give a {PICTURES}"),
    ("predict empty -o out", f"empty: no pictures in it; put {PICTURES}s there"),
    ("predict bad -o out", "bad/a.jpg: an empty file; copy it again"),
    ("predict file -o out", f"file: not a picture that can be read; give a {PICTURES}"),
    (
        "predict photos/a.png bad/a.jpg -o out",
        "photos/a.png: would become a.npy, and so would another picture (bad/a.jpg)",
    ),
    ("predict photos -o file", "file: no folder can be made there (File exists); give another one"),
    (
        "predict photos -o file/out",
        "file/out: no folder can be made there (Not a directory); give another one",
    ),
    ("predict photos -o /proc/out", "/proc/out: no folder can be made there"),
    (
        "predict photos -o photos --format png",
        "photos/b.png: is an input, and would be overwritten; give another output",
    ),
    (
        "predict photos -o out --model none",
        "model none: neither listed nor a folder; known models: samsung_s7",
    ),
    (
        "predict photos -o out --model samsung_s7 --device cuda",
        "device cuda: PyTorch sees no GPU here; check nvidia-smi",
    ),
    ("evaluate none photos", "none: no such folder; give one that holds NAME.npy files"),
    ("evaluate photos none", "none: no such folder; give one that holds NAME.npy files"),
    ("evaluate photos", "nothing to score against; give a folder of ground truth, or --photos"),
    ("evaluate photos photos --camera none", "camera none: there is no none.yaml in"),
    ("dataset none", "none: no such folder; give one that holds pairs"),
    ("simulate --count -3 -o out", "count -3; give the number of pairs, 1 or more"),
    ("simulate --size 7 -o out", "an even number of pixels, 16 or more"),
    ("train -o out --settings none.yaml", "none.yaml: can't be read as settings"),
    ("train -o out --settings file", "file: "),
    ("models fetch none", "model none: not listed; known models: samsung_s7"),
]


@pytest.mark.parametrize(("command", "words"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_bad_commands(tmp_path, monkeypatch, omf_lines, photos, command, words):
    if "cuda" in command and torch.cuda.is_available():
        pytest.skip("a GPU is present")
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "bad"):
        Path(name).mkdir()
    Path("bad", "a.jpg").touch()
    Path("file").write_text("text")
    default = "--model unprocess" if command.startswith("predict") and "--model" not in command else ""
    code, lines = omf_lines(*command.split(), *default.split())
    assert code == 1
    (line,) = [line for line in lines if words in line]
    assert line.isprintable()
    assert not any("Traceback" in line or "a bug in the program" in line for line in lines)
    assert names_in(photos) == {"a.png", "b.png", "c.png"}
    assert Path("file").read_text() == "text"


def test_a_photo_given_twice_is_processed_once(tmp_path, omf_lines, photos):
    out = tmp_path / "out"
    code, lines = omf_lines("predict", photos, photos / "a.png", "-o", out, "--model", "unprocess")
    assert code == 0
    assert lines[-1].startswith(f"3 of 3 photos reconstructed into {out} in ")


def test_raw_may_be_written_beside_the_photos(omf_lines, photos):
    assert omf_lines("predict", photos, "-o", photos, "--model", "unprocess")[0] == 0
    assert names_in(photos) == {f"{name}.{suffix}" for name in "abc" for suffix in ("npy", "png")}


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


def test_a_photo_deleted_before_decoding(tmp_path, photos):
    listed = sorted(photos.iterdir())
    (photos / "b.png").unlink()
    record = preprocess.preprocess(listed, tmp_path / "decoded")
    assert list(record["sha256"]) == ["a.png", "c.png"]
    (line,) = record["problems"]
    check_line(line, f"{photos}/b.png: no such file; give a JPEG")


def test_a_photo_deleted_after_decoding(tmp_path, photos, monkeypatch):
    def read_and_remove(photo):
        decoded = decode(photo)
        if photo.stem == "b":
            photo.unlink()
        return decoded

    decode = preprocess.read_rgb
    monkeypatch.setattr(preprocess, "read_rgb", read_and_remove)
    record = preprocess.preprocess(sorted(photos.iterdir()), tmp_path / "decoded")
    assert names_in(tmp_path / "decoded") == {"a.tif", "c.tif"}
    (line,) = record["problems"]
    check_line(line, f"{photos}/b.png: removed while it was being processed")


@pytest.fixture
def reconstructed(tmp_path, photos) -> Path:
    """Return a folder with the demosaiced RAW of the photos."""
    preprocess.preprocess(sorted(photos.iterdir()), tmp_path / "decoded")
    infer(tmp_path / "decoded", tmp_path / "demosaiced", Unprocess(CAMERA))
    return tmp_path / "demosaiced"


CHANGES = {
    "deleted": (lambda path: path.unlink(), "no such file; "),
    "another size": (lambda path: path.write_bytes(saved("PNG", size=(48, 32))), "48 x 32 pixels; run again"),
    "text": (lambda path: path.write_text("text"), "not a picture that can be read; "),
    "empty": (lambda path: path.write_bytes(b""), "an empty file; "),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_photo_changed_before_the_dng_is_written(tmp_path, photos, reconstructed, kind):
    named = {path.stem: path for path in photos.iterdir()}
    change, words = CHANGES[kind]
    change(photos / "b.png")
    writers = [Writer(tmp_path / kind, RawFormat(kind), CAMERA, "unprocess") for kind in ("npy", "dng")]
    (line,) = write_mosaics(reconstructed, writers, named)
    check_line(line, f"{photos}/b.png: ", words)
    assert names_in(tmp_path / "npy") == {"a.npy", "b.npy", "c.npy"}
    assert names_in(tmp_path / "dng") == {"a.dng", "c.dng"}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_photo_changed_before_the_page_is_written(tmp_path, photos, reconstructed, kind):
    """Keep the scores of a photo that changed; show the other photos on the page."""
    named = {path.stem: path for path in photos.iterdir()}
    write_mosaics(reconstructed, [Writer(tmp_path / "raw", RawFormat(), CAMERA, "unprocess")], named)
    raws = list_packed(tmp_path / "raw")
    records, problems = score_all(match_items(raws, raws, named), CAMERA, 1)
    assert problems == []
    CHANGES[kind][0](photos / "b.png")
    shown = {example.name: example for group in select_examples(records).values() for example in group}
    assert set(shown) == {"a", "b", "c"}
    assert shown["b"].panels == {} and len(shown["a"].panels) == len(shown["c"].panels) == 5
    assert f"not shown: {photos}/b.png: " in shown["b"].caption
    assert len(image_files(select_examples(records), {})) == 2
    assert set(summarise(records)["images"]) == {"a", "b", "c"}


def test_ground_truth_changed_before_the_page_is_written(tmp_path, photos, reconstructed):
    named = {path.stem: path for path in photos.iterdir()}
    write_mosaics(reconstructed, [Writer(tmp_path / "raw", RawFormat(), CAMERA, "unprocess")], named)
    truths = shutil.copytree(tmp_path / "raw", tmp_path / "truths")
    raws, truths = list_packed(tmp_path / "raw"), list_packed(truths)
    records, _ = score_all(match_items(raws, truths, named), CAMERA, 1)
    truths["a"].unlink()
    np.save(truths["b"], np.zeros((3, 3, 4), np.uint16))
    shown = {
        example.name: example.caption for group in select_examples(records).values() for example in group
    }
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
