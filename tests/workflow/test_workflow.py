"""The workflow with the real Snakemake, in temporary folders and with a small model."""

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
import yaml
from camera_dng import bayer_of, photo_of, scene, write_dng, write_pair
from conftest import PHOTOS, ROOT, omf, random_rgb, run, snakemake
from PIL import Image
from weights_server import serving

from omf.io.camera_raw import read_camera_raw
from omf.raw.bayer import demosaic, pack, to_challenge_counts, to_challenge_format
from omf.utils.files import sha256
from omf.utils.paths import HOME


def rules_run(result) -> list[str]:
    """Return the rules that Snakemake ran, from its output."""
    return [
        line.split("rule ")[1].rstrip(":")
        for line in result.stderr.splitlines()
        if line.startswith(("rule ", "localrule "))
    ]


def zip_names(folder: Path) -> list[str]:
    with zipfile.ZipFile(folder / "submission" / "submission.zip") as archive:
        assert archive.testzip() is None
        return sorted(archive.namelist())


def svg_text(page: str) -> str:
    """Return all SVG plots of a page as text."""
    return "".join(
        base64.b64decode(uri).decode() for uri in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page)
    )


@pytest.fixture
def settings(photo_folder, tiny_model) -> dict:
    return {"images": photo_folder, "model": tiny_model, "ground_truth": ROOT / "test_raw", "device": "cpu"}


@pytest.fixture(scope="module")
def first_run(tmp_path_factory, tiny_model) -> Path:
    """Return a folder with photos and a finished run."""
    folder = tmp_path_factory.mktemp("first_run")
    (folder / "photos").mkdir()
    for name in PHOTOS:
        shutil.copy(ROOT / "test_rgb" / name, folder / "photos")
    result = snakemake(
        folder, images="photos", model=tiny_model, ground_truth=ROOT / "test_raw", device="cpu"
    )
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def finished(first_run, tmp_path, settings) -> Path:
    """Return a copy of that folder, and set `settings` to those of its run."""
    settings["images"] = Path("photos")
    return shutil.copytree(first_run, tmp_path, dirs_exist_ok=True)


def test_a_run_writes_a_scored_entry(tmp_path, settings):
    result = snakemake(tmp_path, **settings)
    assert result.returncode == 0, result.stderr
    names = ["chart", "hills", "leaves_odd", "night_tall"]
    assert zip_names(tmp_path) == [*(f"{name}.npy" for name in names), "readme.txt"]
    submission = tmp_path / "submission"
    with zipfile.ZipFile(submission / "submission.zip") as archive:
        for name in archive.namelist():
            assert archive.read(name) == (submission / name).read_bytes()
    readme = (submission / "readme.txt").read_text().splitlines()
    assert [line.split(" : ")[0] for line in readme] == [
        "runtime per image [s]",
        "CPU[1] / GPU[0]",
        "Extra Data [1] / No Extra Data [0]",
        "Other description",
    ]
    assert float(readme[0].split(" : ")[1]) > 0
    assert readme[1].endswith(" : 1")
    assert "CPU" in readme[3]

    scores = json.loads((submission / "scores.json").read_text())
    assert list(scores["images"]) == names
    evaluated = omf(
        "evaluate",
        submission,
        ROOT / "test_raw",
        "--photos",
        settings["images"],
        "--out",
        tmp_path / "evaluated",
    )
    assert evaluated.returncode == 1  # there are no predictions for the other samples
    for name in ("scores.json", "scores.csv", "scores.txt"):
        assert (tmp_path / "evaluated" / name).read_text() == (submission / name).read_text()
    assert scores["mean"]["unprocess_psnr"] > 10
    assert (submission / "scores.txt").read_text().splitlines()[0] == f"PSNR:{scores['mean']['psnr']}"

    assert f"{scores['mean']['psnr']:.2f}" in result.stderr  # on the screen
    page = (submission / "report.html").read_text()
    assert f"{scores['mean']['psnr']:.2f} dB" in page
    assert "infer" in svg_text(page)
    assert len(list((tmp_path / "results" / "report").glob("images_*.jpg"))) == 4
    assert not (tmp_path / "results" / "decoded").exists() or not list(
        (tmp_path / "results" / "decoded").iterdir()
    )
    assert (tmp_path / "results" / "logs" / "infer" / "s.log").is_file()
    assert (tmp_path / "results" / "benchmarks" / "infer" / "s.tsv").is_file()


def test_a_second_run_has_nothing_to_do(finished, settings):
    result = snakemake(finished, **settings)
    assert result.returncode == 0
    assert "Nothing to be done" in result.stderr


