"""The base of all settings: pydantic models whose errors fit on one line. No torch here."""

import difflib
from contextlib import suppress
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from omf.utils.errors import InputError
from omf.utils.yaml import check_tree, parse_yaml

AUTO = "auto"  # value of a setting: as each photo tells
SectionType = TypeVar("SectionType", bound="Section")
TYPES = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "text"}
NUMBERS = (int, float, bool, int | None, float | None)  # types of settings
BOUNDS = {  # keywords of JSON schema
    "minimum": ", {} or more",
    "exclusiveMinimum": " above {}",
    "maximum": ", {} at most",
    "exclusiveMaximum": " and below {}",
    "minLength": " that is not empty",
}


class Section(BaseModel):
    """A section of settings. Unknown names and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _read_numbers(cls, given: Any) -> Any:
        """Read numbers that Snakemake's command line passes as text in sections."""
        if not isinstance(given, dict):
            return given
        read = dict(given)
        for name, field in cls.model_fields.items():
            if field.annotation in NUMBERS and isinstance(given.get(name), str):
                with suppress(ValueError):  # refused as it is
                    read[name] = parse_yaml(given[name])
        return read


def validate(section: type[SectionType], given: Any, where: str) -> SectionType:
    """Check settings, as read from YAML, and fill in the defaults.

    Raises:
        InputError: one line, `where` and each misspelt or invalid setting.
    """
    try:
        check_tree(given)
    except ValueError as error:
        raise InputError(f"{where}: {error}; compare it with the config.yaml of the program") from None
    try:
        return section.model_validate(given)
    except ValidationError as error:
        problems = {_describe(section, entry) for entry in error.errors()}
        raise InputError(f"{where}: {'; '.join(sorted(problems))}") from None


def _describe(section: type[Section], error: ErrorDetails) -> str:
    """Return a problem in words: the dotted name of the setting, its value and the values that it takes."""
    names: list[str] = []
    allowed = f"a section of {', '.join(section.model_fields)}"
    for name in map(str, error["loc"]):
        names.append(name)
        if name not in section.model_fields:
            similar = difflib.get_close_matches(name, section.model_fields, n=1)
            hint = (
                f"did you mean {similar[0]}?" if similar else f"there are: {', '.join(section.model_fields)}"
            )
            return f"{'.'.join(names)} is not a setting ({hint})"
        allowed = requirement(section, name)
        inner = section_of(section, name)
        if inner is None:
            break  # the rest is an index of a list, or a branch of a union
        section = inner
    is_missing = error["type"] == "missing" and len(names) == len(error["loc"])
    value = "missing" if is_missing else repr(error["input"])
    return f"{'.'.join(names)} is {value}; it must be {allowed}".strip()


def section_of(section: type[Section], name: str) -> type[Section] | None:
    """Return the section of a name, or None if it is a single setting."""
    kind = section.model_fields[name].annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def requirement(section: type[Section], name: str) -> str:
    """Return the values that a setting takes, in words that complete "it must be"."""
    if inner := section_of(section, name):
        return f"a section of {', '.join(inner.model_fields)}"
    schema = section.model_json_schema()["properties"][name]
    *first, last = _alternatives(schema)
    return f"{', '.join(first)} or {last}" if first else last


def _alternatives(schema: dict) -> list[str]:
    """Return the values that a JSON schema admits, in words."""
    if "requirement" in schema:
        return [schema["requirement"]]
    if "anyOf" in schema:
        return [words for part in schema["anyOf"] for words in _alternatives(part)]
    if "enum" in schema:
        return [str(value) for value in schema["enum"]]
    kind = schema["type"]
    if kind == "null":
        return ["null"]
    if kind == "array":
        return [f"a list of {TYPES[schema['items']['type']].removeprefix('a ')}s"]
    words = TYPES[kind]
    for key, bound in BOUNDS.items():
        if key in schema:
            words += bound.format(schema[key])
    return [words]
