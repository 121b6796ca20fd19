"""The workflow with the real Snakemake, in temporary folders and mostly without networks."""

import hashlib
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
import yaml
from camera_dng import bayer_of, photo_of, scene, write_dng, write_pair
from conftest import PHOTOS, ROOT, random_rgb, run
from container.clones import copy_photos, make_clone
from PIL import Image
from weights_server import serving
from workflow_runs import (
    finish,
    index_of,
    planned,
    raw_files,
    read_json,
    refusal,
    rules_run,
    svg_text,
    zip_names,
)

from omf.utils.files import sha256
from omf.utils.paths import HOME

NAMES = sorted(Path(photo).stem for photo in PHOTOS)
PLAIN = {"model": "unprocess", "ground_truth": ROOT / "test_raw", "device": "cpu"}
NUMBER = "2023_05"  # a folder's name that Snakemake would take for a number
SHARDS = {"s0": ["coffee"], "s1": ["chart", "leaves_odd", "night_tall"]}  # of first_run


@pytest.fixture
def settings(photo_folder) -> dict:
    return PLAIN | {"images": photo_folder}


@pytest.fixture(scope="module")
def first_run(tmp_path_factory) -> tuple[Path, str]:
    """Return a folder with photos and a finished run of two shards, and its messages."""
    folder = tmp_path_factory.mktemp("first_run")
    copy_photos(folder / NUMBER, PHOTOS)
    return folder, finish(folder, images=NUMBER, shard_size=3, **PLAIN).stderr


@pytest.fixture
def finished(first_run, tmp_path, settings) -> Path:
    """Return a copy of that folder, and set `settings` to those of its run."""
    settings |= {"images": NUMBER, "shard_size": 3}
    return shutil.copytree(first_run[0], tmp_path, dirs_exist_ok=True)


@pytest.fixture(scope="module")
def with_networks(tmp_path_factory, tiny_model) -> tuple[Path, str, dict]:
    """Return the folder, the messages and the settings of a run with networks and noise."""
    folder = tmp_path_factory.mktemp("with_networks")
    copy_photos(folder / "photos", PHOTOS)
    (folder / "photos" / "notes.txt").write_text("BM of May")
    settings = PLAIN | {"images": folder / "photos", "model": tiny_model, "noise": "{iso: 800}"}
    return folder, finish(folder, **settings).stderr, settings


@pytest.fixture
def predicted(call_omf, tmp_path) -> Callable[..., dict[str, bytes]]:
    """Return a function that returns the RAW files that `omf predict` writes."""

    def predict(photos: Path, *options: object) -> dict[str, bytes]:
        result = call_omf("predict", photos, "-o", tmp_path / "direct", "--device", "cpu", *options)
        assert result.returncode == 0, result.stderr
        return raw_files(tmp_path / "direct")

    return predict


def test_a_run_writes_a_scored_entry(with_networks, tmp_path, call_omf):
    folder, messages, settings = with_networks
    assert messages.count("photos: 1 file without a picture; left out") == 1
    assert zip_names(folder) == [*(f"{name}.npy" for name in NAMES), "readme.txt"]
    submission, results = folder / "submission", folder / "results"
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

    scores = read_json(folder, "scores")
    assert list(scores["images"]) == NAMES
    options = ("--photos", settings["images"], "--out", tmp_path)
    # there are no predictions for the other samples
    assert call_omf("evaluate", submission, ROOT / "test_raw", *options).returncode == 1
    for name in ("scores.json", "scores.csv", "scores.txt"):
        assert (tmp_path / name).read_text() == (submission / name).read_text()
    assert scores["mean"]["unprocess_psnr"] > 10
    assert (submission / "scores.txt").read_text().splitlines()[0] == f"PSNR:{scores['mean']['psnr']}"

    assert f"{scores['mean']['psnr']:.2f}" in messages
    page = (submission / "report.html").read_text()
    assert f"{scores['mean']['psnr']:.2f} dB" in page
    assert "infer" in svg_text(folder)
    assert len(list((results / "report").glob("images_*.jpg"))) == 4
    assert not list((results / "decoded").glob("*"))
    assert (results / "logs" / "infer" / "s.log").is_file()
    assert (results / "benchmarks" / "infer" / "s.tsv").is_file()