@pytest.mark.slow
def test_a_new_image_reruns_its_own_shard_only(tmp_path, settings):
    settings["shard_size"] = 2
    assert snakemake(tmp_path, **settings).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results" / "raw").glob("*/*.npy")}
    shutil.copy(ROOT / "test_rgb" / "bricks.jpg", settings["images"])
    result = snakemake(tmp_path, **settings)
    assert result.returncode == 0, result.stderr
    untouched = [path for path in before if path.exists() and path.stat().st_mtime_ns == before[path]]
    assert len(untouched) >= 2
    assert rules_run(result).count("infer") <= 2  # its shard, or the two that this is split into
    assert "bricks.npy" in zip_names(tmp_path)


def test_a_changed_and_a_removed_image(finished, settings):
    shutil.copy(ROOT / "test_rgb" / "bricks.jpg", finished / "photos" / "hills.jpg")
    (finished / "photos" / "chart.png").unlink()
    before = (finished / "submission" / "hills.npy").read_bytes()
    assert snakemake(finished, **settings).returncode == 0
    assert zip_names(finished) == ["hills.npy", "leaves_odd.npy", "night_tall.npy", "readme.txt"]
    assert (finished / "submission" / "hills.npy").read_bytes() != before
    assert not (finished / "submission" / "chart.npy").exists()


@pytest.mark.slow
def test_other_inputs_replace_all_outputs_of_the_earlier_run(finished, settings, tmp_path):
    others = tmp_path / "others"
    others.mkdir()
    shutil.copy(ROOT / "test_rgb" / "paper.jpg", others)
    result = snakemake(finished, **settings | {"images": others, "ground_truth": ""})
    assert result.returncode == 0, result.stderr
    assert zip_names(finished) == ["paper.npy", "readme.txt"]
    assert "no ground truth with these names" in result.stderr
    scores = json.loads((finished / "submission" / "scores.json").read_text())
    assert scores["mean"]["psnr"] is None
    assert scores["mean"]["consistency_psnr"] > 0
    assert list(scores["images"]) == ["paper"]
    assert not (finished / "submission" / "scores.txt").exists()
    assert "There is no ground truth" in (finished / "submission" / "report.html").read_text()


@pytest.mark.slow
def test_other_weights_rerun_the_inference(finished, settings, tmp_path, tiny_model):
    other = tmp_path / "other"
    other.mkdir()
    for branch, source in (("oe", "noe"), ("noe", "oe")):
        shutil.copy(tiny_model / f"{source}.safetensors", other / f"{branch}.safetensors")
    before = (finished / "submission" / "hills.npy").read_bytes()
    result = snakemake(finished, **settings | {"model": other})
    assert "infer" in rules_run(result)
    assert (finished / "submission" / "hills.npy").read_bytes() != before
    # same files, new date: nothing to do
    for path in other.iterdir():
        path.touch()
    assert "Nothing to be done" in snakemake(finished, **settings | {"model": other}).stderr


@pytest.mark.slow
def test_the_shard_size_does_not_change_a_byte(finished, settings, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    assert snakemake(other, **settings | {"shard_size": 1, "images": finished / "photos"}).returncode == 0
    for path in [
        *(finished / "submission").glob("*.npy"),
        *(finished / "submission" / name for name in ("scores.json", "scores.csv")),
    ]:
        assert path.read_bytes() == (other / "submission" / path.name).read_bytes()


@pytest.mark.slow
def test_bad_images_are_listed_and_the_others_are_processed(tmp_path, settings):
    (settings["images"] / "broken.jpg").write_text("no picture")
    shutil.copy(settings["images"] / "chart.png", settings["images"] / "hills.png")
    result = snakemake(tmp_path, **settings)
    assert result.returncode != 0
    assert "broken.jpg: not a picture that can be read" in result.stderr
    assert "hills.png: would become hills.npy" in result.stderr
    assert zip_names(tmp_path) == ["chart.npy", "leaves_odd.npy", "night_tall.npy", "readme.txt"]
    summary = json.loads((tmp_path / "submission" / "summary.json").read_text())
    assert len(summary["problems"]) == 3
    assert summary["images"] == 3
    # a second run reports the problems again and recomputes nothing
    again = snakemake(tmp_path, **settings)
    assert again.returncode != 0
    assert rules_run(again) == ["check_problems"]
    # after the repair
    (settings["images"] / "broken.jpg").unlink()
    (settings["images"] / "hills.png").unlink()
    assert snakemake(tmp_path, **settings).returncode == 0
    assert "hills.npy" in zip_names(tmp_path)


def test_the_snakemake_report_contains_page_table_and_images(finished, settings):
    result = snakemake(finished, "--report", "report.zip", **settings)
    assert result.returncode == 0, result.stderr
    with zipfile.ZipFile(finished / "report.zip") as archive:
        names = [Path(name).name for name in archive.namelist()]
        index = archive.read(min(archive.namelist(), key=len)).decode()  # Snakemake's own page
    # it contains no names of photos, so nothing needs escaping
    assert "<html" in index and "night_tall" not in index
    for name in ("report.html", "scores.csv", "images_worst_1.jpg", "plot_tones.svg"):
        assert name in names


def test_only_bad_images(tmp_path, settings):
    for photo in settings["images"].iterdir():
        photo.write_bytes(photo.read_bytes()[:500])
    result = snakemake(tmp_path, **settings)
    assert result.returncode != 0
    assert "hills.jpg: can't be decoded" in result.stderr
    assert "no image could be reconstructed" in result.stderr
    assert not (tmp_path / "submission" / "submission.zip").exists()


@pytest.mark.slow
def test_wrong_ground_truth_is_listed_and_the_others_are_scored(tmp_path, settings):
    truths = tmp_path / "truths"
    truths.mkdir()
    shutil.copy(ROOT / "test_raw" / "chart.npy", truths)
    np.save(truths / "hills.npy", np.zeros((3, 3, 4), np.uint16))
    result = snakemake(tmp_path, **settings | {"ground_truth": truths})
    assert result.returncode != 0
    assert "hills.npy: packed (120, 160, 4), but its ground truth is (3, 3, 4)" in result.stderr
    images = json.loads((tmp_path / "submission" / "scores.json").read_text())["images"]
    assert [name for name in images if "psnr" in images[name]] == ["chart"]
    assert "hills.npy: packed" in (tmp_path / "submission" / "report.html").read_text()
    assert len(zip_names(tmp_path)) == 5


@pytest.mark.slow
def test_camera_raw_beside_the_photos_is_ground_truth(tmp_path, settings):
    pytest.importorskip("rawpy")
    folder, packed, predicted = tmp_path / "phone", tmp_path / "packed", tmp_path / "predicted"
    packed.mkdir()
    for name, turns, cfa in (("upright", 0, "RGGB"), ("turned", 1, "GRBG")):
        write_pair(folder, name, turns=turns, cfa=cfa)
        demosaiced = demosaic(read_camera_raw(folder / f"{name}.dng").mosaic, cfa)
        np.save(packed / f"{name}.npy", to_challenge_format(np.rot90(demosaiced[3:-5, 6:-7], turns)))
    shown = scene(2, 120, 160)
    counts = write_dng(folder / "whole.dng", bayer_of(shown))
    Image.fromarray(photo_of(shown)).save(folder / "whole.jpg")
    np.save(
        packed / "whole.npy", pack(to_challenge_counts((counts - np.float32(64)) / np.float32(16383 - 64)))
    )

    result = snakemake(tmp_path, **settings | {"images": folder, "ground_truth": folder})
    assert result.returncode == 0, result.stderr
    submission = tmp_path / "submission"
    scores = (submission / "scores.json").read_text()
    assert json.loads(scores)["scored"] == 3
    recorded = json.loads((submission / "provenance.json").read_text())["inputs"]["ground_truth"]
    assert recorded == {path.name: sha256(path) for path in folder.glob("*.dng")}

    result = omf("predict", folder, "-o", predicted, "--model", settings["model"], "--device", "cpu")
    assert result.returncode == 0, result.stderr
    for truths in (folder, packed):
        result = omf("evaluate", predicted, truths, "--photos", folder, "--out", tmp_path / "evaluated")
        assert result.returncode == 0, result.stderr
        assert (tmp_path / "evaluated" / "scores.json").read_text() == scores

    # the page is also written without any usable ground truth
    for path in folder.glob("*.dng"):
        path.write_text("broken")
    result = snakemake(tmp_path, **settings | {"images": folder, "ground_truth": folder})
    assert result.returncode != 0
    assert result.stderr.count("can't be decoded") >= 3 and "Traceback" not in result.stderr
    assert json.loads((submission / "summary.json").read_text())["images"] == 3
    assert "turned.dng: can&#39;t be decoded" in (submission / "report.html").read_text()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"shard_sise": 5}, "did you mean shard_size?"),
        ({"device": "gpu"}, "device is 'gpu'; it must be auto, cpu or cuda"),
        ({"images": "nowhere"}, "nowhere: no such folder"),
        ({"model": "no_model"}, "model no_model: neither listed nor a folder"),
    ],
)
def test_wrong_settings_are_reported_at_start_up(tmp_path, settings, setting, message):
    result = snakemake(tmp_path, "-n", **settings | setting)
    assert result.returncode == 1
    output = result.stdout + result.stderr  # a dry run writes to stdout
    assert message in output
    assert "Traceback" not in output
    assert not (tmp_path / "submission").exists()


@pytest.mark.parametrize(("model", "targets"), [("published", ()), ("inverse", ("train",))])
def test_no_place_for_models_is_reported_before_the_work(tmp_path, settings, monkeypatch, model, targets):
    if (ROOT / "trained_models" / "final_yuv_OE_mask-220.pt").exists() and not targets:
        pytest.skip("the published weights are here")
    monkeypatch.setenv(HOME, "/proc/own")
    result = snakemake(tmp_path, *targets, **settings | {"model": model})
    assert result.returncode == 1
    assert "/proc/own/trained_models: can't be written to" in result.stderr
    assert "Traceback" not in result.stderr
    assert not {"infer", "preprocess", "fetch_oe", "train_network"} & set(rules_run(result))


# names of photos; if executed, they create a file `ran` in the working folder
COMMANDS = [
    "$(touch ran)",
    "`touch ran`",
    "; touch ran #",
    "'; touch ran; '",
    '"$(touch ran)"',
    "a | touch ran",
    "a\ntouch ran\n",
    "&touch ran&",
]


@pytest.mark.slow
def test_names_with_shell_syntax(tmp_path, settings):
    """Use shell syntax in the names of photos, of their folder and of the model's folder."""
    photos, model = tmp_path / "$(touch ran) `touch ran`", tmp_path / "m; touch ran; $(touch ran)"
    settings["images"].rename(photos)
    shutil.copytree(settings["model"], model)
    settings |= {"images": photos, "model": model, "ground_truth": ""}
    (photos / "chart.png").rename(photos / "it's $HOME; a {test} & [b].png")
    (photos / "hills.jpg").rename(photos / "-n été.jpg")
    for name in COMMANDS:
        shutil.copy(photos / "leaves_odd.jpg", photos / f"{name}.jpg")
    result = snakemake(tmp_path, **settings)
    assert result.returncode == 0, result.stderr
    names = ["-n été", "it's $HOME; a {test} & [b]", "leaves_odd", "night_tall", *COMMANDS]
    assert set(zip_names(tmp_path)) == {*(f"{name}.npy" for name in names), "readme.txt"}
    # a change of such a photo is detected too
    before = (tmp_path / "submission" / "it's $HOME; a {test} & [b].npy").read_bytes()
    shutil.copy(ROOT / "test_rgb" / "paper.jpg", photos / "it's $HOME; a {test} & [b].png")
    assert snakemake(tmp_path, **settings).returncode == 0
    assert (tmp_path / "submission" / "it's $HOME; a {test} & [b].npy").read_bytes() != before
    assert not list(tmp_path.rglob("ran"))


@pytest.mark.slow
def test_a_killed_run_resumes(tmp_path, settings):
    settings["shard_size"] = 1
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    assert snakemake(undisturbed, **settings).returncode == 0
    command = [
        Path(sys.executable).parent / "snakemake",
        "--snakefile",
        ROOT / "Snakefile",
        "--directory",
        tmp_path / "killed",
    ]
    command += ["--config", *(f"{key}={value}" for key, value in settings.items())]
    process = subprocess.Popen(
        [str(part) for part in command], stderr=subprocess.DEVNULL, start_new_session=True
    )
    raw = tmp_path / "killed" / "results" / "raw"
    deadline = time.monotonic() + 120
    while len(list(raw.glob("*/*.npy"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "submission" / "submission.zip").exists()
    snakemake(tmp_path / "killed", "--unlock", **settings)
    result = snakemake(tmp_path / "killed", **settings)
    assert result.returncode == 0, result.stderr
    assert rules_run(result).count("infer") < 4  # finished shards are not recomputed
    for path in (undisturbed / "submission").glob("*.npy"):
        assert path.read_bytes() == (tmp_path / "killed" / "submission" / path.name).read_bytes()


