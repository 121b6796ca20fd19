"""The workflow with the real Snakemake, in temporary folders and mostly without networks."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
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

NAMES = sorted(Path(photo).stem for photo in PHOTOS)


def finish(folder: Path, *arguments: object, **config: object) -> subprocess.CompletedProcess:
    """Run the workflow, and assert that it succeeds."""
    result = snakemake(folder, *arguments, **config)
    assert result.returncode == 0, result.stdout + result.stderr
    return result


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


def read_json(folder: Path, name: str) -> dict:
    return json.loads((folder / "submission" / f"{name}.json").read_text())


def raw_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("[!.]*.np?")}


def predicted(photos: Path, out: Path, *options: object) -> dict[str, bytes]:
    """Return the RAW files that `omf predict` writes."""
    result = omf("predict", photos, "-o", out, "--device", "cpu", *options)
    assert result.returncode == 0, result.stderr
    return raw_files(out)


def svg_text(page: str) -> str:
    """Return all SVG plots of a page as text."""
    return "".join(
        base64.b64decode(uri).decode() for uri in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page)
    )


@pytest.fixture
def settings(photo_folder) -> dict:
    return {"images": photo_folder, "model": "unprocess", "ground_truth": ROOT / "test_raw", "device": "cpu"}


@pytest.fixture(scope="module")
def first_run(tmp_path_factory) -> tuple[Path, str]:
    """Return a folder with photos and a finished run, and its messages."""
    folder = tmp_path_factory.mktemp("first_run")
    (folder / "photos").mkdir()
    for name in PHOTOS:
        shutil.copy(ROOT / "test_rgb" / name, folder / "photos")
    config = {"model": "unprocess", "ground_truth": ROOT / "test_raw", "device": "cpu"}
    return folder, finish(folder, images="photos", **config).stderr


@pytest.fixture
def finished(first_run, tmp_path, settings) -> Path:
    """Return a copy of that folder, and set `settings` to those of its run."""
    settings["images"] = Path("photos")
    return shutil.copytree(first_run[0], tmp_path, dirs_exist_ok=True)


def test_a_run_writes_a_scored_entry(tmp_path, settings, tiny_model):
    (settings["images"] / "notes.txt").write_text("BM of May")
    messages = finish(tmp_path, **settings | {"model": tiny_model}).stderr
    assert messages.count("photos: 1 file without a picture; left out") == 1
    assert zip_names(tmp_path) == [*(f"{name}.npy" for name in NAMES), "readme.txt"]
    submission = tmp_path / "submission"
    with zipfile.ZipFile(submission / "submission.zip") as archive:
        for name in archive.namelist():
            assert archive.read(name) == (submission / name).read_bytes()
    readme = [line.split(" : ") for line in (submission / "readme.txt").read_text().splitlines()]
    assert [name for name, _ in readme] == [
        "runtime per image [s]",
        "CPU[1] / GPU[0]",
        "Extra Data [1] / No Extra Data [0]",
        "Other description",
    ]
    assert float(readme[0][1]) > 0
    assert readme[1][1] == "1" and "CPU" in readme[3][1]

    scores = read_json(tmp_path, "scores")
    assert list(scores["images"]) == NAMES
    options = ("--photos", settings["images"], "--out", tmp_path / "evaluated")
    evaluated = omf("evaluate", submission, ROOT / "test_raw", *options)
    assert evaluated.returncode == 1  # there are no predictions for the other samples
    for name in ("scores.json", "scores.csv", "scores.txt"):
        assert (tmp_path / "evaluated" / name).read_text() == (submission / name).read_text()
    assert scores["mean"]["unprocess_psnr"] > 10
    assert (submission / "scores.txt").read_text().splitlines()[0] == f"PSNR:{scores['mean']['psnr']}"

    assert f"{scores['mean']['psnr']:.2f}" in messages
    page = (submission / "report.html").read_text()
    assert f"{scores['mean']['psnr']:.2f} dB" in page
    assert "infer" in svg_text(page)
    results = tmp_path / "results"
    assert len(list((results / "report").glob("images_*.jpg"))) == 4
    assert not list((results / "decoded").glob("*"))
    assert (results / "logs" / "infer" / "s.log").is_file()
    assert (results / "benchmarks" / "infer" / "s.tsv").is_file()


def test_the_classical_method_replaces_the_networks(first_run, tmp_path, settings):
    folder, messages = first_run
    assert "4 images reconstructed with model unprocess on CPU" in messages
    written = predicted(settings["images"], tmp_path / "direct", "--model", "unprocess")
    assert raw_files(folder / "submission") == written
    readme = (folder / "submission" / "readme.txt").read_text()
    assert "Extra Data [1] / No Extra Data [0] : 0" in readme


@pytest.mark.slow
def test_a_new_image_reruns_its_own_shard_only(tmp_path, settings):
    settings["shard_size"] = 2
    finish(tmp_path, **settings)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results" / "raw").glob("*/*.npy")}
    shutil.copy(ROOT / "test_rgb" / "hopper.jpg", settings["images"])
    result = finish(tmp_path, **settings)
    untouched = [path for path in before if path.exists() and path.stat().st_mtime_ns == before[path]]
    assert len(untouched) >= 2
    assert rules_run(result).count("infer") <= 2  # its shard, or the two that this is split into
    assert "hopper.npy" in zip_names(tmp_path)


def test_a_changed_and_a_removed_image(finished, settings):
    photo = finished / "photos" / "coffee.jpg"
    Image.open(photo).rotate(180).save(photo)
    (finished / "photos" / "chart.png").unlink()
    before = (finished / "submission" / "coffee.npy").read_bytes()
    finish(finished, **settings)
    assert zip_names(finished) == ["coffee.npy", "leaves_odd.npy", "night_tall.npy", "readme.txt"]
    assert (finished / "submission" / "coffee.npy").read_bytes() != before
    assert not (finished / "submission" / "chart.npy").exists()


@pytest.mark.slow
def test_other_inputs_replace_all_outputs_of_the_earlier_run(finished, settings, tmp_path):
    others = tmp_path / "others"
    others.mkdir()
    shutil.copy(ROOT / "test_rgb" / "chelsea.jpg", others)
    result = finish(finished, **settings | {"images": others, "ground_truth": ""})
    assert zip_names(finished) == ["chelsea.npy", "readme.txt"]
    assert "no ground truth with these names" in result.stderr
    scores = read_json(finished, "scores")
    assert scores["mean"]["psnr"] is None
    assert scores["mean"]["consistency_psnr"] > 0
    assert list(scores["images"]) == ["chelsea"]
    assert not (finished / "submission" / "scores.txt").exists()
    assert "There is no ground truth" in (finished / "submission" / "report.html").read_text()


@pytest.mark.slow
def test_other_weights_rerun_the_inference(tmp_path, settings, tiny_model):
    finish(tmp_path, **settings | {"model": tiny_model})
    other = tmp_path / "other"
    other.mkdir()
    for branch, source in (("oe", "noe"), ("noe", "oe")):
        shutil.copy(tiny_model / f"{source}.safetensors", other / f"{branch}.safetensors")
    before = (tmp_path / "submission" / "coffee.npy").read_bytes()
    settings["model"] = other
    assert "infer" in rules_run(finish(tmp_path, **settings))
    assert (tmp_path / "submission" / "coffee.npy").read_bytes() != before
    # same files, new date: nothing to do
    for path in other.iterdir():
        path.touch()
    assert "Nothing to be done" in finish(tmp_path, **settings).stderr


@pytest.mark.slow
def test_bad_images_are_listed_again_until_they_are_repaired(tmp_path, settings):
    (settings["images"] / "broken.jpg").write_text("no picture")
    shutil.copy(settings["images"] / "chart.png", settings["images"] / "coffee.png")
    assert snakemake(tmp_path, **settings).returncode == 1
    again = snakemake(tmp_path, **settings)
    assert again.returncode == 1
    assert rules_run(again) == ["check_problems"]  # nothing is recomputed
    assert "broken.jpg: not a picture that can be read" in again.stderr
    assert "coffee.png: would become coffee.npy" in again.stderr
    assert zip_names(tmp_path) == ["chart.npy", "leaves_odd.npy", "night_tall.npy", "readme.txt"]
    summary = read_json(tmp_path, "summary")
    assert (summary["images"], len(summary["problems"])) == (3, 3)
    (settings["images"] / "broken.jpg").unlink()
    (settings["images"] / "coffee.png").unlink()
    finish(tmp_path, **settings)
    assert "coffee.npy" in zip_names(tmp_path)


def test_the_snakemake_report_contains_page_table_and_images(finished, settings):
    finish(finished, "--report", "report.zip", **settings)
    with zipfile.ZipFile(finished / "report.zip") as archive:
        names = {Path(name).name for name in archive.namelist()}
        index = archive.read(min(archive.namelist(), key=len)).decode()  # Snakemake's own page
    # it contains no names of photos, so nothing needs escaping
    assert "<html" in index and "night_tall" not in index
    assert names >= {"report.html", "scores.csv", "images_worst_1.jpg", "plot_tones.svg"}


def test_only_bad_images(tmp_path, settings):
    for photo in settings["images"].iterdir():
        photo.write_bytes(photo.read_bytes()[:500])
    result = snakemake(tmp_path, **settings)
    assert result.returncode != 0
    assert "coffee.jpg: can't be decoded" in result.stderr
    assert "no image could be reconstructed" in result.stderr
    assert not (tmp_path / "submission" / "submission.zip").exists()


@pytest.mark.slow
def test_camera_raw_beside_the_photos_is_ground_truth(tmp_path, settings):
    pytest.importorskip("rawpy")
    folder, packed, out = tmp_path / "phone", tmp_path / "packed", tmp_path / "predicted"
    packed.mkdir()
    for name, turns, cfa in (("upright", 0, "RGGB"), ("turned", 1, "GRBG")):
        write_pair(folder, name, turns=turns, cfa=cfa)
        demosaiced = demosaic(read_camera_raw(folder / f"{name}.dng").mosaic, cfa)
        np.save(packed / f"{name}.npy", to_challenge_format(np.rot90(demosaiced[3:-5, 6:-7], turns)))
    shown, photo = scene(2, 120, 160), "PXL_1.RAW-01.COVER"  # the names of a Pixel phone
    counts = write_dng(folder / "PXL_1.RAW-02.ORIGINAL.dng", bayer_of(shown))
    Image.fromarray(photo_of(shown)).save(folder / f"{photo}.jpg")
    values = (counts - np.float32(64)) / np.float32(16383 - 64)
    np.save(packed / f"{photo}.npy", pack(to_challenge_counts(values)))

    settings |= {"images": folder, "ground_truth": folder}
    finish(tmp_path, **settings)
    submission = tmp_path / "submission"
    scores = (submission / "scores.json").read_text()
    assert json.loads(scores)["scored"] == 3
    recorded = read_json(tmp_path, "provenance")["inputs"]["ground_truth"]
    assert recorded == {path.name: sha256(path) for path in folder.glob("*.dng")}

    predicted(folder, out, "--model", "unprocess")
    for truths in (folder, packed):
        result = omf("evaluate", out, truths, "--photos", folder, "--out", tmp_path / "evaluated")
        assert result.returncode == 0, result.stderr
        assert (tmp_path / "evaluated" / "scores.json").read_text() == scores

    # the page is also written without any usable ground truth
    for path in folder.glob("*.dng"):
        path.write_text("broken")
    result = snakemake(tmp_path, **settings)
    assert result.returncode != 0
    assert result.stderr.count("can't be decoded") >= 3 and "Traceback" not in result.stderr
    assert read_json(tmp_path, "summary")["images"] == 3
    assert "turned.dng: can&#39;t be decoded" in (submission / "report.html").read_text()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"shard_sise": 5, "device": "gpu"}, "did you mean shard_size?"),
        ({"device": "gpu"}, "device is 'gpu'; it must be auto, cpu or cuda"),
        ({"images": "nowhere"}, "nowhere: no such folder"),
        ({"images": "link"}, "images is link, where a run writes; give a folder outside of submission"),
        ({"ground_truth": "submission/"}, "ground_truth is submission/, where a run writes; give a folder"),
        ({"model": "no_model"}, "model no_model: neither listed nor a folder"),
        ({"model": "damaged"}, "Git LFS pointer"),
        (
            {"samples": 2},
            "model unprocess: draws no samples, since it has no spread network; set samples to 0",
        ),
        (
            {"camera": "huawei_p21"},
            "known cameras: generic_phone, huawei_p20, samsung_s7; or give a RAW file",
        ),
        ({"bit_depth": 12}, "bit_depth is 12, but output_format npy is the format of aim2022, which has 10"),
    ],
)
def test_wrong_settings_are_reported_at_start_up(tmp_path, settings, setting, message):
    (tmp_path / "results" / "mine").mkdir(parents=True)
    (tmp_path / "link").symlink_to("results/mine")
    (tmp_path / "damaged").mkdir()
    for branch in ("oe", "noe"):
        weights = tmp_path / "damaged" / f"{branch}.safetensors"
        weights.write_text("version https://git-lfs.github.com/spec/v1\n")
    result = snakemake(tmp_path, **settings | setting)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "submission").exists()
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["mine"]


def test_two_lists_of_settings_are_refused(tmp_path, settings):
    """Snakemake would forget the first one."""
    result = snakemake(tmp_path, "-n", "--config", "shard_size=3", **settings)
    assert result.returncode == 1
    assert "--config is given twice, and Snakemake forgets the first" in result.stdout + result.stderr


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
    *("$(touch ran)", "`touch ran`", "; touch ran #", "'; touch ran; '", '"$(touch ran)"', "a | touch ran"),
    *("a\ntouch ran\n", "&touch ran&"),
]


@pytest.mark.slow
def test_names_with_shell_syntax(tmp_path, settings, tiny_model):
    """Use shell syntax in the names of photos, of their folder and of the model's folder."""
    photos, model = tmp_path / "$(touch ran) `touch ran`", tmp_path / "m; touch ran; $(touch ran)"
    settings["images"].rename(photos)
    shutil.copytree(tiny_model, model)
    settings |= {"images": photos, "model": model, "ground_truth": ""}
    (photos / "chart.png").rename(photos / "it's $HOME; a {test} & [b].png")
    (photos / "coffee.jpg").rename(photos / "-n été.jpg")
    for name in COMMANDS:
        shutil.copy(photos / "leaves_odd.jpg", photos / f"{name}.jpg")
    finish(tmp_path, **settings)
    names = ["-n été", "it's $HOME; a {test} & [b]", "leaves_odd", "night_tall", *COMMANDS]
    assert set(zip_names(tmp_path)) == {*(f"{name}.npy" for name in names), "readme.txt"}
    # a change of such a photo is detected too
    before = (tmp_path / "submission" / "it's $HOME; a {test} & [b].npy").read_bytes()
    shutil.copy(ROOT / "test_rgb" / "chelsea.jpg", photos / "it's $HOME; a {test} & [b].png")
    finish(tmp_path, **settings)
    assert (tmp_path / "submission" / "it's $HOME; a {test} & [b].npy").read_bytes() != before
    assert not list(tmp_path.rglob("ran"))