def test_the_classical_method_replaces_the_networks(first_run, predicted):
    folder, messages = first_run
    assert "4 images reconstructed with model unprocess on CPU" in messages
    assert raw_files(folder / "submission") == predicted(folder / NUMBER, "--model", "unprocess")
    readme = (folder / "submission" / "readme.txt").read_text()
    assert "Extra Data [1] / No Extra Data [0] : 0" in readme


@pytest.mark.slow
@pytest.mark.parametrize("name", ["007", "1e3"])
def test_a_folder_whose_name_looks_like_a_number(tmp_path, settings, name):
    settings["images"].rename(tmp_path / name)
    assert planned(tmp_path, **settings | {"images": name})["infer"] == 1


def test_changes_of_the_photos_rerun_their_own_shard_only(finished, settings):
    before = {shard: raw_files(finished / "results" / "raw" / shard) for shard in SHARDS}
    assert {shard: sorted(raws) for shard, raws in before.items()} == {
        shard: [f"{name}.npy" for name in names] for shard, names in SHARDS.items()
    }
    times = {path: path.stat().st_mtime_ns for path in (finished / "results" / "raw" / "s1").iterdir()}
    photo = finished / NUMBER / "coffee.jpg"
    Image.open(photo).rotate(180).save(photo)
    shutil.copy(ROOT / "test_rgb" / "hopper.jpg", finished / NUMBER)
    assert rules_run(finish(finished, **settings)).count("infer") == 1
    assert times == {path: path.stat().st_mtime_ns for path in times}
    assert zip_names(finished) == [*(f"{name}.npy" for name in sorted([*NAMES, "hopper"])), "readme.txt"]
    assert raw_files(finished / "submission")["coffee.npy"] != before["s0"]["coffee.npy"]
    (finished / NUMBER / "chart.png").unlink()
    assert planned(finished, **settings)["infer"] == 1


@pytest.mark.slow
def test_other_weights_rerun_the_inference(with_networks, tmp_path, tiny_model):
    finished = shutil.copytree(with_networks[0], tmp_path / "run")
    other = tmp_path / "other"
    other.mkdir()
    for branch, source in (("oe", "noe"), ("noe", "oe")):
        shutil.copy(tiny_model / f"{source}.safetensors", other / f"{branch}.safetensors")
    settings = with_networks[2] | {"model": other}
    before = raw_files(finished / "submission")
    assert "infer" in rules_run(finish(finished, **settings))
    assert raw_files(finished / "submission")["coffee.npy"] != before["coffee.npy"]
    # same files, new date: nothing to do
    for path in other.iterdir():
        path.touch()
    assert planned(finished, **settings) == {}


@pytest.mark.slow
def test_bad_images_are_listed_again_until_they_are_repaired(finished, settings):
    photos = finished / NUMBER
    (photos / "bad.jpg").write_text("no picture")
    shutil.copy(photos / "chart.png", photos / "coffee.png")
    refusal(finished, **settings)
    again = finish(finished, code=1, **settings)
    assert rules_run(again) == ["check_problems"]  # nothing is recomputed
    assert "bad.jpg: not a picture that can be read" in again.stderr
    assert "coffee.png: would become coffee.npy" in again.stderr
    assert zip_names(finished) == ["chart.npy", "leaves_odd.npy", "night_tall.npy", "readme.txt"]
    summary = read_json(finished, "summary")
    assert (summary["images"], len(summary["problems"])) == (3, 3)
    used = read_json(finished, "provenance")["inputs"]["photos"]
    assert used.keys() == {"chart.png", "leaves_odd.jpg", "night_tall.tif"}
    (photos / "bad.jpg").unlink()
    (photos / "coffee.png").unlink()
    finish(finished, **settings)
    assert "coffee.npy" in zip_names(finished)