@pytest.mark.slow
def test_missing_weights_are_fetched_by_a_rule(tmp_path, settings, tiny_model):
    """Run a copy of the program whose models.yaml points to a local server that drops connections."""
    program = tmp_path / "program"
    for part in ("omf", "workflow", "scripts", "cameras", "profiles"):
        shutil.copytree(ROOT / part, program / part)
    shutil.copy(ROOT / "Snakefile", program)
    shutil.copy(ROOT / "config.yaml", program)
    weights = {branch: (tiny_model / f"{branch}.safetensors").read_bytes() for branch in ("oe", "noe")}
    with serving({f"/{branch}": content for branch, content in weights.items()}) as server:
        server.drop_after = 5000
        files = {
            branch: {
                "name": f"remote_{branch}.safetensors",
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "url": server.url(f"/{branch}"),
            }
            for branch, content in weights.items()
        }
        (program / "trained_models").mkdir()
        (program / "trained_models" / "models.yaml").write_text(
            yaml.safe_dump({"remote": {"widths": [4, 6, 8], "files": files}})
        )
        command = [
            Path(sys.executable).parent / "snakemake",
            "--snakefile",
            program / "Snakefile",
            "--directory",
            tmp_path,
        ]
        command += [
            "--config",
            *(f"{key}={value}" for key, value in (settings | {"model": "remote"}).items()),
        ]
        result = run(*command, PYTHONPATH=str(program))
    assert result.returncode == 0, result.stderr
    assert {"fetch_oe", "fetch_noe"} <= set(rules_run(result))
    for branch, content in weights.items():
        assert (program / "trained_models" / f"remote_{branch}.safetensors").read_bytes() == content
    assert "hills.npy" in zip_names(tmp_path)