@pytest.mark.slow
def test_missing_weights_are_fetched_by_a_rule(tmp_path, settings, tiny_model, monkeypatch):
    """Run a copy of the program whose models.yaml points to a local server that drops connections."""
    program = tmp_path / "program"
    for part in ("omf", "workflow", "scripts", "cameras", "profiles"):
        shutil.copytree(ROOT / part, program / part)
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, program)
    monkeypatch.setenv("PYTHONPATH", str(program))
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
        models = {"remote": {"widths": [4, 6, 8], "files": files}}
        (program / "trained_models").mkdir()
        (program / "trained_models" / "models.yaml").write_text(yaml.safe_dump(models))
        result = finish(tmp_path, root=program, **settings | {"model": "remote"})
    assert {"fetch_oe", "fetch_noe"} <= set(rules_run(result))
    for branch, content in weights.items():
        assert (program / "trained_models" / f"remote_{branch}.safetensors").read_bytes() == content
    assert "coffee.npy" in zip_names(tmp_path)


@pytest.mark.slow
def test_published_checkpoints_need_one_changed_line(tmp_path, published_model):
    """Change only the `model:` line of config.yaml, and compare the result for the reference image."""
    shutil.copy(ROOT / "tests" / "reference" / "input_504.png", tmp_path)
    lines = (ROOT / "config.yaml").read_text().splitlines()
    changed = [f"model: {published_model}" if line.startswith("model:") else line for line in lines]
    assert sum(a != b for a, b in zip(lines, changed)) == 1
    (tmp_path / "config.yaml").write_text("\n".join(changed))
    finish(tmp_path, "--configfile", tmp_path / "config.yaml", images=tmp_path, ground_truth="")
    expected = np.load(ROOT / "tests" / "reference" / "expected_504_float64.npy").astype(int)
    difference = np.abs(np.load(tmp_path / "submission" / "input_504.npy") - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 5e-4


def test_only_inference_imports_torch():
    scripts = ("preprocess", "mosaic", "evaluate", "package", "report", "check_problems", "fetch", "settings")
    code = (
        "import runpy, sys\n"
        f"for script in {scripts}:\n"
        "    runpy.run_path(f'scripts/{script}.py')\n"
        "    assert 'torch' not in sys.modules, script\n"
    )
    result = run(sys.executable, "-c", code)
    assert result.returncode == 0, result.stderr


def test_hundreds_of_shards_are_planned_with_short_commands(tmp_path, settings):
    photos, count = tmp_path / "many", 500
    photos.mkdir()
    for number in range(count):
        (photos / f"{number}.jpg").touch()
    output = finish(tmp_path, "-n", "-p", **settings | {"images": photos, "shard_size": 1}).stdout
    assert re.search(rf"^preprocess +{count}$", output, re.MULTILINE)
    assert re.search(rf"^total +{4 * count + 4}$", output, re.MULTILINE)
    commands = [line for line in output.splitlines() if "python " in line]
    assert len(commands) > 4 * count and max(map(len, commands)) < 1000


@pytest.mark.slow
def test_omitting_the_zip(tmp_path, settings):
    finish(tmp_path, "--omit-from", "package", **settings)
    assert len(list((tmp_path / "results" / "raw" / "s").glob("*.npy"))) == 4
    assert (tmp_path / "submission" / "report.html").is_file()
    assert (tmp_path / "submission" / "provenance.json").is_file()
    assert not (tmp_path / "submission" / "submission.zip").exists()


@pytest.mark.slow
def test_another_format_keeps_the_scores_of_the_challenge(finished, settings):
    submission = finished / "submission"
    scores = (submission / "scores.txt").read_text().splitlines()[:2]
    finish(finished, **settings | {"output_format": "npz", "bit_depth": 12, "cfa": "BGGR"})
    assert set(raw_files(submission)) == {f"{name}.npz" for name in NAMES}
    assert not (submission / "submission.zip").exists()
    assert (submission / "scores.txt").read_text().splitlines()[:2] == scores
    with np.load(submission / "coffee.npz") as coffee:
        assert coffee["raw"].max() > 1024
        assert (coffee["cfa"].item(), coffee["model"].item()) == ("BGGR", "unprocess")
    finish(finished, **settings | {"output_format": "dng"})
    assert len(list(submission.glob("*.dng"))) == 4
    assert not list(submission.glob("*.npz"))
    # and back: all files of the other format are removed
    finish(finished, **settings)
    assert len(zip_names(finished)) == 5
    assert not list(submission.glob("*.dng"))


@pytest.mark.slow
def test_the_shard_size_does_not_change_a_byte(tmp_path, settings, tiny_model):
    """Use networks, and noise."""
    (tmp_path / "noise.yaml").write_text("noise: {iso: 800}\n")
    settings["model"] = tiny_model
    for folder, shards in (("a", 256), ("b", 1)):
        (tmp_path / folder).mkdir()
        noise = ("--configfile", tmp_path / "noise.yaml")
        finish(tmp_path / folder, *noise, **settings | {"shard_size": shards})
    one, other = tmp_path / "a" / "submission", tmp_path / "b" / "submission"
    assert raw_files(one) == raw_files(other)
    for name in ("scores.json", "scores.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    options = ("--model", tiny_model, "--noise-iso", 800)
    assert predicted(settings["images"], tmp_path / "direct", *options) == raw_files(one)


@pytest.mark.slow
def test_samples_in_the_workflow(tmp_path, settings, tiny_base_model):
    """They are those of `omf predict`, each is scored, and the expected RAW comes back without them."""
    settings["model"] = tiny_base_model
    names = {f"{name}_{number}.npy" for name in NAMES for number in (1, 2)}
    finish(tmp_path, **settings | {"samples": 2})
    submission = tmp_path / "submission"
    samples = raw_files(submission)
    assert set(samples) == names
    scores = json.loads((submission / "scores.json").read_text())
    assert scores["scored"] == len(names) and scores["mean"]["expected_psnr"] is None
    direct = predicted(settings["images"], tmp_path / "direct", "--model", tiny_base_model, "--samples", 2)
    assert direct == samples
    finish(tmp_path, **settings)
    assert set(raw_files(submission)) == {f"{name}.npy" for name in NAMES}
    images = json.loads((submission / "scores.json").read_text())["images"].values()
    assert all(image["exposure_low"] < 1 < image["exposure_high"] for image in images)
    page = (submission / "report.html").read_text()
    assert "as expected" in svg_text(page) and " times" in page


@pytest.mark.slow
def test_the_preset_of_the_second_track(tmp_path, settings):
    """AIM 2022, Huawei P20: crops of 496 x 496 pixels."""
    photos = tmp_path / "p20"
    photos.mkdir()
    iio.imwrite(photos / "0_1.jpg", random_rgb(496, 496))
    settings |= {"images": photos, "ground_truth": ""}
    finish(tmp_path, **settings | {"model": "unprocess_p20"})
    entry = np.load(tmp_path / "submission" / "0_1.npy")
    assert (entry.shape, entry.dtype) == ((248, 248, 4), np.uint16)
    assert 256 < entry.max() <= 1024
    summary = read_json(tmp_path, "summary")
    assert (summary["model"], summary["camera"]) == ("unprocess_p20", "huawei_p20")
    # another camera gives other colours
    finish(tmp_path, **settings)
    assert (np.load(tmp_path / "submission" / "0_1.npy") != entry).any()


@pytest.mark.slow
def test_the_preset_of_ntire_2025(tmp_path, settings):
    photos, truths = tmp_path / "ntire", tmp_path / "truths"
    photos.mkdir()
    truths.mkdir()
    iio.imwrite(photos / "1.png", random_rgb(1024, 1024))
    np.save(truths / "1.npy", np.full((512, 512, 4), 2000, np.uint16))
    finish(tmp_path, **settings | {"images": photos, "ground_truth": truths, "challenge": "ntire2025"})
    entry = np.load(tmp_path / "submission" / "1.npy")
    assert (entry.shape, entry.dtype) == ((512, 512, 4), np.uint16)
    assert 1024 < entry.max() <= 4095
    assert zip_names(tmp_path) == ["1.npy", "readme.txt"]
    psnr = read_json(tmp_path, "scores")["mean"]["psnr"]
    error = ((entry.astype(float) - 2000) ** 2).mean() / 4095**2
    assert psnr == pytest.approx(-10 * np.log10(error), abs=1e-9)


def test_a_classical_method_for_another_camera(tmp_path, settings):
    profile = tmp_path / "my phone.yaml"
    profile.write_text((ROOT / "cameras" / "huawei_p20.yaml").read_text())
    settings |= {"model": "inverse", "camera": "my phone.yaml"}
    finish(tmp_path, **settings)
    options = ("--model", "inverse", "--camera", profile)
    assert predicted(settings["images"], tmp_path / "direct", *options) == raw_files(tmp_path / "submission")
    summary = read_json(tmp_path, "summary")
    assert (summary["model"], summary["camera"]) == ("inverse", "my phone.yaml")
    profile.write_text(profile.read_text() + "\n")  # a change of the profile reruns the job
    assert "rule infer" in finish(tmp_path, "-n", **settings).stdout


def test_raw_of_each_photos_own_camera(tmp_path, settings, tiny_base_model):
    pytest.importorskip("rawpy")
    pytest.importorskip("exiv2")
    from maker_note_photos import write_photo

    gains = {"Exif.Nikon3.WB_RBLevels": "458/256 379/256 256/256 256/256"}
    write_photo(settings["images"] / "nikon.jpg", "NIKON CORPORATION", "NIKON D750", gains)
    write_photo(settings["images"] / "phone.jpg", "samsung", "SM-G930F", {})
    settings |= {"model": tiny_base_model, "ground_truth": "", "output_format": "npz"}
    finish(tmp_path, **settings | {"camera": "auto", "neutral": "auto"})
    options = ("--model", tiny_base_model, "--camera", "auto", "--neutral", "auto", "--format", "npz")
    direct = predicted(settings["images"], tmp_path / "direct", *options)
    assert direct.keys() == raw_files(tmp_path / "submission").keys()
    for name in direct:
        with np.load(tmp_path / "direct" / name) as one, np.load(tmp_path / "submission" / name) as other:
            assert (one["raw"] == other["raw"]).all()
            assert one["camera"] == other["camera"]
            assert one["camera"] == ("NIKON D750" if name == "nikon.npz" else "samsung_s7")
    provenance = read_json(tmp_path, "provenance")
    assert provenance["neutrals"]["nikon"] == pytest.approx([256 / 458, 256 / 379], rel=2e-3)
    assert [value for name, value in provenance["neutrals"].items() if name != "nikon"] == [None] * 5
    assert provenance["cameras"] == {Path(name).stem: "samsung_s7" for name in direct} | {
        "nikon": "NIKON D750"
    }
    summary = (tmp_path / "submission" / "summary.txt").read_text()
    assert "cameras: samsung_s7, the model's own (5 photos); NIKON D750 (1 photo)" in summary
    assert "white balance: of the maker notes in 1 of 6 photos" in summary


@pytest.mark.slow
def test_provenance_records_inputs_weights_and_environment(tmp_path, settings, tiny_model):
    (settings["images"] / "broken.jpg").write_text("no picture")
    snakemake(tmp_path, **settings | {"shard_size": 2, "model": tiny_model})
    provenance = read_json(tmp_path, "provenance")
    assert provenance["inputs"]["photos"] == {
        path.name: sha256(path) for path in settings["images"].iterdir() if path.name != "broken.jpg"
    }
    assert provenance["inputs"]["ground_truth"] == {
        f"{name}.npy": sha256(ROOT / "test_raw" / f"{name}.npy") for name in NAMES
    }
    assert provenance["weights"] == {
        f"tiny/{branch}.safetensors": sha256(tiny_model / f"{branch}.safetensors") for branch in ("oe", "noe")
    }
    config = {"shard_size": 2, "images": str(settings["images"]), "precision": "float32"}
    assert provenance["config"].items() >= config.items()
    (made_by,) = provenance["environments"]
    assert made_by["jobs"] == len(list((tmp_path / "results" / "timing").iterdir())) > 1
    assert made_by["packages"]["torch"] == torch.__version__
    log = next((tmp_path / "results" / "logs" / "infer").iterdir()).read_text()
    assert f"overexposure-mask-fusion {made_by['version']}, commit {made_by['commit'] or 'unknown'}" in log


def test_cluster_resources_of_jobs(tmp_path, settings):
    def jobs(device: str, profile: str = "slurm") -> tuple[dict[str, str], set[str]]:
        """Return the dry-run output of each rule with a profile, and the rules whose jobs are in a group."""
        options = ("-n", "--workflow-profile", ROOT / "profiles" / profile)
        output = finish(tmp_path, *options, **settings | {"device": device}).stdout
        parts = re.split(r"^ *(?:local)?rule ", output, flags=re.MULTILINE)[1:]
        grouped = re.findall(r"^ +rule (\w+):", output, re.MULTILINE)
        return {part.partition(":")[0]: part for part in parts}, set(grouped)

    requested, grouped = jobs("auto")
    assert "threads: 8" in requested["infer"]
    assert "gpu=1," in requested["infer"] and "mem_mb=8000," in requested["infer"]
    assert grouped == {"mosaic", "evaluate"}
    on_cpus, grouped = jobs("cpu")
    assert "gpu=0" in on_cpus["infer"]
    assert grouped == {"preprocess", "infer", "mosaic", "evaluate"}
    assert not jobs("cpu", "default")[1]
    for rule in ("preprocess", "mosaic", "evaluate", "package", "report"):
        assert "gpu" not in requested[rule]
        assert "mem_mb=" in requested[rule] and "runtime=" in requested[rule]


def test_the_default_profile():
    profile = yaml.safe_load((ROOT / "profiles" / "default" / "config.yaml").read_text())
    assert profile["rerun-incomplete"] is True
    assert profile["cores"] == "all"


@pytest.fixture
def stand_in_gpus(tmp_path, monkeypatch):
    """Return a function that makes `nvidia-smi` list a number of GPUs."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    def write(count: int) -> None:
        program.write_text("#!/bin/sh\n" + "".join(f"echo GPU-{number}\n" for number in range(count)))
        program.chmod(0o755)

    return write


@pytest.mark.parametrize(
    ("gpus", "visible", "options", "parallel"),
    [(0, None, (), 1), (3, "0,2", (), 2), (3, None, ("--resources", "gpu=2"), 2)],
)
def test_each_gpu_of_this_machine_has_its_inference_job(
    tmp_path, settings, monkeypatch, stand_in_gpus, gpus, visible, options, parallel
):
    stand_in_gpus(gpus)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    output = finish(tmp_path, "-n", "--cores", 13, *options, **settings | {"device": "auto"}).stdout
    infer = re.search(r"^rule infer:.*?^$", output, re.MULTILINE | re.DOTALL)[0]
    assert f"threads: {12 // parallel}\n" in infer
    assert "gpu=1, inference=1" in infer


@pytest.mark.slow
def test_jobs_on_several_gpus_run_at_once(tmp_path, settings, tiny_model, stand_in_gpus):
    stand_in_gpus(3)
    result = finish(tmp_path, **settings | {"model": tiny_model, "ground_truth": "", "device": "auto"})
    assert re.search(r"Provided resources: gpu=\D*3\D+inference=\D*3", result.stderr)
    # they run on the CPU here, since PyTorch sees none of these GPUs, and say so
    (log,) = (tmp_path / "results" / "logs" / "infer").glob("*.log")
    assert "running on the CPU: there is a GPU, but PyTorch" in log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["2023_05", "007", "1e3"])
def test_a_folder_whose_name_looks_like_a_number(tmp_path, settings, name):
    settings["images"].rename(tmp_path / name)
    finish(tmp_path, **settings | {"images": name, "ground_truth": ""})
    assert (tmp_path / "submission" / "chart.npy").is_file()


def test_the_launcher_forwards_arguments(tmp_path, settings):
    config = [f"{key}={value}" for key, value in settings.items()]
    result = run(ROOT / "test", "-n", "--directory", tmp_path, "--config", *config)
    assert result.returncode == 0, result.stderr
    assert "infer" in result.stdout + result.stderr
    assert not (tmp_path / "submission").exists()
    assert "Installing" not in result.stderr
