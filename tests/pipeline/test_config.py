"""Validation of the settings in config.yaml."""

import pytest
import yaml
from conftest import ROOT
from snakemake.cli import parse_config

from omf.pipeline.config import Config, check_config, restore_texts
from omf.utils.errors import InputError


def test_the_committed_config_contains_every_setting_at_its_default():
    committed = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert check_config(committed) == check_config({}) == Config()
    assert committed.keys() == Config.model_fields.keys()
    assert committed["training"].keys() == Config().training.model_dump().keys()


BOMB = ["x"] * 10  # the tree of a YAML alias bomb
for _ in range(10):
    BOMB = [BOMB] * 10
CYCLIC = []
CYCLIC.append(CYCLIC)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"shard_sise": 3}, r"shard_sise is not a setting \(did you mean shard_size\?\)"),
        ({"xyz": 3}, r"xyz is not a setting \(there are: images, "),
        ({"shard_size": 0}, "shard_size is 0; it must be a whole number, 1 or more"),
        ({"shard_size": "many"}, "shard_size is 'many'; it must be"),
        ({"shard_size": 1.5}, "shard_size is 1.5"),
        ({"shard_size": 3.0}, "shard_size is 3.0"),
        ({"shard_size": True}, "shard_size is True"),
        ({"device": "gpu"}, "device is 'gpu'; it must be auto, cpu or cuda"),
        ({"device": 1, "shard_size": -1}, r"device is .*; shard_size is "),
        ({"images": None}, "images is None; it must be text that is not empty"),
        ({"model": ""}, "model is ''"),
        ({"bit_depth": 11}, "bit_depth is 11; it must be 10, 12, 14 or null"),
        ({"white_level": 0}, "white_level is 0; it must be a whole number, 1 or more, 65535 at most or null"),
        ({"noise": 3}, "noise is 3; it must be a section of iso, shot, read, seed"),
        ({"noise": {"iso": 0}}, r"noise\.iso is 0; it must be a number above 0 or null"),
        ({"training": [1]}, r"training is \[1\]; it must be a section of name, "),
        ({"training": {"width": []}}, r"training\.width is not a setting \(did you mean widths\?\)"),
        (
            {"training": {"iterations": {"neo": 3}}},
            r"iterations\.neo is not a setting \(did you mean noe\?\)",
        ),
        ({"training": {"loss": {"oe": {"l3": 1}}}}, r"training\.loss\.oe\.l3 is not a setting"),
        ({"training": {"learning_rate": "1e-3"}}, r"learning_rate is '1e-3'; it must be a number above 0"),
        ({"training": {"patch_size": 121}}, r"training\.patch_size is 121; it must be an even number"),
        ({"training": {"widths": [8]}}, r"training\.widths is \[8\]; it must be a list of two or more"),
        ({"training": {"widths": [8, "x"]}}, r"training\.widths is 'x'; it must be a list of two or more"),
        ({"training": {"photos": "here"}}, r"training\.photos is 'here'; it must be a list of texts"),
        ({"training": {"name": "a b"}}, r"training\.name is 'a b'; it must be letters"),
        ({"training": {"ema_decay": 1}}, r"ema_decay is 1; it must be a number, 0 or more and below 1"),
        # only in YAML
        ({"images": BOMB}, "more than 100000 values"),
        ({"training": {"photos": CYCLIC}}, "more than 20 levels"),
        ({"noise": {"iso": float("nan")}}, "the number nan; give finite ones"),
        ({"training": {"learning_rate": float("inf")}}, "the number inf"),
        ({"training": {"seed": 16**5000}}, "a whole number of more than 63 bits"),
    ],
)
def test_misspelt_and_invalid_settings_give_one_line(setting, message):
    with pytest.raises(InputError, match=message) as caught:
        check_config(setting)
    assert "\n" not in str(caught.value)


def test_numbers_in_sections_may_be_text():
    """As from Snakemake's command line: --config 'noise={iso: 400}'."""
    settings = {"noise": {"iso": "400", "seed": "3"}, "training": {"iterations": {"oe": "20"}, "name": "2"}}
    checked = check_config(settings)
    assert (checked.noise.iso, checked.noise.seed) == (400, 3)
    assert (checked.training.iterations.oe, checked.training.name) == (20, "2")
    assert settings["noise"]["iso"] == "400"
    for wrong in ("much", "[", "1e999"):
        with pytest.raises(InputError, match=r"noise\.iso is '.*'; it must be a number"):
            check_config({"noise": {"iso": wrong}})


@pytest.mark.parametrize(
    "text", ["2024", "on", "null", "~", "1e3", "0x1F", "1_000", "true", "nan", "[a]", "{a: b}"]
)
def test_texts_on_the_command_line_stay_as_they_are(text):
    arguments = [f"model={text}", f"images={text}", "shard_size=3"]
    config = parse_config(arguments)
    restore_texts(config, arguments)
    checked = check_config(config)
    assert (checked.model, checked.images, checked.shard_size) == (text, text, 3)
    if text.isalnum():
        assert check_config(parse_config([f"training={{name: '{text}'}}"])).training.name == text


def test_a_run_records_its_settings_as_plain_values():
    settings = check_config({"noise": {"iso": 400}}).run_settings()
    assert settings["noise"] == {"iso": 400}
    assert settings["bit_depth"] is None and "training" not in settings
    assert check_config({}).run_settings()["noise"] == {}