def test_damaged_weights_are_reported_at_start_up(tmp_path, settings):
    (tmp_path / "model").mkdir()
    for branch in ("oe", "noe"):
        (tmp_path / "model" / f"{branch}.safetensors").write_text(
            "version https://git-lfs.github.com/spec/v1\n"
        )
    result = snakemake(tmp_path, **settings | {"model": tmp_path / "model"})
    assert result.returncode == 1
    assert "Git LFS pointer" in result.stderr


@pytest.mark.slow
def test_published_checkpoints_need_one_changed_line(tmp_path, published_model):
    """Change only the `model:` line of config.yaml, and compare the result for the reference image."""
    shutil.copy(ROOT / "tests" / "reference" / "input_504.png", tmp_path)
    lines = (ROOT / "config.yaml").read_text().splitlines()
    changed = [f"model: {published_model}" if line.startswith("model:") else line for line in lines]
    assert sum(a != b for a, b in zip(lines, changed)) == 1
    (tmp_path / "config.yaml").write_text("\n".join(changed))
    result = snakemake(tmp_path, "--configfile", tmp_path / "config.yaml", images=tmp_path, ground_truth="")
    assert result.returncode == 0, result.stderr
    expected = np.load(ROOT / "tests" / "reference" / "expected_504_float64.npy").astype(int)
    difference = np.abs(np.load(tmp_path / "submission" / "input_504.npy") - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 5e-4


def test_only_inference_imports_torch(tmp_path):
    for script in (
        "preprocess",
        "mosaic",
        "evaluate",
        "package",
        "report",
        "check_problems",
        "fetch",
        "settings",
    ):
        code = f"import runpy, sys; runpy.run_path('scripts/{script}.py'); sys.exit('torch' in sys.modules)"
        assert run(sys.executable, "-c", code).returncode == 0, script


def test_thousands_of_shards_are_planned_with_short_commands(tmp_path, settings):
    photos = tmp_path / "many"
    photos.mkdir()
    for number in range(2000):
        (photos / f"{number}.jpg").touch()
    result = snakemake(tmp_path, "-n", "-p", **settings | {"images": photos, "shard_size": 1})
    assert result.returncode == 0, result.stderr
    assert re.search(r"^preprocess +2000$", result.stdout, re.MULTILINE)
    commands = [line for line in result.stdout.splitlines() if "python " in line]
    assert len(commands) > 8000 and max(map(len, commands)) < 1000


@pytest.mark.slow
def test_omitting_the_zip(tmp_path, settings):
    result = snakemake(tmp_path, "--omit-from", "package", **settings)
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "results" / "raw" / "s").glob("*.npy"))) == 4
    assert (tmp_path / "submission" / "report.html").is_file()
    assert (tmp_path / "submission" / "provenance.json").is_file()
    assert not (tmp_path / "submission" / "submission.zip").exists()


