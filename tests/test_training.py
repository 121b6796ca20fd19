import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ROOT, omf

from omf.camera import load_camera
from omf.checkpoints import load_unet
from omf.errors import InputError
from omf.overexposure import overexposure_mask
from omf.training import loop
from omf.training.loop import Settings, branch_loss, learning_rate, train
from omf.training.pairs import SimulatedPairs, load_scenes

CAMERA = load_camera("samsung_s7")
CPU = torch.device("cpu")
QUICK = Settings(widths=(4, 6), steps_noe=6, steps_oe=4, batch=2, patch=32, warm_up=2)


@pytest.mark.parametrize("branch", ["oe", "noe"])
def test_pairs_are_reproducible_and_hold_the_branchs_pixels(branch):
    scenes = load_scenes([ROOT / "test_rgb" / "hills.jpg", ROOT / "test_rgb" / "bricks.jpg"])
    pairs = SimulatedPairs(scenes, CAMERA, branch, patch=48, length=6, seed=1)
    again = SimulatedPairs(scenes, CAMERA, branch, patch=48, length=6, seed=1)
    for index in reversed(range(6)):
        (x, raw), (x2, raw2) = pairs[index], again[index]
        assert (x == x2).all()
        assert (raw == raw2).all()
        assert x.shape == (4, 48, 48)
        assert raw.shape == (3, 48, 48)
        assert raw.min() >= 0
        assert raw.max() <= 1
        mask = x[3].numpy() == 1
        rgb = (x[:3].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        assert (mask == overexposure_mask(rgb)).all()
        assert mask.mean() > 0.02 if branch == "oe" else mask.mean() < 0.8


def test_a_loss_sees_its_own_pixels_only():
    raw, mask = torch.rand(2, 3, 8, 8), (torch.rand(2, 1, 8, 8) < 0.4).float()
    wrong_outside = raw + 5 * (1 - mask)
    assert branch_loss(wrong_outside, raw, mask, "oe") == 0
    assert branch_loss(raw + 5 * mask, raw, mask, "noe") == 0
    torch.testing.assert_close(branch_loss(wrong_outside, raw, mask, "noe"), torch.tensor(5.0))


def test_learning_rate_rises_and_falls():
    settings = Settings(warm_up=10, learning_rate=1.0)
    rates = [learning_rate(settings, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01, abs=2e-3)


def test_a_run_that_was_cut_off_ends_with_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY", 2)
    train(QUICK, [], CAMERA, tmp_path / "whole", CPU)

    real, cuts = loop.save_state, []

    class CutError(Exception):
        pass

    def save_and_cut(path, state):
        real(path, state)
        cuts.append((state["branch"], state["step"]))
        if cuts[-1] in (("noe", 4), ("oe", 2)):
            raise CutError

    monkeypatch.setattr(loop, "save_state", save_and_cut)
    for _ in range(2):
        with pytest.raises(CutError):
            train(QUICK, [], CAMERA, tmp_path / "cut", CPU)
    train(QUICK, [], CAMERA, tmp_path / "cut", CPU)
    assert cuts == [("noe", 2), ("noe", 4), ("noe", 6), ("oe", 2), ("oe", 4)]  # nothing was done twice
    for name in ("oe.safetensors", "noe.safetensors"):
        whole, cut = (load_unet(tmp_path / folder / name).state_dict() for folder in ("whole", "cut"))
        assert all((value == cut[key]).all() for key, value in whole.items())
    with (tmp_path / "whole" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["branch"], row["step"]) for row in rows] == [("noe", "2"), ("noe", "4"), ("noe", "6"), ("oe", "2"), ("oe", "4")]


def test_other_settings_do_not_resume(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY", 2)
    monkeypatch.setattr(loop, "save_unet", lambda *_: pytest.fail("stop here"))
    with pytest.raises(pytest.fail.Exception):
        train(QUICK, [], CAMERA, tmp_path, CPU)
    with pytest.raises(InputError, match="other settings"):
        train(replace(QUICK, seed=1), [], CAMERA, tmp_path, CPU)


def test_training_from_the_command_line_lowers_the_loss(tmp_path):
    (tmp_path / "held_out.txt").write_text("# comment\nhills*\n")
    answer = omf(
        *("train", tmp_path / "model", "--photos", "test_rgb", "--leave-out", tmp_path / "held_out.txt"),
        *("--widths", 4, 8, "--steps", 200, 100, "--device", "cpu"),
    )
    assert answer.returncode == 0, answer.stderr
    with (tmp_path / "model" / "log.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file) if row["branch"] == "noe"]
    assert losses[-1] < losses[0]
    assert load_unet(tmp_path / "model" / "oe.safetensors").widths == (4, 8)
    assert not (tmp_path / "model" / "state.pt").exists()
