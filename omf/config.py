"""Settings of the workflow, checked against their schema."""

import difflib
from pathlib import Path

import jsonschema
import yaml

from omf.errors import InputError


def check_config(config: dict, schema_file: Path) -> dict:
    """Fill in defaults and refuse what the schema doesn't know.

    Returns:
        A copy of `config` with the defaults of settings that it leaves out.

    Raises:
        InputError: one line that names every misspelt or wrong setting.
    """
    schema = yaml.safe_load(schema_file.read_text())
    settings = schema["properties"]
    problems = []
    for name in config.keys() - settings.keys():
        similar = difflib.get_close_matches(str(name), settings, n=1)
        hint = f"did you mean {similar[0]}?" if similar else f"there are: {', '.join(settings)}"
        problems.append(f"{name} is not a setting ({hint})")
    for error in jsonschema.Draft202012Validator(schema).iter_errors(config):
        if error.validator != "additionalProperties":
            problems.append(f"{'.'.join(map(str, error.path))} is {error.instance!r}; it must be {error.schema['description']}")
    if problems:
        raise InputError(f"config: {'; '.join(sorted(problems))}")
    return {name: setting["default"] for name, setting in settings.items() if "default" in setting} | config