@pytest.mark.slow
def test_another_format_keeps_the_scores_of_the_challenge(finished, tmp_path, settings):
    scores = (finished / "submission" / "scores.txt").read_text().splitlines()[:2]
    result = snakemake(finished, **settings | {"output_format": "npz", "bit_depth": 12, "cfa": "BGGR"})
    assert result.returncode == 0, result.stderr
    submission = finished / "submission"
    assert {path.name for path in submission.glob("*.np?")} == {
        f"{name}.npz" for name in ("chart", "hills", "leaves_odd", "night_tall")
    }
    assert not (submission / "submission.zip").exists()
    assert (submission / "scores.txt").read_text().splitlines()[:2] == scores
    with np.load(submission / "hills.npz") as hills:
        assert hills["raw"].max() > 1024 and hills["cfa"].item() == "BGGR" and hills["model"].item() == "tiny"
    result = snakemake(finished, **settings | {"output_format": "dng"})
    assert result.returncode == 0, result.stderr
    assert len(list(submission.glob("*.dng"))) == 4
    assert not list(submission.glob("*.npz"))
    # and back: all files of the other format are removed
    assert snakemake(finished, **settings).returncode == 0
    assert len(zip_names(finished)) == 5
    assert not list(submission.glob("*.dng"))


def test_conflicting_format_settings_are_reported_at_start_up(tmp_path, settings):
    result = snakemake(tmp_path, **settings | {"bit_depth": 12})
    assert result.returncode == 1
    assert "bit_depth is 12, but output_format npy is the format of aim2022, which has 10" in result.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_noise_is_reproducible(tmp_path, settings):
    (tmp_path / "noise.yaml").write_text("noise: {iso: 800}\n")
    for folder, shards in (("a", 256), ("b", 1)):
        (tmp_path / folder).mkdir()
        result = snakemake(
            tmp_path / folder, "--configfile", tmp_path / "noise.yaml", **settings | {"shard_size": shards}
        )
        assert result.returncode == 0, result.stderr
    for path in (tmp_path / "a" / "submission").glob("*.npy"):
        assert path.read_bytes() == (tmp_path / "b" / "submission" / path.name).read_bytes()
    direct = omf(
        "predict",
        settings["images"],
        "-o",
        tmp_path / "direct",
        "--model",
        settings["model"],
        "--device",
        "cpu",
        "--noise-iso",
        800,
    )
    assert direct.returncode == 0, direct.stderr
    for path in (tmp_path / "direct").glob("[!.]*"):
        assert path.read_bytes() == (tmp_path / "a" / "submission" / path.name).read_bytes()