def test_only_bad_images(tmp_path, settings):
    for photo in settings["images"].iterdir():
        photo.write_bytes(photo.read_bytes()[:500])
    messages = refusal(tmp_path, **settings)
    assert "coffee.jpg: can't be decoded" in messages
    assert "no image could be reconstructed" in messages
    assert not (tmp_path / "submission" / "submission.zip").exists()


def test_the_snakemake_report_contains_page_table_and_images(finished, settings):
    finish(finished, "--report", "report.zip", **settings)
    with zipfile.ZipFile(finished / "report.zip") as archive:
        names = {Path(name).name for name in archive.namelist()}
        index = archive.read(min(archive.namelist(), key=len)).decode()  # Snakemake's own page
    # it contains no names of photos, so nothing needs escaping
    assert "<html" in index and "night_tall" not in index
    assert names >= {"report.html", "scores.csv", "images_worst_1.jpg", "plot_tones.svg"}


@pytest.mark.slow
def test_omitting_the_zip(finished, settings):
    submission = finished / "submission"
    shutil.rmtree(submission)
    assert rules_run(finish(finished, "--omit-from", "package", **settings)) == ["report", "check_problems"]
    assert (submission / "report.html").is_file() and (submission / "provenance.json").is_file()
    assert not (submission / "submission.zip").exists()


@pytest.mark.slow
def test_another_format_or_other_photos_replace_all_files_of_the_entry(finished, settings):
    submission = finished / "submission"
    scores = (submission / "scores.txt").read_text().splitlines()[:2]
    settings |= {"shard_size": 256}

    def finish_as(**format_settings: object) -> None:
        finish(finished, **settings | format_settings)
        assert (submission / "scores.txt").read_text().splitlines()[:2] == scores

    finish_as(output_format="webdataset")
    assert raw_files(submission) == {} and not (submission / "submission.zip").exists()
    assert [row["name"] for row in index_of(finished)] == NAMES
    finish_as(output_format="npz", bit_depth=12, cfa="BGGR")
    assert set(raw_files(submission)) == {f"{name}.npz" for name in NAMES}
    assert not (submission / "submission.zip").exists() and not (submission / "index.csv").exists()
    with np.load(submission / "coffee.npz") as coffee:
        assert coffee["raw"].max() > 1024
        assert (coffee["cfa"].item(), coffee["model"].item()) == ("BGGR", "unprocess")

    (finished / "others").mkdir()
    shutil.copy(ROOT / "test_rgb" / "chelsea.jpg", finished / "others")
    result = finish(finished, **settings | {"images": "others", "ground_truth": ""})
    assert zip_names(finished) == ["chelsea.npy", "readme.txt"]
    assert set(raw_files(submission)) == {"chelsea.npy"}
    assert "no ground truth with these names" in result.stderr
    scores = read_json(finished, "scores")
    assert scores["mean"]["psnr"] is None and scores["mean"]["consistency_psnr"] > 0
    assert list(scores["images"]) == ["chelsea"]
    assert not (submission / "scores.txt").exists()
    assert "There is no ground truth" in (submission / "report.html").read_text()


