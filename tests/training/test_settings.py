import pytest
import yaml
from conftest import ROOT

from omf.training.settings import Loss, Losses, Settings, as_dict, read_settings, settings_from
from omf.utils.errors import InputError


def test_the_defaults_are_those_of_the_committed_config():
    committed = yaml.safe_load((ROOT / "config.yaml").read_text())["training"]
    assert as_dict(settings_from({})) == committed
    assert as_dict(settings_from(committed)) == committed


def test_what_is_given_replaces_the_defaults():
    settings = settings_from({"seed": 3, "loss": {"oe": {"ms_ssim": 0.5}}})
    assert settings.seed == 3
    assert settings.loss == Losses(oe=Loss(ms_ssim=0.5))
    assert settings.steps == Settings().steps


def test_settings_from_a_file_of_their_own_or_a_config(tmp_path):
    (tmp_path / "own.yaml").write_text("batch: 3\n")
    (tmp_path / "config.yaml").write_text("model: x\ntraining: {batch: 3}\n")
    assert (
        read_settings(tmp_path / "own.yaml")
        == read_settings(tmp_path / "config.yaml")
        == settings_from({"batch": 3})
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batches: 3", "batches is not a setting; there are: name, "),
        ("steps: {neo: 3}", r"training\.steps: neo is not a setting; there are: demosaic, noe, oe"),
        ("loss: {oe: {l3: 1}}", r"training\.loss\.oe: l3 is not a setting; there are: l1, "),
        ("- 3", "no settings in it"),
        ("a: [", "can't be read as settings"),
        ("day: 2001-99-99", "can't be read as settings"),
        ("a: &a {b: *a}", r"can't be read as settings \(more than"),
        ("loss: 3", r"wrong\.yaml: training\.loss is 3; it must be a section of noe, oe, seam"),
        ("training: [1]", r"training is \[1\]; it must be a section of name, "),
        ("batch: many", r"training\.batch is 'many'; it must be a whole number"),
        ("batch: 3.0", "it must be a whole number"),
        ("seed: true", "it must be a whole number"),
        ("widths: [4, x]", r"training\.widths is \[4, 'x'\]; it must be a list of whole numbers"),
        ("photos: here", "it must be a list of texts"),
        ("even_brightness: 1", "it must be true or false"),
        ("ema: .nan", "the number nan; give finite ones"),
    ],
)
def test_mistakes_are_one_line(tmp_path, text, message):
    (tmp_path / "wrong.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_settings(tmp_path / "wrong.yaml")
    assert "\n" not in str(caught.value)


def test_the_shipped_models_settings_can_be_read():
    settings = read_settings(ROOT / "trained_models" / "samsung_s7" / "training.yaml")
    assert settings.widths == [16, 32, 64, 128, 256]
    assert settings.leave_out == "benchmarks/heldout_pairs.txt"