@pytest.mark.slow
def test_the_preset_of_the_second_track(tmp_path, settings):
    """AIM 2022, Huawei P20: crops of 496 x 496 pixels."""
    photos = tmp_path / "p20"
    photos.mkdir()
    iio.imwrite(photos / "0_1.jpg", random_rgb(496, 496))
    result = snakemake(
        tmp_path, **settings | {"images": photos, "ground_truth": "", "model": "unprocess_p20"}
    )
    assert result.returncode == 0, result.stderr
    entry = np.load(tmp_path / "submission" / "0_1.npy")
    assert (entry.shape, entry.dtype) == ((248, 248, 4), np.uint16)
    assert 256 < entry.max() <= 1024
    summary = json.loads((tmp_path / "submission" / "summary.json").read_text())
    assert (summary["model"], summary["camera"]) == ("unprocess_p20", "huawei_p20")
    # another camera gives other colours
    assert (
        snakemake(
            tmp_path, **settings | {"images": photos, "ground_truth": "", "model": "unprocess"}
        ).returncode
        == 0
    )
    assert (np.load(tmp_path / "submission" / "0_1.npy") != entry).any()


@pytest.mark.slow
def test_the_preset_of_ntire_2025(tmp_path, settings):
    photos, truths = tmp_path / "ntire", tmp_path / "truths"
    photos.mkdir()
    truths.mkdir()
    iio.imwrite(photos / "1.png", random_rgb(1024, 1024))
    np.save(truths / "1.npy", np.full((512, 512, 4), 2000, np.uint16))
    result = snakemake(
        tmp_path, **settings | {"images": photos, "ground_truth": truths, "challenge": "ntire2025"}
    )
    assert result.returncode == 0, result.stderr
    entry = np.load(tmp_path / "submission" / "1.npy")
    assert (entry.shape, entry.dtype) == ((512, 512, 4), np.uint16)
    assert 1024 < entry.max() <= 4095
    assert zip_names(tmp_path) == ["1.npy", "readme.txt"]
    psnr = json.loads((tmp_path / "submission" / "scores.json").read_text())["mean"]["psnr"]
    assert psnr == pytest.approx(
        -10 * np.log10(((entry.astype(float) - 2000) ** 2).mean() / 4095**2), abs=1e-9
    )