@pytest.mark.slow
def test_camera_raw_beside_the_photos_is_ground_truth(tmp_path, settings, call_omf):
    pytest.importorskip("rawpy")
    folder = tmp_path / "phone"
    for name, turns, cfa in (("upright", 0, "RGGB"), ("turned", 1, "GRBG")):
        write_pair(folder, name, turns=turns, cfa=cfa)
    shown = scene(2, 120, 160)
    write_dng(folder / "PXL_1.RAW-02.ORIGINAL.dng", bayer_of(shown))  # the names of a Pixel phone
    Image.fromarray(photo_of(shown)).save(folder / "PXL_1.RAW-01.COVER.jpg")
    settings |= {"images": folder, "ground_truth": folder}
    finish(tmp_path, **settings)
    assert read_json(tmp_path, "scores")["scored"] == 3
    recorded = read_json(tmp_path, "provenance")["inputs"]["ground_truth"]
    assert recorded == {path.name: sha256(path) for path in folder.glob("*.dng")}
    submission, evaluated = tmp_path / "submission", tmp_path / "evaluated"
    assert call_omf("evaluate", submission, folder, "--photos", folder, "-o", evaluated).returncode == 0
    assert (evaluated / "scores.json").read_text() == (submission / "scores.json").read_text()

    # the page is also written without any usable ground truth
    for path in folder.glob("*.dng"):
        path.write_text("broken")
    assert refusal(tmp_path, **settings).count("can't be decoded") >= 3
    assert read_json(tmp_path, "summary")["images"] == 3
    assert "turned.dng: can&#39;t be decoded" in (submission / "report.html").read_text()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"shard_sise": 5, "device": "gpu"}, "did you mean shard_size?"),
        ({"images": "nowhere"}, "nowhere: no such folder"),
        ({"images": "link"}, "images is link, where a run writes; give a folder outside of submission"),
        ({"images": "memory://photos"}, "memory://photos: no such folder"),
        ({"images": "s3://key:secret@bucket/photos"}, "credentials in an address end up in logs"),
        ({"images": "a-{0..3.tar"}, "braces without their partner"),
        ({"output": "memory://raw"}, "output is memory://raw; it takes an address in object storage, and"),
        ({"output": "raw", "output_format": "webdataset"}, "output is raw; it takes an address"),
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
    messages = refusal(tmp_path, **settings | setting)
    assert message in messages and "secret" not in messages
    assert not (tmp_path / "submission").exists()
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["mine"]


def test_two_lists_of_settings_are_refused(tmp_path, settings):
    messages = refusal(tmp_path, "-n", "--config", "shard_size=3", **settings)
    assert "--config is given twice, and Snakemake forgets the first" in messages


@pytest.mark.parametrize(("model", "targets"), [("published", ()), ("inverse", ("train",))])
def test_no_place_for_models_is_reported_before_the_work(tmp_path, settings, monkeypatch, model, targets):
    if (ROOT / "trained_models" / "final_yuv_OE_mask-220.pt").exists() and not targets:
        pytest.skip("the published weights are here")
    monkeypatch.setenv(HOME, "/proc/own")
    result = finish(tmp_path, *targets, code=1, **settings | {"model": model})
    assert "/proc/own/trained_models: can't be written to" in result.stderr
    assert "Traceback" not in result.stderr
    assert not {"infer", "preprocess", "fetch_oe", "train_network"} & set(rules_run(result))


@pytest.mark.slow
def test_names_with_shell_syntax(tmp_path, settings, tiny_model):
    """Use it for the folders of the photos and of the model; tests/faults/ has names of photos."""
    photos, model = tmp_path / "$(touch ran) `touch ran`", tmp_path / "m; touch ran; $(touch ran)"
    settings["images"].rename(photos)
    shutil.copytree(tiny_model, model)
    (photos / "chart.png").rename(photos / "it's $HOME; a {test} & [b].png")
    settings |= {"images": photos, "model": model, "ground_truth": ""}
    finish(tmp_path, **settings)
    assert {"coffee.npy", "it's $HOME; a {test} & [b].npy"} < set(zip_names(tmp_path))
    # a change of such a photo is detected too
    shutil.copy(ROOT / "test_rgb" / "chelsea.jpg", photos / "it's $HOME; a {test} & [b].png")
    assert planned(tmp_path, **settings)["infer"] == 1
    assert not list(tmp_path.rglob("ran"))


@pytest.mark.slow
def test_missing_weights_are_fetched_by_a_rule(tmp_path, settings, tiny_model, monkeypatch):
    """Run a copy of the program whose models.yaml points to a local server that drops connections."""
    program = make_clone(tmp_path / "program")
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


def test_steps_begin_without_slow_modules():
    """PyTorch takes seconds of each start, and SciPy tenths."""
    scripts = ("preprocess", "mosaic", "evaluate", "package", "report", "check_problems", "fetch", "settings")
    code = (
        "import runpy, sys\n"
        f"for script in {scripts}:\n"
        "    runpy.run_path(f'scripts/{script}.py')\n"
        "    assert not {'torch', 'scipy'} & set(sys.modules), script\n"
    )
    result = run(sys.executable, "-c", code)
    assert result.returncode == 0, result.stderr


