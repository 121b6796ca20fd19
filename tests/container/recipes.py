"""Parsers for the two recipes of the image, limited to the features used here."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import PurePosixPath


@dataclass
class Definition:
    """A single-stage Apptainer definition."""

    header: dict[str, str] = field(default_factory=dict)
    sections: dict[str, list[str]] = field(default_factory=dict)  # lines, without comments and indentation

    @property
    def files(self) -> dict[str, str]:
        """Sources of files and folders by destination."""
        pairs = [line.split() for line in self.sections["files"]]
        return {image_path(source, destination): source for source, destination in pairs}


def read_definition(text: str, arguments: dict[str, str]) -> Definition:
    """Parse a definition. Raises KeyError if a build argument has no value; Apptainer checks the rest."""
    definition, section = Definition(), None
    for line in re.sub(r"{{\s*(\w+)\s*}}", lambda match: arguments[match[1]], text).splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("%"):
            section = definition.sections.setdefault(line[1:].lower(), [])
        elif section is None:
            key, _, definition.header[key.lower()] = line.partition(": ")
        else:
            section.append(line)
    return definition


@dataclass
class Dockerfile:
    """The first stage of a Dockerfile, and the names of all stages."""

    arguments: dict[str, str] = field(default_factory=dict)  # ARG; "" without a default
    files: dict[str, str] = field(default_factory=dict)  # COPY; sources by destination
    commands: list[str] = field(default_factory=list)  # RUN, split at &&
    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)


def read_dockerfile(text: str) -> Dockerfile:
    """Parse a Dockerfile. Raises ValueError if an instruction is unknown."""
    dockerfile = Dockerfile()
    lines = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    for instruction, _, rest in (line.partition(" ") for line in lines if line):
        if instruction == "FROM":
            dockerfile.stages.append(rest.partition(" AS ")[2])
        elif len(dockerfile.stages) > 1:
            continue
        elif instruction == "ARG":
            name, _, dockerfile.arguments[name] = rest.partition("=")
        elif instruction == "COPY":
            *sources, destination = rest.split()
            dockerfile.files |= {image_path(source, destination): source for source in sources}
        elif instruction == "RUN":
            dockerfile.commands += [command.strip() for command in rest.split(" && ")]
        elif instruction in ("ENV", "LABEL"):
            pairs = dict(pair.split("=", 1) for pair in shlex.split(rest))
            (dockerfile.environment if instruction == "ENV" else dockerfile.labels).update(pairs)
        elif instruction == "ENTRYPOINT":
            dockerfile.entrypoint = json.loads(rest)
        elif instruction not in ("WORKDIR", "STOPSIGNAL"):
            raise ValueError(f"unknown instruction: {instruction}")
    return dockerfile


def image_path(source: str, destination: str) -> str:
    """Return the path in the image; a destination that ends with a slash is a folder to copy into."""
    return destination + PurePosixPath(source).name if destination.endswith("/") else destination