def test_the_classical_method_replaces_the_networks(tmp_path, settings):
    result = snakemake(tmp_path, **settings | {"model": "unprocess"})
    assert result.returncode == 0, result.stderr
    assert "4 images reconstructed with model unprocess on CPU" in result.stderr
    direct = omf("predict", settings["images"], "-o", tmp_path / "direct", "--model", "unprocess")
    assert direct.returncode == 0, direct.stderr
    for path in (tmp_path / "direct").glob("[!.]*"):
        assert path.read_bytes() == (tmp_path / "submission" / path.name).read_bytes()
    readme = (tmp_path / "submission" / "readme.txt").read_text()
    assert "Extra Data [1] / No Extra Data [0] : 0" in readme


def test_a_classical_method_for_another_camera(tmp_path, settings):
    profile = tmp_path / "my phone.yaml"
    profile.write_text((ROOT / "cameras" / "huawei_p20.yaml").read_text())
    options = {"model": "inverse", "camera": "my phone.yaml"}
    result = snakemake(tmp_path, **settings | options)
    assert result.returncode == 0, result.stderr
    command = ["predict", settings["images"], "-o", tmp_path / "direct", "--model", "inverse"]
    direct = omf(*command, "--camera", profile)
    assert direct.returncode == 0, direct.stderr
    for path in (tmp_path / "direct").glob("[!.]*"):
        assert path.read_bytes() == (tmp_path / "submission" / path.name).read_bytes()
    summary = json.loads((tmp_path / "submission" / "summary.json").read_text())
    assert (summary["model"], summary["camera"]) == ("inverse", "my phone.yaml")
    profile.write_text(profile.read_text() + "\n")  # a change of the profile reruns the job
    planned = snakemake(tmp_path, "-n", **settings | options)
    assert "rule infer" in planned.stdout + planned.stderr
    refused = snakemake(tmp_path, **settings | {"camera": "huawei_p20"})
    assert refused.returncode == 1
    assert "its networks predict the RAW of samsung_s7" in refused.stderr


@pytest.mark.slow
def test_provenance_records_inputs_weights_and_environment(tmp_path, settings):
    (settings["images"] / "broken.jpg").write_text("no picture")
    snakemake(tmp_path, **settings | {"shard_size": 2})
    provenance = json.loads((tmp_path / "submission" / "provenance.json").read_text())
    photos = {path.name: sha256(path) for path in settings["images"].iterdir()}
    assert provenance["inputs"]["photos"] == {
        name: digest for name, digest in photos.items() if name != "broken.jpg"
    }
    names = ["chart.npy", "hills.npy", "leaves_odd.npy", "night_tall.npy"]
    assert provenance["inputs"]["ground_truth"] == {name: sha256(ROOT / "test_raw" / name) for name in names}
    assert provenance["weights"] == {
        f"tiny/{branch}.safetensors": sha256(settings["model"] / f"{branch}.safetensors")
        for branch in ("oe", "noe")
    }
    assert (
        provenance["config"] | {"shard_size": 2, "images": str(settings["images"]), "precision": "float32"}
        == provenance["config"]
    )
    (made_by,) = provenance["environments"]
    assert made_by["jobs"] == len(list((tmp_path / "results" / "timing").iterdir())) > 1
    assert made_by["packages"]["torch"] == torch.__version__
    log = next((tmp_path / "results" / "logs" / "infer").iterdir()).read_text()
    assert f"overexposure-mask-fusion {made_by['version']}, commit {made_by['commit'] or 'unknown'}" in log


def test_thousands_of_photos_are_hundreds_of_jobs(tmp_path, settings):
    photos = tmp_path / "many"
    photos.mkdir()
    for number in range(9000):
        (photos / f"{number}.jpg").touch()
    result = snakemake(tmp_path, "-n", "--quiet", "rules", **settings | {"images": photos, "shard_size": 256})
    assert result.returncode == 0, result.stderr
    total = re.search(r"^total +(\d+)", result.stdout, re.MULTILINE)
    assert int(total[1]) < 300