def test_hundreds_of_shards_are_planned_with_short_commands(tmp_path, settings):
    photos, count = tmp_path / "many", 200
    photos.mkdir()
    for number in range(count):
        (photos / f"{number}.jpg").touch()
    output = finish(tmp_path, "-n", "-p", **settings | {"images": photos, "shard_size": 1}).stdout
    assert re.search(rf"^preprocess +{count}$", output, re.MULTILINE)
    assert re.search(rf"^total +{4 * count + 4}$", output, re.MULTILINE)
    commands = [line for line in output.splitlines() if "python " in line]
    assert len(commands) > 4 * count and max(map(len, commands)) < 1000


@pytest.mark.slow
def test_the_shard_size_does_not_change_a_byte(with_networks, tmp_path, tiny_model, predicted):
    """Use networks and noise; and provenance.json records the inputs and the environment of all jobs."""
    whole, _, settings = with_networks
    finish(tmp_path, **settings | {"shard_size": 2})
    raws = raw_files(tmp_path / "submission")
    assert raws == raw_files(whole / "submission")
    for name in ("scores.json", "scores.csv"):
        assert (tmp_path / "submission" / name).read_bytes() == (whole / "submission" / name).read_bytes()
    assert predicted(settings["images"], "--model", tiny_model, "--noise-iso", 800) == raws

    provenance = read_json(tmp_path, "provenance")
    photos = [path for path in settings["images"].iterdir() if path.suffix != ".txt"]
    assert provenance["inputs"]["photos"] == {path.name: sha256(path) for path in photos}
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


@pytest.mark.slow
def test_the_presets_of_other_tracks(tmp_path, settings, predicted):
    """Crops of 496 x 496 pixels as of AIM 2022, Huawei P20; the format and ground truth of NTIRE 2025."""
    photos, truths = tmp_path / "ntire", tmp_path / "truths"
    photos.mkdir()
    truths.mkdir()
    iio.imwrite(photos / "1.png", random_rgb(496, 496))
    np.save(truths / "1.npy", np.full((248, 248, 4), 2000, np.uint16))
    track = {"images": photos, "ground_truth": truths, "challenge": "ntire2025", "model": "unprocess_p20"}
    finish(tmp_path, **settings | track)
    assert zip_names(tmp_path) == ["1.npy", "readme.txt"]
    entry = np.load(tmp_path / "submission" / "1.npy")
    assert (entry.shape, entry.dtype) == ((248, 248, 4), np.uint16)
    assert 1024 < entry.max() <= 4095
    psnr = read_json(tmp_path, "scores")["mean"]["psnr"]
    error = ((entry.astype(float) - 2000) ** 2).mean() / 4095**2
    assert psnr == pytest.approx(-10 * np.log10(error), abs=1e-9)
    summary = read_json(tmp_path, "summary")
    assert (summary["model"], summary["camera"]) == ("unprocess_p20", "huawei_p20")
    predicted(photos, "--model", "unprocess_p20")
    p20 = np.load(tmp_path / "direct" / "1.npy")
    assert 256 < p20.max() <= 1024
    predicted(photos, "--model", "unprocess")
    assert (np.load(tmp_path / "direct" / "1.npy") != p20).any()  # another camera gives other colours


def test_a_classical_method_for_another_camera(tmp_path, settings, predicted):
    profile = tmp_path / "my phone.yaml"
    profile.write_text((ROOT / "cameras" / "huawei_p20.yaml").read_text())
    settings |= {"model": "inverse", "camera": "my phone.yaml"}
    finish(tmp_path, **settings)
    direct = predicted(settings["images"], "--model", "inverse", "--camera", profile)
    assert direct == raw_files(tmp_path / "submission")
    summary = read_json(tmp_path, "summary")
    assert (summary["model"], summary["camera"]) == ("inverse", "my phone.yaml")
    profile.write_text(profile.read_text() + "\n")  # a change of the profile reruns the job
    assert planned(tmp_path, **settings)["infer"] == 1


