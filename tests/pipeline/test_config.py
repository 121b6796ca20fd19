import pytest
import yaml
from conftest import ROOT

from omf.pipeline.config import check_config
from omf.utils.errors import InputError

SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())


def test_the_committed_config_holds_every_setting_at_its_default():
    assert check_config(CONFIG, SCHEMA) == CONFIG
    # the defaults of a training stand in omf/training/settings.py; test_settings.py compares them
    assert check_config({}, SCHEMA) == CONFIG | {"training": {}}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"shard_sise": 3}, r"shard_sise is not a setting \(did you mean shard_size\?\)"),
        ({"xyz": 3}, r"xyz is not a setting \(there are: images, "),
        ({"shard_size": 0}, "shard_size is 0; it must be a whole number of images, 1 to 500"),
        ({"shard_size": 501}, "shard_size is 501"),
        ({"shard_size": "many"}, "shard_size is 'many'; it must be"),
        ({"shard_size": 1.5}, "shard_size is 1.5"),
        ({"shard_size": True}, "shard_size is True"),
        ({"device": "gpu"}, "device is 'gpu'; it must be auto, cpu or cuda"),
        ({"images": None}, "images is None; it must be the path of a folder"),
        ({"model": ""}, "model is ''"),
        ({"training": {"step": {}}}, r"training\.step is not a setting \(did you mean steps\?\)"),
        (
            {"training": {"steps": {"neo": 3}}},
            r"training\.steps\.neo is not a setting \(did you mean noe\?\)",
        ),
        (
            {"training": {"learning_rate": "1e-3"}},
            r"training\.learning_rate is '1e-3'; it must be a number above 0, written like 1\.0e-3",
        ),
        ({"training": {"patch": 121}}, r"training\.patch is 121; it must be an even number"),
        ({"training": {"widths": [8]}}, r"training\.widths is \[8\]; it must be a list of two or more"),
        ({"training": {"name": "a b"}}, r"training\.name is 'a b'; it must be letters"),
    ],
)
def test_typos_and_wrong_types_are_told(setting, message):
    with pytest.raises(InputError, match=message) as caught:
        check_config(CONFIG | setting, SCHEMA)
    assert "\n" not in str(caught.value)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(InputError, match=r"device is .*; shard_size is "):
        check_config(CONFIG | {"device": 1, "shard_size": -1}, SCHEMA)


def bomb(levels: int = 10) -> list:
    """What a few aliases of YAML make: ten to the power of `levels` texts."""
    value = ["x"] * 10
    for _ in range(levels):
        value = [value] * 10
    return value


ENDLESS = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"images": bomb()}, "more than 100000 values"),
        ({"training": {"photos": ENDLESS}}, "more than 20 levels"),
        ({"noise": {"iso": float("nan")}}, "the number nan; give finite ones"),
        ({"training": {"learning_rate": float("inf")}}, "the number inf"),
        ({"training": {"seed": 16**5000}}, "a whole number of more than 63 bits"),
        ({"shard_size": 3.0}, "shard_size is 3.0; it must be a whole number"),
    ],
)
def test_what_yaml_can_say_but_no_setting_can_be(setting, message):
    with pytest.raises(InputError, match=message):
        check_config(CONFIG | setting, SCHEMA)


def test_numbers_in_sections_may_come_as_texts():
    """As from Snakemake's command line: --config 'noise={iso: 400}'."""
    given = {"noise": {"iso": "400", "seed": "3"}, "training": {"steps": {"oe": "20"}, "name": "2"}}
    checked = check_config(given, SCHEMA)
    assert checked["noise"] == {"iso": 400, "seed": 3}
    assert checked["training"] == {"steps": {"oe": 20}, "name": "2"}
    assert given["noise"]["iso"] == "400"
    for wrong in ("much", "[", "1e999"):
        with pytest.raises(InputError, match=r"noise\.iso is '.*'; it must be an ISO number"):
            check_config({"noise": {"iso": wrong}}, SCHEMA)