def test_cluster_resources_of_jobs(tmp_path, settings):
    def jobs(device: str) -> dict[str, str]:
        """Return the dry-run output of each rule with the Slurm profile."""
        result = snakemake(
            tmp_path, "-n", "--workflow-profile", ROOT / "profiles" / "slurm", **settings | {"device": device}
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return {
            part.partition(":")[0]: part
            for part in re.split(r"^(?:local)?rule ", result.stdout, flags=re.MULTILINE)[1:]
        }

    requested = jobs("auto")
    assert "threads: 8" in requested["infer"]
    assert "gpu=1," in requested["infer"] and "mem_mb=8000," in requested["infer"]
    assert "gpu=0" in jobs("cpu")["infer"]
    for rule in ("preprocess", "mosaic", "evaluate", "package", "report"):
        assert "gpu" not in requested[rule]
        assert "mem_mb=" in requested[rule] and "runtime=" in requested[rule]


def test_the_default_profile():
    profile = yaml.safe_load((ROOT / "profiles" / "default" / "config.yaml").read_text())
    assert profile["rerun-incomplete"] is True
    assert profile["cores"] == "all"


@pytest.mark.parametrize(
    ("gpus", "visible", "options", "parallel"),
    [
        (0, None, (), 1),
        (1, None, (), 1),
        (3, None, (), 3),
        (3, "0,2", (), 2),
        (3, None, ("--resources", "gpu=2"), 2),
    ],
)
def test_each_gpu_of_this_machine_has_its_inference_job(
    tmp_path, settings, monkeypatch, gpus, visible, options, parallel
):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "nvidia-smi").write_text("#!/bin/sh\n" + "".join(f"echo GPU-{i}\n" for i in range(gpus)))
    (programs / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    result = snakemake(tmp_path, "-n", "--cores", 13, *options, **settings | {"device": "auto"})
    assert result.returncode == 0, result.stdout + result.stderr
    (infer,) = re.findall(r"^rule infer:.*?^$", result.stdout, re.MULTILINE | re.DOTALL)[:1]
    assert f"threads: {12 // parallel}\n" in infer
    assert "gpu=1, inference=1" in infer


def test_jobs_on_several_gpus_run_at_once(tmp_path, settings, monkeypatch):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho GPU-0\necho GPU-1\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    result = snakemake(tmp_path, **settings | {"ground_truth": "", "device": "auto"})
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"Provided resources: gpu=\D*2\D+inference=\D*2", result.stderr)
    # they run on the CPU here, since PyTorch sees none of these GPUs, and say so
    (log,) = (tmp_path / "results" / "logs" / "infer").glob("*.log")
    assert "running on the CPU: there is a GPU, but PyTorch" in log.read_text()


def test_a_folder_whose_name_looks_like_a_number(tmp_path, settings, photo_folder):
    for name in ("2023_05", "007", "1e3"):
        photo_folder.rename(tmp_path / name)
        photo_folder = tmp_path / name
        result = snakemake(tmp_path, **settings | {"images": name, "ground_truth": ""})
        assert result.returncode == 0, result.stdout + result.stderr
        assert (tmp_path / "submission" / "chart.npy").is_file()


def test_two_lists_of_settings_are_refused(tmp_path, settings):
    """Snakemake would forget the first one."""
    result = snakemake(tmp_path, "-n", "--config", "shard_size=3", **settings)
    assert result.returncode == 1
    assert "--config is given twice, and Snakemake forgets the first" in result.stdout + result.stderr


def test_the_samples_are_found_from_any_folder(tmp_path):
    result = snakemake(tmp_path, "-n", device="cpu")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "preprocess" in result.stdout


def test_files_that_are_no_pictures_are_counted(tmp_path, settings, photo_folder):
    (photo_folder / "notes.txt").write_text("BM of May")
    result = snakemake(tmp_path, "-n", **settings)
    assert result.returncode == 0
    assert result.stderr.count("photos: 1 file without a picture; left out") == 1


def test_the_launcher_forwards_arguments(tmp_path, settings):
    result = run(
        ROOT / "test",
        "-n",
        "--directory",
        tmp_path,
        "--config",
        *(f"{key}={value}" for key, value in settings.items()),
    )
    assert result.returncode == 0, result.stderr
    assert "infer" in result.stdout + result.stderr
    assert not (tmp_path / "submission").exists()
    assert "Installing" not in result.stderr


def test_photos_and_raw_as_a_pixel_phone_names_them(tmp_path, settings):
    pytest.importorskip("rawpy")
    folder = tmp_path / "camera"
    folder.mkdir()
    linear = scene(0, 120, 160)
    Image.fromarray(photo_of(linear)).save(folder / "PXL_1.RAW-01.COVER.jpg", quality=95)
    write_dng(folder / "PXL_1.RAW-02.ORIGINAL.dng", bayer_of(linear))
    result = snakemake(tmp_path, **settings | {"images": "camera", "ground_truth": "camera"})
    assert result.returncode == 0, result.stdout + result.stderr
    scores = json.loads((tmp_path / "submission" / "scores.json").read_text())
    assert list(scores["images"]) == ["PXL_1.RAW-01.COVER"] and scores["scored"] == 1