def test_raw_of_each_photos_own_camera(tmp_path, settings, tiny_base_model, predicted):
    pytest.importorskip("rawpy")
    pytest.importorskip("exiv2")
    from maker_note_photos import write_photo

    gains = {"Exif.Nikon3.WB_RBLevels": "458/256 379/256 256/256 256/256"}
    write_photo(settings["images"] / "nikon.jpg", "NIKON CORPORATION", "NIKON D750", gains)
    write_photo(settings["images"] / "phone.jpg", "samsung", "SM-G930F", {})
    settings |= {"model": tiny_base_model, "ground_truth": "", "output_format": "npz"}
    finish(tmp_path, **settings | {"camera": "auto", "neutral": "auto"})
    options = ("--model", tiny_base_model, "--camera", "auto", "--neutral", "auto", "--format", "npz")
    assert predicted(settings["images"], *options) == raw_files(tmp_path / "submission")
    cameras = dict.fromkeys([*NAMES, "phone"], "samsung_s7") | {"nikon": "NIKON D750"}
    for name, camera in cameras.items():
        with np.load(tmp_path / "submission" / f"{name}.npz") as raw:
            assert raw["camera"] == camera
    provenance = read_json(tmp_path, "provenance")
    assert provenance["cameras"] == cameras
    neutrals = provenance["neutrals"]
    assert neutrals.pop("nikon") == pytest.approx([256 / 458, 256 / 379], rel=2e-3)
    assert list(neutrals.values()) == [None] * 5
    summary = (tmp_path / "submission" / "summary.txt").read_text()
    assert "cameras: samsung_s7, the model's own (5 photos); NIKON D750 (1 photo)" in summary
    assert "white balance: of the maker notes in 1 of 6 photos" in summary


def planned_jobs(folder: Path, *options: object, **settings: object) -> tuple[dict[str, str], set[str]]:
    """Return the dry-run output of each rule, and the rules whose jobs are in a group."""
    output = finish(folder, "-n", *options, **settings).stdout
    parts = re.split(r"^ *(?:local)?rule ", output, flags=re.MULTILINE)[1:]
    grouped = re.findall(r"^ +rule (\w+):", output, re.MULTILINE)
    return {part.partition(":")[0]: part for part in parts}, set(grouped)


def test_cluster_resources_of_jobs(tmp_path, settings):
    options = ("--workflow-profile", ROOT / "profiles" / "slurm")
    requested, grouped = planned_jobs(tmp_path, *options, **settings | {"device": "auto"})
    assert "threads: 8" in requested["infer"]
    assert "gpu=1," in requested["infer"] and "mem_mb=8000," in requested["infer"]
    assert grouped == {"mosaic", "evaluate"}
    on_cpus, grouped = planned_jobs(tmp_path, *options, **settings)
    assert "gpu=0" in on_cpus["infer"]
    assert grouped == {"preprocess", "infer", "mosaic", "evaluate"}
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
    requested, grouped = planned_jobs(tmp_path, "--cores", 13, *options, **settings | {"device": "auto"})
    assert f"threads: {12 // parallel}\n" in requested["infer"]
    assert "gpu=1, inference=1" in requested["infer"]
    assert not grouped


@pytest.mark.slow
def test_jobs_on_several_gpus_run_at_once(tmp_path, settings, tiny_model, stand_in_gpus):
    stand_in_gpus(3)
    settings |= {"model": tiny_model, "device": "auto"}
    result = finish(tmp_path, "results/timing/s.json", **settings)
    assert re.search(r"Provided resources: gpu=\D*3\D+inference=\D*3", result.stderr)
    # they run on the CPU here, since PyTorch sees none of these GPUs, and say so
    (log,) = (tmp_path / "results" / "logs" / "infer").glob("*.log")
    assert "running on the CPU: there is a GPU, but PyTorch" in log.read_text()


def test_the_launcher_forwards_arguments(tmp_path, settings):
    config = [f"{key}={value}" for key, value in settings.items()]
    result = run(ROOT / "test", "-n", "--directory", tmp_path, "--config", *config)
    assert result.returncode == 0, result.stderr
    assert "infer" in result.stdout + result.stderr
    assert not (tmp_path / "submission").exists()
    assert "Installing" not in result.stderr
