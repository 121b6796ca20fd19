"""Scenes of an AIM challenge in the workflow with the real Snakemake."""

import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import ROOT
from container.clones import make_clone
from PIL import Image
from scene_patches import CURVES, SIZE, cut, draw_photo, write_scene
from workflow_runs import finish, raw_files, read_json

from omf.evaluation.scores import EXPECTATIONS
from omf.raw import challenge_scenes


@pytest.fixture
def program(tmp_path, monkeypatch) -> Path:
    """Return a copy of the program for which small pictures may be patches, as in this process."""
    clone = make_clone(tmp_path / "program")
    file = clone / "omf" / "raw" / "challenge_scenes.py"
    text = file.read_text()
    assert "\nPATCH_SIDES = (" in text
    file.write_text(text.replace("\nPATCH_SIDES = (", f"\nPATCH_SIDES = ({SIZE}, "))
    monkeypatch.setenv("PYTHONPATH", str(clone))
    monkeypatch.setattr(challenge_scenes, "PATCH_SIDES", (SIZE, *challenge_scenes.PATCH_SIDES))
    return clone


@pytest.mark.slow
def test_a_scene_in_the_workflow(tmp_path, program, tiny_base_model, call_omf):
    photos, submission, scored = (tmp_path / name for name in ("photos", "submission", "scored"))
    write_scene(photos, "7", cut(draw_photo(low=0.35), CURVES))
    shutil.copy(ROOT / "test_rgb" / "coffee.jpg", photos / "8_3.jpg")  # a plain photo with a name of a patch
    settings = {"images": photos, "ground_truth": "", "model": tiny_base_model, "device": "cpu"}
    settings |= {"shard_size": 5, "root": program}
    line = f"scene 7: extra tone curves {'ABBABA' * 8} undone, judged as one photo"
    assert line in finish(tmp_path, **settings).stderr
    assert read_json(tmp_path, "provenance")["scenes"] == {"7": {"curves": "ABBABA" * 8, "photos": 1}}
    shards = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "results/photos").glob("*")}
    (shard,) = (name for name, record in shards.items() if record["scenes"])
    assert len(shards[shard]["sha256"]) in (48, 49)

    def predicted() -> str:
        """Compare the entry with the RAW of `omf predict`, and return what that says."""
        result = call_omf("predict", photos, "-o", tmp_path / "raw", "--model", tiny_base_model)
        assert raw_files(tmp_path / "raw") == raw_files(submission)
        return result.stderr

    assert line in predicted()
    assert call_omf("evaluate", submission, "--photos", photos, "-o", scored).returncode == 0
    in_run = read_json(tmp_path, "scores")["images"]
    for image in in_run.values():  # only a run knows what the model expected
        for name in EXPECTATIONS:
            del image[name]
    assert json.loads((scored / "scores.json").read_text())["images"] == in_run

    # another patch, which changes the others too: it makes the scene separate
    before = raw_files(submission)
    Image.new("RGB", (SIZE, SIZE + 2), "grey").save(photos / "7_20.png")
    messages = finish(tmp_path, **settings).stderr
    assert set(re.findall(r"output: results/decoded/(s\d*)", messages)) == {shard}
    after = raw_files(submission)
    assert {name for name in after if after[name] == before[name]} == {"8_3.npy"}
    assert "scene 7" not in predicted()
