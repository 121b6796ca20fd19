"""Settings of the workflow, checked against their schema."""

import difflib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import jsonschema
import yaml

from omf.utils.errors import InputError
from omf.utils.yaml import check_tree, parse_yaml

# 3.0 is no whole number here: what counts with it would be refused a float
WHOLE = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
VALIDATOR = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=WHOLE)


def check_config(config: dict, schema_file: Path) -> dict:
    """Fill in defaults and refuse what the schema doesn't know.

    Returns:
        A copy of `config` with the defaults of settings that it leaves out.

    Raises:
        InputError: one line that names every misspelt or wrong setting.
    """
    try:
        check_tree(config)
    except ValueError as error:
        raise InputError(
            f"config: {error}; compare it with the config.yaml that comes with the program"
        ) from None
    schema = yaml.safe_load(schema_file.read_text("utf-8"))
    config = with_numbers(config, schema)
    problems = list(misspelt(config, schema, ""))
    for error in VALIDATOR(schema).iter_errors(config):
        if error.validator != "additionalProperties":
            problems.append(
                f"{'.'.join(map(str, error.path))} is {error.instance!r}; it must be {error.schema['description']}"
            )
    if problems:
        raise InputError(f"config: {'; '.join(sorted(problems))}")
    return {
        name: setting["default"] for name, setting in schema["properties"].items() if "default" in setting
    } | config


def with_numbers(config: dict, schema: dict, nested: bool = False) -> dict:
    """Settings in sections as YAML reads them: Snakemake's command line hands their numbers and lists over as texts."""
    settings, read = schema["properties"], dict(config)
    for name, value in config.items():
        known = settings.get(name, {})
        if isinstance(value, dict) and "properties" in known:
            read[name] = with_numbers(value, known, nested=True)
        elif nested and isinstance(value, str) and known.get("type") in ("number", "integer", "boolean"):
            with suppress(ValueError):  # what is no YAML is refused as it is
                read[name] = parse_yaml(value)
    return read


def misspelt(config: dict, schema: dict, section: str) -> Iterator[str]:
    """A problem for each name that the schema doesn't know, in all sections."""
    settings = schema["properties"]
    for name, value in config.items():
        if name not in settings:
            similar = difflib.get_close_matches(str(name), settings, n=1)
            hint = f"did you mean {similar[0]}?" if similar else f"there are: {', '.join(settings)}"
            yield f"{section}{name} is not a setting ({hint})"
        elif isinstance(value, dict) and "properties" in settings[name]:
            yield from misspelt(value, settings[name], f"{section}{name}.")
