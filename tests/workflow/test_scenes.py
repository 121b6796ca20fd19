"""Scenes of an AIM challenge in the workflow with the real Snakemake."""

import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, omf, snakemake
from PIL import Image
from scene_patches import CURVES, cut, draw_photo, write_scene

from omf.evaluation.scores import EXPECTATIONS

SIZE = 496  # of the challenge's second track


def finish(folder: Path, **settings: object) -> str:
    """Run the workflow in shards of few photos; return what it prints."""
    result = snakemake(folder, device="cpu", ground_truth="", shard_size=5, **settings)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stderr


def raw_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.npy")}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Return a folder with a scene under extra curves, and a plain photo with a name of a patch."""
    folder = tmp_path_factory.mktemp("scene") / "photos"
    write_scene(folder, "7", cut(draw_photo(SIZE), CURVES))
    shutil.copy(ROOT / "test_rgb" / "coffee.jpg", folder / "8_3.jpg")
    return folder


@pytest.mark.slow
def test_a_scene_in_the_workflow(tmp_path, photos, tiny_base_model):
    settings = {"images": tmp_path / "photos", "model": tiny_base_model}
    shutil.copytree(photos, settings["images"])
    line = f"scene 7: extra tone curves {'ABBABA' * 8} undone, judged as one photo"
    assert line in finish(tmp_path, **settings)
    submission = tmp_path / "submission"
    assert json.loads((submission / "provenance.json").read_text())["scenes"] == {
        "7": {"curves": "ABBABA" * 8, "photos": 1}
    }
    shards = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "results/photos").glob("*")}
    (shard,) = (name for name, record in shards.items() if record["scenes"])
    assert len(shards[shard]["sha256"]) in (48, 49)

    direct = omf("predict", settings["images"], "-o", tmp_path / "raw", "--model", tiny_base_model)
    assert line in direct.stderr
    assert raw_files(tmp_path / "raw") == raw_files(submission)
    options = ("--photos", settings["images"], "-o", tmp_path / "scored")
    assert omf("evaluate", submission, *options).returncode == 0
    scored, in_run = (
        json.loads((folder / "scores.json").read_text())["images"]
        for folder in (tmp_path / "scored", submission)
    )
    for image in in_run.values():  # only a run knows what the model expected
        for name in EXPECTATIONS:
            del image[name]
    assert scored == in_run

    # another patch, which changes the others too: it makes the scene separate
    before = raw_files(submission)
    Image.new("RGB", (SIZE, SIZE + 2), "grey").save(settings["images"] / "7_20.png")
    messages = finish(tmp_path, **settings)
    assert set(re.findall(r"output: results/decoded/(s\d*)", messages)) == {shard}
    after = raw_files(submission)
    assert {name for name in after if after[name] == before[name]} == {"8_3.npy"}
    direct = omf("predict", settings["images"], "-o", tmp_path / "raw", "--model", tiny_base_model)
    assert "scene 7" not in direct.stderr
    assert raw_files(tmp_path / "raw") == after
