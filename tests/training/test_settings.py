"""Training settings."""

import pytest
from conftest import ROOT

from omf.models.registry import find_model
from omf.training.settings import STAGES, Loss, Losses, TrainingSettings, check_folders, read_settings
from omf.utils.errors import InputError


def read(tmp_path, text: str) -> TrainingSettings:
    (tmp_path / "settings.yaml").write_text(text)
    return read_settings(tmp_path / "settings.yaml")


def test_given_values_replace_the_defaults(tmp_path):
    settings = read(tmp_path, "seed: 3\nloss: {oe: {l1: 0.5}}\n")
    assert settings.seed == 3
    assert settings.loss == Losses(oe=Loss(l1=0.5, ms_ssim=0.2))
    assert settings.iterations == TrainingSettings().iterations
    assert read(tmp_path, "model: x\ntraining: {seed: 3, loss: {oe: {l1: 0.5}}}\n") == settings  # config.yaml
    assert read(tmp_path, "iterations: {base: 0, noe: 1}").stages == ("demosaic", "noe", "oe")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batches: 3", r"batches is not a setting \(did you mean batch_size\?\)"),
        ("even_brightness: true", "even_brightness is not a setting"),
        ("batch: 3\nbatch_size: 4", "batch is not a setting"),
        ("- 3", "no settings in it"),
        ("a: [", "can't be read as settings"),
        ("day: 2001-99-99", "can't be read as settings"),
        ("a: &a {b: *a}", r"can't be read as settings \(more than"),
        ("loss: 3", r"settings\.yaml: training: loss is 3; it must be a section of noe, oe, seam"),
        ("batch_size: many", "batch_size is 'many'; it must be a whole number"),
        ("ema_decay: .nan", "the number nan; give finite ones"),
        ("iterations: {base: 0, noe: 0}", r"iterations\.noe is 0; it must be a whole number, 0 or more"),
    ],
)
def test_mistakes_are_one_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_missing_folders_are_reported(tmp_path):
    check_folders(TrainingSettings(photos=[str(tmp_path)]))
    with pytest.raises(InputError, match="nowhere: no such folder"):
        check_folders(TrainingSettings(linear_images=["nowhere"]))


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("trained_models/*/training.yaml")), ids=lambda path: path.parent.name
)
def test_the_settings_of_the_shipped_models_can_be_read(path, caplog):
    settings = read_settings(path)
    model = find_model(path.parent.name)
    assert (settings.name, settings.camera) == (model.name, model.camera)
    assert tuple(settings.widths) == model.widths
    assert [getattr(model, stage) is not None for stage in STAGES] == [
        stage in settings.stages for stage in STAGES
    ]
    assert settings.exclude == "benchmarks/heldout_pairs.txt" and (ROOT / settings.exclude).is_file()
    assert not caplog.text
